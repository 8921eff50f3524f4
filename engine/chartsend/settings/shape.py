"""Every setting, validated when it is made: who we are, where Redox is, what limits hold.

The one rule: nothing that could send patient data or a secret somewhere unsafe can be expressed.
`load.py` reads profiles and the environment into this; here is no disk and no clock.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from ..errors import ConfigError, InsecureConfigError

if TYPE_CHECKING:
    from pathlib import PurePath

Environment = Literal["Development", "Staging", "Production"]
KB: Final = 1_000
MIB: Final = 1 << 20
HOSTS: Final = {
    # developer.redoxengine.com, quotas and API pages; the Canadian upload host is not published.
    "us": ("https://api.redoxengine.com", "https://blob.redoxengine.com"),
    "ca": ("https://api.ca.redoxengine.com", None),
}
_SLUG = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,126}[A-Za-z0-9])?")
_SAFE_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:-]{0,126}[A-Za-z0-9])?")


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
        if self.slug is not None and not _SLUG.fullmatch(self.slug):
            raise ConfigError(
                "a destination slug has 1 to 128 letters, digits, '-' and '_'; copy it from the"
                " Redox dashboard"
            )
        if self.id is not None and not _SAFE_ID.fullmatch(self.id):
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
        _between("auth.refresh_margin_s", self.refresh_margin_s, 0, 240)


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
        _between("limits.file_mb", self.file_mb, 1, 1_000)
        _between("limits.request_mb", self.request_mb, 1, 1_000)
        _between("limits.embed_up_to_bytes", self.embed_up_to_bytes, 0, 1_000_000_000)

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
            _between(f"timeouts.{name}", getattr(self, name), 0.05, 3600)
        _between("timeouts.slow_bytes_per_s", self.slow_bytes_per_s, 0, 1_000_000)
        _between("timeouts.attempt_bytes_per_s", self.attempt_bytes_per_s, 1, 1_000_000_000)


@dataclass(frozen=True, slots=True)
class Retry:
    """The in-line tier: how often an operation that was provably not applied is tried again.

    Attributes:
        attempts: Attempts per operation, the first included (3 as in the AWS SDKs and the SRE book).
        base_s: Full jitter draws the wait from 0 to `base_s` times 2^n.
        throttled_base_s: The same after a 429 or a 503.
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
        _between("retry.attempts", self.attempts, 1, 10)
        _between("retry.base_s", self.base_s, 0, 60)
        _between("retry.throttled_base_s", self.throttled_base_s, 0, 60)
        _between("retry.cap_s", self.cap_s, 0, 3600)
        _between("retry.retry_after_cap_s", self.retry_after_cap_s, 0, 3600)


