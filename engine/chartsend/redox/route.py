"""Which way a file goes: API, method and model, chosen before a byte moves.

The one rule: everything is computed, nothing is tried: what cannot work is an error before any
request, with the numbers in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from ..encoding.base64 import encoded_length
from ..encoding.envelope import HOLE, split_at_hole
from ..errors import ConfigError, TooLargeError, TypeMismatchError
from ..settings import Destination, Settings
from .content_type import advice
from .endpoints import check_address
from .fhir import binary
from .limits import RECOMMENDED_EMBED_BYTES
from .media_types import canonical

if TYPE_CHECKING:
    from ..document import Api, Method, Model

TextKind = Literal["Plain Text", "Rich Text"]
MODELS: Final[dict[Api, tuple[Model, ...]]] = {
    "fhir": ("document-reference", "diagnostic-report"),
    "data-model": ("notes", "media", "results"),
}
"""Models of each API; the first is the default."""
_UTF8: Final = frozenset({"", "utf-8", "utf8", "us-ascii", "ascii"})


@dataclass(frozen=True, slots=True)
class Wish:
    """What the caller asks for.

    Attributes:
        api: `fhir` or `data-model`.
        method: `upload`, `embed`, or `auto` for what fits the file best.
        model: None for the API's default.
        note_text: Send text files in Notes as text instead of base64. It is the last word: the
            caller has weighed the destination's and the settings' before. Other models ignore it.
    """

    api: Api = "fhir"
    method: Literal["auto", "upload", "embed"] = "auto"
    model: Model | None = None
    note_text: bool = False


class Route(NamedTuple):
    """The way chosen.

    Attributes:
        api: As wished.
        method: `upload` or `embed`.
        model: As wished, or the API's default.
        text: How a file goes into Notes as text; None when it goes as base64 or by reference.
        warnings: What the caller should know, without any name; may be empty.
    """

    api: Api
    method: Method
    model: Model
    text: TextKind | None
    warnings: tuple[str, ...]

    @property
    def requests(self) -> int:
        """Requests that one document costs: 2 for upload, 1 for embed."""
        return 2 if self.method == "upload" else 1


def default_model(api: Api) -> Model:
    """`document-reference` or `notes`."""
    return MODELS[api][0]


def check_model(api: Api, model: Model) -> None:
    """Refuse a model that the API does not have.

    Raises:
        ConfigError: With the models it has.
    """
    if model not in MODELS[api]:
        raise ConfigError(
            f"{api} has no model {model}: choose {' or '.join(MODELS[api])}, or the other API"
        )


def text_kind(wish: Wish, content_type: str) -> TextKind | None:
    """How this file would go into Notes as text; None when it would not.

    Text must be UTF-8 to stand in JSON: a `charset` parameter that says otherwise keeps base64.
    """
    if not wish.note_text or (wish.model or default_model(wish.api)) != "notes":
        return None
    kind = canonical(content_type)
    if kind == "application/rtf":
        return "Rich Text"
    return "Plain Text" if kind == "text/plain" and _charset(content_type) in _UTF8 else None


def choose(
    wish: Wish,
    *,
    size_bytes: int,
    content_type: str,
    overhead_bytes: int,
    destination: Destination,
    settings: Settings,
) -> Route:
    """Choose the route of one file.

    Args:
        wish: What the caller asks for.
        size_bytes: Raw size of the file.
        content_type: Its MIME type.
        overhead_bytes: Exact length of the message that embeds, with its hole empty.
        destination: Who receives.
        settings: Limits, account, environment.

    Raises:
        ConfigError: The wish contradicts itself or the settings, or something needed is not set.
        TypeMismatchError: The destination does not take this type.
        TooLargeError: The file fits no way that is open, or not the one asked for.
    """
    check_address(settings, api=wish.api, destination=destination)
    model = wish.model or default_model(wish.api)
    check_model(wish.api, model)
    _check_accepted(content_type, destination)
    _check_file_size(size_bytes, destination, settings)
    text = text_kind(wish, content_type)
    if text is not None and wish.method == "upload":
        raise ConfigError(
            "a file that goes into Notes as text cannot be uploaded: choose method auto or embed,"
            " or leave note_text off"
        )
    case = _Case(size_bytes, content_type, overhead_bytes, text, destination, settings)
    warnings = [*advice(content_type, model), *_text_advice(wish, model, text)]
    method, why = _method(wish, case)
    warnings.extend(why)
    if method == "upload" and text is not None:
        text = None
        warnings.append("as text the file is too large for one request: it goes by reference")
    return Route(wish.api, method, model, text, tuple(warnings))


def check_request_size(length_bytes: int, *, destination: Destination, settings: Settings) -> None:
    """Refuse a message whose exact length is over the request limit.

    Raises:
        TooLargeError: With both numbers.
    """
    limit = _request_limit(destination, settings)
    if length_bytes > limit:
        raise TooLargeError(
            f"the request has {length_bytes:,} bytes and the limit is {limit:,}: upload the file,"
            " or say less about it"
        )


def route_table() -> str:
    """What `choose` answers for telling sizes and accounts, as a Markdown table for the docs.

    Made with a message of 2,000 bytes, default limits, and a FHIR destination.
    """
    here = Destination(name="example", slug="example")
    small_door = Destination(name="example", slug="example", request_limit_bytes=10_000_000)
    paid = Settings(environment="Development")
    free = Settings(environment="Development", account="free")
    columns: tuple[tuple[str, Wish, Destination, Settings], ...] = (
        ("auto", Wish(), here, paid),
        ("auto, free account in Development", Wish(), here, free),
        ("auto, request limit 10 MB", Wish(), small_door, paid),
        ("upload", Wish(method="upload"), here, paid),
        ("embed", Wish(method="embed"), here, paid),
        ("embed, request limit 10 MB", Wish(method="embed"), small_door, paid),
    )
    lines = [
        f"| bytes | {' | '.join(title for title, *_ in columns)} |",
        "|--:" + "|---" * len(columns) + "|",
    ]
    for size in (1, 200_000, 200_001, 7_498_500, 7_498_501, 29_998_500, 29_998_501, 30_000_001):
        cells = (_cell(size, wish, to, settings) for _, wish, to, settings in columns)
        lines.append(f"| {size:,} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(size_bytes: int, wish: Wish, destination: Destination, settings: Settings) -> str:
    """One cell of the table: the method, or that there is none."""
    try:
        route = choose(
            wish,
            size_bytes=size_bytes,
            content_type="application/pdf",
            overhead_bytes=2_000,
            destination=destination,
            settings=settings,
        )
    except TooLargeError:
        return "`TooLargeError`"
    return f"{route.method}, with a warning" if route.warnings else route.method


class _Case(NamedTuple):
    """One file before its method is chosen."""

    size_bytes: int
    content_type: str
    overhead_bytes: int
    text: TextKind | None
    destination: Destination
    settings: Settings

    @property
    def wire_bytes(self) -> int:
        """Length of the request that embeds.

        For text it is the least length: what escaping adds is known when the text is read, and
        `check_request_size` is asked again then.
        """
        content = self.size_bytes if self.text else encoded_length(self.size_bytes)
        return self.overhead_bytes + content

    def embed_obstacle(self) -> str | None:
        """Why this file cannot be embedded; None when it can."""
        limit = _request_limit(self.destination, self.settings)
        if self.wire_bytes <= limit:
            return None
        return (
            f"embedded, this file of {self.size_bytes:,} bytes makes a request of"
            f" {self.wire_bytes:,} bytes, and the limit is {limit:,}"
        )

    def upload_obstacle(self, api: Api) -> str | None:
        """Why this file cannot be uploaded; None when it can."""
        if self.settings.account == "free" and self.settings.environment == "Development":
            return (
                f"free accounts cannot upload in Development (this file has {self.size_bytes:,}"
                " bytes): use Staging or a paid account, or embed"
            )
        if api == "data-model" or self.settings.binary_body == "raw":
            return None
        envelope = split_at_hole(binary(self.content_type, HOLE))
        length = envelope.length_bytes + encoded_length(self.size_bytes)
        limit = self.settings.limits.request_bytes
        if length <= limit:
            return None
        return (
            f"as FHIR JSON this file of {self.size_bytes:,} bytes makes an upload of {length:,}"
            f' bytes, and the request limit is {limit:,}: set binary_body = "raw"'
        )


def _method(wish: Wish, case: _Case) -> tuple[Method, list[str]]:
    """The method, and what to warn of."""
    no_embed, no_upload = case.embed_obstacle(), case.upload_obstacle(wish.api)
    small = case.size_bytes <= case.settings.limits.embed_up_to_bytes
    if wish.method == "upload":
        if no_upload is not None:
            raise TooLargeError(no_upload)
        return "upload", []
    if wish.method == "embed":
        if no_embed is not None:
            raise TooLargeError(f"{no_embed}: choose method upload or auto")
        return "embed", _size_advice(case)
    if no_embed is None and (small or case.text is not None):
        return "embed", _size_advice(case)
    if no_upload is None:
        return "upload", []
    if no_embed is None:
        return "embed", [*_size_advice(case), f"embedded because {no_upload}"]
    raise TooLargeError(f"{no_upload}; {no_embed}")


def _size_advice(case: _Case) -> list[str]:
    """Redox's advice against embedding much, or the caller's own threshold if that is lower."""
    threshold = case.settings.limits.embed_up_to_bytes
    if case.size_bytes <= min(threshold, RECOMMENDED_EMBED_BYTES):
        return []
    advised = threshold if case.size_bytes > threshold else RECOMMENDED_EMBED_BYTES
    return [f"{case.size_bytes:,} bytes are embedded; Redox advises not over {advised:,}"]


def _text_advice(wish: Wish, model: Model, text: TextKind | None) -> list[str]:
    """Say so when text was asked for and this file cannot be sent as text."""
    if model != "notes" or not wish.note_text or text is not None:
        return []
    return ["this type cannot stand in Notes as text: it goes as base64 or by reference"]


def _charset(content_type: str) -> str:
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"').lower()
    return ""


def _check_accepted(content_type: str, destination: Destination) -> None:
    if not destination.content_types:
        return
    kind = canonical(content_type)
    family = kind.partition("/")[0]
    for pattern in destination.content_types:
        wanted = canonical(pattern)
        if wanted in {kind, f"{family}/*", "*/*"}:
            return
    raise TypeMismatchError(
        f"the destination does not take {kind}; it takes {', '.join(destination.content_types)}"
    )


def _check_file_size(size_bytes: int, destination: Destination, settings: Settings) -> None:
    limit = settings.limits.file_bytes
    whose = "Redox takes at most"
    if destination.max_bytes is not None and destination.max_bytes < limit:
        limit, whose = destination.max_bytes, "this destination takes at most"
    if size_bytes > limit:
        raise TooLargeError(f"the file has {size_bytes:,} bytes; {whose} {limit:,}")


def _request_limit(destination: Destination, settings: Settings) -> int:
    return destination.request_limit_bytes or settings.limits.request_bytes
