"""The parts of the settings, each valid from the moment it exists.

The one rule: every limit has a range, and none can be switched off.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from ..errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

KB: Final = 1_000
MIB: Final = 1 << 20
SLUG: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,126}[A-Za-z0-9])?")
"""A destination slug: it becomes part of a URL path, so / ? # .. %2f and @ must not reach it."""
SAFE_ID: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:-]{0,126}[A-Za-z0-9])?")
"""A source or destination id: it goes into headers and messages."""
METHODS: Final = ("auto", "upload", "embed")
"""What may be asked for; `auto` becomes one of the others."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Who receives, and what that receiver takes: what sites really differ in.

    Attributes:
        name: The name used with `--to`.
        slug: FHIR destination slug; required for `fhir`.
        id: Data Model destination id; required for `data-model`.
        content_types: MIME types it takes, `image/*` allowed; empty for any.
        max_bytes: Largest raw file it takes; None for Redox's own limit.
        request_limit_bytes: Request limit of its traffic type, 10 or 30 MB for some; None for the API's.
        required: Paths of fields it needs beyond Redox's own, in Redox's spelling.
        identifier_systems: Identifier type to FHIR system URI.
        document_types: Our document type to the receiver's.
        note_text: Whether text files go as `Plain Text` and RTF as `Rich Text` in Notes,
            searchable in the chart, instead of base64.
    """

    name: str = ""
    slug: str | None = None
    id: str | None = None
    content_types: tuple[str, ...] = ()
    max_bytes: int | None = None
    request_limit_bytes: int | None = None
    required: tuple[str, ...] = ()
    identifier_systems: dict[str, str] = field(default_factory=dict[str, str])
    document_types: dict[str, str] = field(default_factory=dict[str, str])
    note_text: bool | None = None

    def __post_init__(self) -> None:
        # A slug becomes part of a URL path: / ? # .. %2f and @ must not reach it.
        if self.slug is not None and not SLUG.fullmatch(self.slug):
            raise ConfigError(
                "a destination slug has 1 to 128 letters, digits, '-' and '_'; copy it from the"
                " Redox dashboard"
            )
        if self.id is not None and not SAFE_ID.fullmatch(self.id):
            raise ConfigError("a destination id has 1 to 128 letters, digits, '-', '_', '.' and ':'")
        for name in ("max_bytes", "request_limit_bytes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} of a destination is at least 1")


