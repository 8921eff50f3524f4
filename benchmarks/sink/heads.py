"""The head of an HTTP/1.1 request: which kind it is, and how long its body will be.

The one rule: only what decides where the body ends is read; nobody's mistakes are looked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .counts import Kind


class BadHeadError(ValueError):
    """It cannot be told where this request ends."""


class Head(NamedTuple):
    """What matters of a request's head.

    Attributes:
        kind: By its path.
        path: As it came.
        content_type: Lower case, without parameters.
        length_bytes: Of the body; None when it comes in chunks.
        waits: Whether the client waits for `100 Continue`.
        host: As the client calls us.
    """

    kind: Kind
    path: str
    content_type: str
    length_bytes: int | None
    waits: bool
    host: str


def read_head(text: bytes) -> Head:
    """Read a head, the empty line at its end apart.

    Raises:
        BadHeadError: It is none, or it says nothing of the body's length.
    """
    line, *rest = text.decode("latin-1").split("\r\n")
    try:
        method, path, _ = line.split(" ")
        fields = dict(_field(each) for each in rest)
        length = fields.get("content-length")
        length_bytes = None if length is None else int(length)
    except ValueError:
        raise BadHeadError("not a request of HTTP/1.1") from None
    if "chunked" in fields.get("transfer-encoding", "").lower():
        length_bytes = None
    elif length_bytes is None and method != "GET":
        raise BadHeadError("neither a length nor chunks")
    else:
        length_bytes = length_bytes or 0
    return Head(
        kind=kind_of(path),
        path=path,
        content_type=fields.get("content-type", "").partition(";")[0].lower(),
        length_bytes=length_bytes,
        waits=fields.get("expect", "").lower() == "100-continue",
        host=fields.get("host", ""),
    )


def kind_of(path: str) -> Kind:
    """The kind of request that a path asks for."""
    if path.endswith("/Binary"):
        return "binary"
    if path.endswith("-create"):  # DocumentReference/$documentreference-create, its $ escaped or not
        return "message"
    exact: dict[str, Kind] = {"/upload": "upload", "/endpoint": "endpoint", "/v2/auth/token": "token"}
    return exact.get(path, "other")


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.lower(), value.strip()