@dataclass(frozen=True, slots=True)
class Settings:
    """One validated object for everything; read it with `Settings.load`, or make it in Python.

    Attributes:
        environment: Redox's environment flag. There is no default.
        source_id: Id of the Redox source; sent as `Redox-Source-Id` and `Meta.Source.ID`.
        source_name: Name put into `MessageHeader.source.name` and `Meta.Source.Name`.
        account: `free` accounts cannot upload in Development.
        region: `us` or `ca`; chooses the hosts.
        api_url: Base of the API, no path; default by region.
        blob_url: Base of the Data Model upload host, no path; default by region.
        token_url: Where tokens come from; default: `api_url` + `/v2/auth/token`.
        allowed_reference_hosts: `host` or `host:port` that a reference URL may name; default:
            the API host, the upload host.
        trust_token_host: Allow a token URL on another domain than the API's.
        proxy: Outbound HTTP proxy; the environment's proxy variables are never read.
        ca_file: Extra CA certificates, PEM; certificate checks cannot be switched off.
        binary_body: `raw` bytes, or a FHIR `Binary` in JSON.
        note_content_type_for_uri: `Note.ContentType` of an uploaded file.
        note_text: Default for every destination; see `Destination.note_text`.
        api: Default API.
        method: Default method.
        model: Default model; None for `document-reference` or `notes` by API.
        concurrency: Sends in flight, shared by `send` and `send_many`.
        buffer_bytes: Budget for buffers of all sends together, never file sizes.
        hash: Whether the sha256 of the raw bytes is taken while they stream.
        quota: `N/S` requests in a rolling window of S seconds, or `off`. Redox documents
            10,000 per 300 s and IP address.
        destinations: By name.
    """

    environment: Environment | None = None
    source_id: str | None = None
    source_name: str | None = None
    account: Literal["paid", "free"] = "paid"
    region: Literal["us", "ca"] = "us"
    api_url: str | None = None
    blob_url: str | None = None
    token_url: str | None = None
    allowed_reference_hosts: tuple[str, ...] = ()
    trust_token_host: bool = False
    proxy: str | None = None
    ca_file: str | None = None
    binary_body: Literal["raw", "fhir_json"] = "raw"
    note_content_type_for_uri: Literal["Base64 Encoded", "Plain Text"] = "Base64 Encoded"
    note_text: bool = False
    api: Literal["fhir", "data-model"] = "fhir"
    method: Literal["auto", "upload", "embed"] = "auto"
    model: Literal["document-reference", "diagnostic-report", "notes", "media", "results"] | None = None
    concurrency: int = 16
    buffer_bytes: int = 64 * MIB
    hash: bool = True
    quota: str = "10000/300"
    auth: Auth = field(default_factory=Auth)
    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)
    retry: Retry = field(default_factory=Retry)
    destinations: dict[str, Destination] = field(default_factory=dict[str, Destination])

    def __post_init__(self) -> None:
        _between("concurrency", self.concurrency, 1, 4096)
        _between("buffer_bytes", self.buffer_bytes, 64 * 1024, 1 << 40)
        if self.source_id is not None and not _SAFE_ID.fullmatch(self.source_id):
            raise ConfigError("source_id has 1 to 128 letters, digits, '-', '_', '.' and ':'")
        for name in ("api_url", "blob_url"):
            _check_base_url(name, getattr(self, name))
        if self.token_url is not None:
            _check_url("token_url", self.token_url)
        _check_proxy(self.proxy)
        _check_token_host(self)
        parse_quota(self.quota)

    @classmethod
    def load(cls, profile: str | PurePath | None = None, **overrides: object) -> Settings:
        """Read a profile and the environment: profile < `CHARTSEND_…` variables < `overrides`.

        Args:
            profile: A table in `~/.config/chartsend/config.toml` (XDG), or, with a `/` or ending
                in `.toml`, a file; None for no profile.
            **overrides: Fields of this class by name.

        Raises:
            ConfigError: A file, key or value is missing, unknown or wrong; the text says which.
        """
        from .load import load_settings  # noqa: PLC0415  # its import costs 60 ms; most make Settings

        return load_settings(None if profile is None else str(profile), overrides).settings

    @property
    def api_base(self) -> str:
        """Base of the API, without a path or a trailing slash."""
        return self.api_url or HOSTS[self.region][0]

    @property
    def blob_base(self) -> str:
        """Base of the Data Model upload host.

        Raises:
            ConfigError: The region's upload host is not published and `blob_url` is not set.
        """
        base = self.blob_url or HOSTS[self.region][1]
        if base is None:
            raise ConfigError("Redox does not publish the upload host of this region: set blob_url")
        return base

    @property
    def token_address(self) -> str:
        """The complete token URL."""
        return self.token_url or f"{self.api_base}/v2/auth/token"

    @property
    def reference_hosts(self) -> frozenset[str]:
        """`host` or `host:port` that a reference URL may name, lower case."""
        if self.allowed_reference_hosts:
            return frozenset(host.lower() for host in self.allowed_reference_hosts)
        bases = [self.api_base, self.blob_url or HOSTS[self.region][1] or HOSTS["us"][1] or ""]
        return frozenset(urlsplit(base).netloc.lower() for base in bases)

    def destination(self, name: str) -> Destination:
        """The destination of that name; an unknown name is taken as its slug and id.

        Raises:
            ConfigError: The name is unknown and cannot be a slug or an id either.
        """
        known = self.destinations.get(name)
        if known is not None:
            return known
        slug = name if _SLUG.fullmatch(name) else None
        ident = name if _SAFE_ID.fullmatch(name) else None
        if slug is None and ident is None:
            raise ConfigError(
                "the destination is not in the profile, and it cannot be a slug or an id: use"
                " letters, digits, '-' and '_'"
            )
        return Destination(name=name, slug=slug, id=ident)


def parse_quota(text: str) -> tuple[int, float] | None:
    """`N/S` as (requests, window in seconds); None for `off`.

    Raises:
        ConfigError: Anything else.
    """
    if text == "off":
        return None
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,6})", text)
    if match is None or not int(match[1]) or not int(match[2]):
        raise ConfigError("quota is requests/seconds, such as 10000/300, or off")
    return int(match[1]), float(match[2])


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # false for NaN too
        raise ConfigError(f"{name} is {low} to {high}")


def _check_url(name: str, url: str) -> None:
    """Refuse what could take a token or a file elsewhere, or in the clear."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ConfigError(f"{name} is not a URL") from None
    if url != url.strip() or any(ord(c) < 0x21 or ord(c) > 0x7E for c in url) or not host:
        raise ConfigError(f"{name} is not a URL: no spaces, and letters of ASCII only")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InsecureConfigError(f"{name} has a user, a query or a fragment; give host and path only")
    if parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host)):
        return
    raise InsecureConfigError(f"{name} is not https; http is allowed to this machine (127.0.0.1) only")


def _check_base_url(name: str, url: str | None) -> None:
    if url is None:
        return
    _check_url(name, url)
    if urlsplit(url).path:
        raise ConfigError(f"{name} has a path or a trailing slash; give https://host only")


def _check_proxy(url: str | None) -> None:
    """A proxy is a host and a port: it sees host names only, the traffic inside stays TLS."""
    if url is None:
        return
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ConfigError("proxy is not a URL: http://host:port") from None
    if parts.username or parts.password:
        raise InsecureConfigError(
            "proxy holds a user or a password; a proxy that asks for them is not supported"
        )
    if parts.scheme not in {"http", "https"} or not host or any(not "!" <= c <= "~" for c in url):
        raise ConfigError("proxy is not a URL: http://host:port")
    if parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise ConfigError("proxy has a path, a query or a fragment; give http://host:port only")


def _check_token_host(settings: Settings) -> None:
    """A token URL far from the API would hand our assertion to somebody else (a tenant mix-up)."""
    token = urlsplit(settings.token_address).hostname or ""
    api = urlsplit(settings.api_base).hostname or ""
    if settings.trust_token_host or token == api or (is_loopback(token) and is_loopback(api)):
        return
    if token.split(".")[-2:] != api.split(".")[-2:]:
        raise InsecureConfigError(
            "token_url and api_url are on different domains; if meant, set trust_token_host = true"
        )
