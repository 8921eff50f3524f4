"""How each method frames a file: raw, FHIR JSON, multipart, or inside a message.

The one rule: prefix, suffix and length are fixed here, before a byte is read for sending.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..aio import close_within
from ..encoding import multipart
from ..encoding.base64 import Base64Encoder, IdentityEncoder, JsonTextEncoder, encoded_length
from ..encoding.envelope import HOLE, Envelope, split_at_hole
from ..errors import TypeMismatchError
from ..redox import fhir
from ..transport.body import Frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..document import Api
    from ..encoding.base64 import Encoder
    from ..ports import Source

FHIR_JSON = "application/fhir+json"
JSON = "application/json"
CLOSE_S = 5.0


@dataclass(frozen=True, slots=True)
class Framed:
    """A frame and the encoder that fits it; every attempt makes its own encoder."""

    frame: Frame
    encoder: Callable[[], Encoder]


def raw(source: Source, content_type: str, chunk_bytes: int) -> Framed:
    """The file's bytes as they are: the FHIR `Binary` upload."""
    size = source.size_bytes
    frame = Frame(content_type, b"", b"", size, size, chunk_bytes, reuses_buffer=False)
    return Framed(frame, IdentityEncoder)


def fhir_binary(source: Source, content_type: str, chunk_bytes: int) -> Framed:
    """A FHIR `Binary` resource in JSON."""
    envelope = split_at_hole(fhir.binary(content_type, HOLE))
    return embedded(source, envelope, FHIR_JSON, chunk_bytes)


def form(source: Source, name: str, content_type: str, chunk_bytes: int) -> Framed:
    """multipart/form-data with one part `file`: the Data Model upload."""
    boundary = f"chartsend-{secrets.token_hex(16)}"
    envelope = multipart.frame(boundary=boundary, filename=name, content_type=content_type)
    frame = Frame(
        f"multipart/form-data; boundary={boundary}",
        envelope.prefix,
        envelope.suffix,
        source.size_bytes,
        envelope.length_bytes + source.size_bytes,
        chunk_bytes,
        reuses_buffer=False,
    )
    return Framed(frame, IdentityEncoder)


def embedded(source: Source, envelope: Envelope, content_type: str, chunk_bytes: int) -> Framed:
    """base64 in the hole of a JSON document."""
    length = envelope.length_bytes + encoded_length(source.size_bytes)
    return Framed(_around(envelope, content_type, source, length, chunk_bytes), Base64Encoder)


async def embedded_text(
    source: Source, envelope: Envelope, content_type: str, chunk_bytes: int
) -> Framed:
    """The file's text, escaped, in the hole of a JSON document.

    The escaped length is found by reading the source once beforehand; if the second reading gives
    another length, the last chunk is held back.

    Raises:
        TypeMismatchError: The source is not UTF-8 text.
    """
    length = envelope.length_bytes + await _escaped_length(source, chunk_bytes)
    return Framed(_around(envelope, content_type, source, length, chunk_bytes), JsonTextEncoder)


def in_memory(text: bytes, api: Api) -> Framed:
    """A message that carries no file: a few kilobytes."""
    return Framed(Frame.of_bytes(text, message_type(api)), IdentityEncoder)


def message_type(api: Api) -> str:
    """Content type of a message."""
    return FHIR_JSON if api == "fhir" else JSON


def _around(
    envelope: Envelope, content_type: str, source: Source, length: int, chunk_bytes: int
) -> Frame:
    return Frame(
        content_type,
        envelope.prefix,
        envelope.suffix,
        source.size_bytes,
        length,
        chunk_bytes,
        reuses_buffer=True,
    )


async def _escaped_length(source: Source, chunk_bytes: int) -> int:
    encoder = JsonTextEncoder()
    buffer = memoryview(bytearray(chunk_bytes))
    reader = source.reader()
    length = 0
    try:
        while count := await reader.read_into(buffer):
            length += len(encoder.encode(buffer[:count]))
        return length + len(encoder.finish())
    except UnicodeDecodeError as exc:
        raise TypeMismatchError(
            f"the file is not UTF-8 text (byte {exc.start} of a piece); send it without note_text"
        ) from None
    finally:
        await close_within(CLOSE_S, reader.aclose)
