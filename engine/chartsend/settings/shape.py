"""Every setting, validated when it is made: who we are, where Redox is, what limits hold.

The one rule: nothing that could send patient data or a secret somewhere unsafe can be expressed.
`load.py` reads profiles and the environment into this; here is no disk and no clock.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, get_args
from urllib.parse import urlsplit

from ..errors import ConfigError, InsecureConfigError
from .parts import (
    METHODS,
    MIB,
    SAFE_ID,
    SLUG,
    Auth,
    Destination,
    Limits,
    Retry,
    Timeouts,
    between,
    one_of,
)

if TYPE_CHECKING:
    from pathlib import PurePath

Environment = Literal["Development", "Staging", "Production"]
Model = Literal["document-reference", "diagnostic-report", "notes", "media", "results"]
Counted = Literal["upload", "message", "token", "query"]
COUNTED: Final[tuple[Counted, ...]] = ("upload", "message", "token", "query")
MOST_REQUESTS: Final = 1_000_000
"""Of a quota; a window with more is as good as none."""
HOSTS: Final = {
    # developer.redoxengine.com, quotas and API pages; the Canadian upload host is not published.
    "us": ("https://api.redoxengine.com", "https://blob.redoxengine.com"),
    "ca": ("https://api.ca.redoxengine.com", None),
}


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
            10,000 per 300 s and IP address. All processes of a user share it, by API host.
        quota_backfill_share: How much of the quota a batch may use; the rest stays free for what is
            sent by hand or by a service.
        quota_counts: Which requests count; Redox does not say whether all do.
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
    model: Model | None = None
    concurrency: int = 16
    buffer_bytes: int = 64 * MIB
    hash: bool = True
    quota: str = "10000/300"
    quota_backfill_share: float = 0.9
    quota_counts: tuple[Counted, ...] = COUNTED
    auth: Auth = field(default_factory=Auth)
    limits: Limits = field(default_factory=Limits)
    timeouts: Timeouts = field(default_factory=Timeouts)
    retry: Retry = field(default_factory=Retry)
    destinations: dict[str, Destination] = field(default_factory=dict[str, Destination])

    def __post_init__(self) -> None:
        _check_words(self)
        between("concurrency", self.concurrency, 1, 4096)
        between("buffer_bytes", self.buffer_bytes, 64 * 1024, 1 << 40)
        if self.source_id is not None and not SAFE_ID.fullmatch(self.source_id):
            raise ConfigError("source_id has 1 to 128 letters, digits, '-', '_', '.' and ':'")
        for name in ("api_url", "blob_url"):
            _check_base_url(name, getattr(self, name))
        if self.token_url is not None:
            _check_url("token_url", self.token_url)
        _check_proxy(self.proxy)
        _check_token_host(self)
        parse_quota(self.quota)
        between("quota_backfill_share", self.quota_backfill_share, 0.1, 1)
        if not self.quota_counts or not set(self.quota_counts) <= set(COUNTED):
            raise ConfigError(
                f"quota_counts is a list of one or more of {', '.join(COUNTED)}; where nothing counts,"
                ' set quota = "off"'
            )

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
        slug = name if SLUG.fullmatch(name) else None
        ident = name if SAFE_ID.fullmatch(name) else None
        if slug is None and ident is None:
            raise ConfigError(
                "the destination is not in the profile, and it cannot be a slug or an id: use"
                " letters, digits, '-' and '_'"
            )
        return Destination(name=name, slug=slug, id=ident)


def _check_words(settings: Settings) -> None:
    """Every setting that is one of a few words; what was typed wrong must not mean something else."""
    one_of("environment", settings.environment, get_args(Environment))
    one_of("account", str(settings.account), ("paid", "free"))
    one_of("region", str(settings.region), HOSTS)
    one_of("binary_body", str(settings.binary_body), ("raw", "fhir_json"))
    one_of(
        "note_content_type_for_uri",
        str(settings.note_content_type_for_uri),
        ("Base64 Encoded", "Plain Text"),
    )
    one_of("api", str(settings.api), ("fhir", "data-model"))
    one_of("method", str(settings.method), METHODS)
    one_of("model", settings.model, get_args(Model))


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
    if int(match[1]) > MOST_REQUESTS:
        raise ConfigError(f"quota is at most {MOST_REQUESTS:,} requests in a window, or off")
    return int(match[1]), float(match[2])


def is_loopback(host: str) -> bool:
    """Whether a host name or address can only be this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


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