@dataclass(frozen=True, slots=True)
class Auth:
    """How to get a token.

    Attributes:
        kind: `oauth` (signed assertion) or `legacy` (api key and secret, Data Model only).
        client_id: OAuth client id.
        key_id: `kid` of the public key registered at Redox.
        algorithm: `RS384` or `ES384`.
        key_file: Private key, PEM. One of `key_file`, `key_env`, `key_command` is needed.
        key_env: Name of an environment variable that holds the PEM text.
        key_command: A command, split as a shell would, that prints the PEM text.
        scope: Optional scope, such as `fhir:development`.
        audience: `aud` of the assertion; default: the token URL.
        api_key: Legacy API key.
        secret_file: File with the legacy secret; or `secret_env`.
        secret_env: Name of an environment variable that holds the legacy secret.
        refresh_margin_s: A token with less life than this is refreshed before it is used.
    """

    kind: Literal["oauth", "legacy"] = "oauth"
    client_id: str | None = None
    key_id: str | None = None
    algorithm: Literal["RS384", "ES384"] = "RS384"
    key_file: str | None = None
    key_env: str | None = None
    key_command: str | None = None
    scope: str | None = None
    audience: str | None = None
    api_key: str | None = None
    secret_file: str | None = None
    secret_env: str | None = None
    refresh_margin_s: float = 45.0

    def __post_init__(self) -> None:
        one_of("auth.kind", str(self.kind), ("oauth", "legacy"))
        one_of("auth.algorithm", str(self.algorithm), ("RS384", "ES384"))
        between("auth.refresh_margin_s", self.refresh_margin_s, 0, 240)


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes that hold before a byte moves.

    Whether Redox's MB is 10^6 or 2^20 bytes is not published; the smaller reading is the default
    and `megabyte_bytes` the switch. 30 and 40 MB: Redox, "API quotas", 18 August 2025.

    Attributes:
        megabyte_bytes: 1,000,000 or 1,048,576.
        file_mb: Largest uploaded file, in those megabytes.
        request_mb: Largest request of API traffic, in those megabytes.
        embed_up_to_bytes: Raw size up to which `auto` embeds (Redox recommends 200 KB).
        allow_empty: Whether a source of 0 bytes may be sent.
    """

    megabyte_bytes: int = 1_000_000
    file_mb: int = 30
    request_mb: int = 40
    embed_up_to_bytes: int = 200 * KB
    allow_empty: bool = False

    def __post_init__(self) -> None:
        if self.megabyte_bytes not in {1_000_000, MIB}:
            raise ConfigError("limits.megabyte_bytes is 1000000 or 1048576")
        between("limits.file_mb", self.file_mb, 1, 1_000)
        between("limits.request_mb", self.request_mb, 1, 1_000)
        between("limits.embed_up_to_bytes", self.embed_up_to_bytes, 0, 1_000_000_000)

    @property
    def file_bytes(self) -> int:
        """Largest uploaded file, in bytes."""
        return self.file_mb * self.megabyte_bytes

    @property
    def request_bytes(self) -> int:
        """Largest request of API traffic, in bytes."""
        return self.request_mb * self.megabyte_bytes


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long anything may take, in seconds; none can be switched off.

    Attributes:
        connect_s: All addresses of one connection, TLS handshake apart.
        tls_handshake_s: The TLS handshake.
        stall_s: No byte accepted by the socket for this long ends the attempt.
        slow_window_s: Over this window `slow_bytes_per_s` must be reached.
        slow_bytes_per_s: The slowest progress that counts as progress.
        read_s: One read of the source.
        attempt_base_s: A body may take this and its size at `attempt_bytes_per_s`.
        attempt_bytes_per_s: See `attempt_base_s`.
        reply_s: From the last byte of the body to the answer (Redox answers 504 "after a
            couple of minutes").
        reply_body_s: From the answer's head to its end.
    """

    connect_s: float = 10.0
    tls_handshake_s: float = 10.0
    stall_s: float = 30.0
    slow_window_s: float = 60.0
    slow_bytes_per_s: int = 1024
    read_s: float = 30.0
    attempt_base_s: float = 60.0
    attempt_bytes_per_s: int = 64 * 1024
    reply_s: float = 150.0
    reply_body_s: float = 30.0

    def __post_init__(self) -> None:
        for name in ("connect_s", "tls_handshake_s", "stall_s", "slow_window_s", "read_s",
                     "attempt_base_s", "reply_s", "reply_body_s"):  # fmt: skip
            between(f"timeouts.{name}", getattr(self, name), 0.05, 3600)
        between("timeouts.slow_bytes_per_s", self.slow_bytes_per_s, 0, 1_000_000)
        between("timeouts.attempt_bytes_per_s", self.attempt_bytes_per_s, 1, 1_000_000_000)


@dataclass(frozen=True, slots=True)
class Retry:
    """The in-line tier: how often an operation that was provably not applied is tried again.

    Attributes:
        attempts: Attempts per operation, the first included (3 as in the AWS SDKs and the SRE book).
        base_s: Full jitter draws the wait from 0 to `base_s` times 2^n.
        throttled_base_s: The same after a 503; a 429 pauses everything, and is no attempt.
        cap_s: Longest wait that we choose ourselves.
        retry_after_cap_s: Longest wait that a server may ask for.
        message_on_5xx: What a complete 500 or 502 means for a message: `hold` leaves it in doubt,
            `retry` sends it again (only where the site has said that it is safe).
    """

    attempts: int = 3
    base_s: float = 0.25
    throttled_base_s: float = 1.0
    cap_s: float = 20.0
    retry_after_cap_s: float = 900.0
    message_on_5xx: Literal["hold", "retry"] = "hold"

    def __post_init__(self) -> None:
        one_of("retry.message_on_5xx", str(self.message_on_5xx), ("hold", "retry"))
        between("retry.attempts", self.attempts, 1, 10)
        between("retry.base_s", self.base_s, 0, 60)
        between("retry.throttled_base_s", self.throttled_base_s, 0, 60)
        between("retry.cap_s", self.cap_s, 0, 3600)
        between("retry.retry_after_cap_s", self.retry_after_cap_s, 0, 3600)


def one_of(name: str, value: object, choices: Iterable[str]) -> None:
    """Refuse a word that is none of its set; None stands for "not given".

    Raises:
        ConfigError: With the set; the value is not repeated.
    """
    known = tuple(dict.fromkeys(choices))
    if value is not None and (not isinstance(value, str) or value not in known):
        raise ConfigError(f"{name} is one of {', '.join(known)}")


def between(name: str, value: object, low: float, high: float) -> None:
    """Refuse a number outside its range.

    Raises:
        ConfigError: It is below `low`, above `high`, NaN or not a number.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ConfigError(f"{name} is {low} to {high}")
