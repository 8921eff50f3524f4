"""What a sandbox can be told when it starts. Values only; nothing here touches the machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from pathlib import Path

AccountKind = Literal["paid", "free"]
Preset = Literal["documented", "strict", "lenient"]

MEGABYTE_BYTES: Final = 1_000_000
"""Redox does not say whether its MB is 10^6 or 2^20; 10^6 is the smaller limit of the two."""

TOKEN_LIFETIME_S: Final = 300.0
"""OAuth access tokens live 5 minutes (Redox, JWT authentication page)."""


PATIENCE_S: Final = 60.0
"""A choice of the sandbox: longer than any client that is still there is silent."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """So many requests in any window of so many seconds, per source IP address."""

    requests: int
    window_s: float


REDOX_ALLOWANCE: Final = Allowance(10_000, 300.0)
"""Redox, API quotas page of Aug 18 2025."""


@dataclass(frozen=True, slots=True)
class Options:
    """Everything the command line may decide; the defaults are those of `chartsend sandbox`.

    Attributes:
        port: The API's port on 127.0.0.1; 0 takes a free one. The blob port is always a free one.
        store: A folder to keep everything in; None makes a temporary one that is deleted at exit.
        allowance: The request quota; None switches it off.
        account: A free account may not upload in Development (403).
        preset: How strictly messages are judged: `documented` is what Redox documents, `strict`
            adds value sets and types, `lenient` asks only for what is needed to route.
        latency_s: Every answer waits this long.
        tls: Both ports speak TLS with a certificate of a throw-away authority.
        json: One line of JSON on stdout instead of a text for people on stderr.
        destinations: Names of further destinations; the first becomes the announced one.
        exit_with_stdin: End when standard input reaches its end.
        legacy: The profile that is written uses the legacy API key.
        token_lifetime_s: How long an access token is good.
        megabyte_bytes: What a megabyte means in the limits.
        sources: How many sources the first OAuth client owns.
        patience_s: How long a connection may be silent, between requests, in a head or in a body.
    """

    port: int = 0
    store: Path | None = None
    allowance: Allowance | None = REDOX_ALLOWANCE
    account: AccountKind = "paid"
    preset: Preset = "documented"
    latency_s: float = 0.0
    tls: bool = False
    json: bool = False
    destinations: tuple[str, ...] = ()
    exit_with_stdin: bool = False
    legacy: bool = False
    token_lifetime_s: float = TOKEN_LIFETIME_S
    megabyte_bytes: int = MEGABYTE_BYTES
    sources: int = 1
    patience_s: float = PATIENCE_S

    @property
    def upload_limit_bytes(self) -> int:
        """The largest uploaded file: 30 MB (Redox, API quotas page)."""
        return 30 * self.megabyte_bytes

    @property
    def request_limit_bytes(self) -> int:
        """The largest request: 40 MB (Redox, API quotas page)."""
        return 40 * self.megabyte_bytes
