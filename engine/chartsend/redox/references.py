"""Reference URLs of uploaded files: taken verbatim, and only when they are safe.

The one rule: a URL from an answer is data from outside. It is compared, never opened, and never
shown: what is refused is described, not quoted.
"""

from __future__ import annotations

import functools
import re
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from ..errors import ProtocolError, UnsafeLocationError, Verdict
from ..settings import is_loopback

MAX_URL_CHARS: Final = 2048
# Everything that a URL may not hold (RFC 3986), so all of: spaces, control characters, backslash,
# quotation marks, and every letter beyond ASCII that could look like another.
_UNSAFE = re.compile(r"[^!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Encoded control characters and backslashes: harmless here, a surprise wherever they are decoded.
_SLY_ESCAPE = re.compile(r"%(?:[01][0-9A-Fa-f]|7[Ff]|5[Cc])")
_DOTS = re.compile(r"(?:\A|/|%2[Ff])(?:\.|%2[Ee]){1,2}(?=/|%2[Ff]|\Z)")
_AUTHORITY = re.compile(
    r"(?P<host>[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::(?P<port>[1-9][0-9]{0,4}))?"
)
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


def resolve_reference(text: str, *, request_url: str, allowed_hosts: frozenset[str]) -> str:
    """A reference as an answer gave it, made absolute if need be, and found safe.

    Args:
        text: The header's or the body's value.
        request_url: The upload's URL; relative references are resolved against it (RFC 9110 10.2.2).
        allowed_hosts: As in `check_reference`.

    Returns:
        `text` itself when it is absolute: not a character is changed.

    Raises:
        ProtocolError: It is a bare id, no URL. Verdict RETRY.
        UnsafeLocationError: As in `check_reference`.
    """
    _check_characters(text)
    parts = _split(text)
    if parts.scheme:
        _check_parts(text, parts, request_url, allowed_hosts)
        return text
    if "/" not in text:
        raise bare_id_error()
    if text.startswith("///"):
        # To RFC 3986 a path on the same host, to browsers another host: nobody means it well.
        raise UnsafeLocationError("the reference URL has no plain host and port")
    absolute = urljoin(request_url, text)
    # Where dots point is the server's affair in a path of its own, not in one that we join.
    _check_dots(text.partition("?")[0])
    return check_reference(absolute, request_url=request_url, allowed_hosts=allowed_hosts)


def check_reference(url: str, *, request_url: str, allowed_hosts: frozenset[str]) -> str:
    """Give back a reference URL that is safe to stand in a message.

    Args:
        url: Absolute.
        request_url: The URL that was asked: only when it is on this machine may `url` be http.
        allowed_hosts: `host` or `host:port`; without a port the scheme's own.

    Raises:
        UnsafeLocationError: Anything else than https, another host or port, user information, a
            fragment, characters that URLs do not have, dot segments, or more than 2,048 characters.
    """
    _check_characters(url)
    _check_parts(url, _split(url), request_url, allowed_hosts)
    return url


def bare_id_error() -> ProtocolError:
    """The error for an answer that gives an id where a URL is due."""
    return ProtocolError(
        "the answer to the upload gives an id and no reference URL, and a message needs the URL;"
        " ask Redox how this destination gives it",
        verdict=Verdict.RETRY,
    )


def _check_characters(url: str) -> None:
    if not url:
        raise UnsafeLocationError("the reference URL is empty")
    if len(url) > MAX_URL_CHARS:
        raise UnsafeLocationError(
            f"the reference URL has {len(url):,} characters; at most {MAX_URL_CHARS:,} are taken"
        )
    if _UNSAFE.search(url):
        raise UnsafeLocationError("the reference URL has a character that URLs do not have")
    if _BAD_ESCAPE.search(url) or _SLY_ESCAPE.search(url):
        raise UnsafeLocationError("the reference URL has a percent escape that is not safe")


def _check_parts(url: str, parts: SplitResult, request_url: str, allowed_hosts: frozenset[str]) -> None:
    host, port = _host_and_port(parts)
    _check_scheme(parts.scheme, host, request_url)
    if (host, port) not in _allowed(allowed_hosts, parts.scheme):
        raise UnsafeLocationError(
            "the reference URL names a host that is not allowed: if it is Redox's, add it to"
            " allowed_reference_hosts"
        )
    if "#" in url:
        raise UnsafeLocationError("the reference URL has a fragment")
    _check_dots(parts.path)


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise UnsafeLocationError("the reference is not a URL") from None


def _host_and_port(parts: SplitResult) -> tuple[str, int | None]:
    if "@" in parts.netloc:
        raise UnsafeLocationError("the reference URL has user information")
    match = _AUTHORITY.fullmatch(parts.netloc.lower())
    if match is None:
        raise UnsafeLocationError("the reference URL has no plain host and port")
    return match["host"], int(match["port"] or 0) or _DEFAULT_PORTS.get(parts.scheme)


def _check_scheme(scheme: str, host: str, request_url: str) -> None:
    if scheme == "https":
        return
    asked = urlsplit(request_url).hostname or ""
    if scheme == "http" and is_loopback(asked) and is_loopback(host.strip("[]")):
        return
    raise UnsafeLocationError("the reference URL is not https")


# One list for each engine, and two schemes.
@functools.lru_cache(maxsize=64)
def _allowed(hosts: frozenset[str], scheme: str) -> frozenset[tuple[str, int | None]]:
    """The entries of the allow-list as host and port; one that is neither allows nothing."""
    return frozenset(_host_and_port_of(entry, scheme) for entry in hosts)


def _host_and_port_of(entry: str, scheme: str) -> tuple[str, int | None]:
    try:
        return _host_and_port(_split(f"{scheme}://{entry}"))
    except UnsafeLocationError:
        return "", None


def _check_dots(path: str) -> None:
    if _DOTS.search(path):
        raise UnsafeLocationError("the reference URL has dot segments")
