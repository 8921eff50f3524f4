"""Markdown that is made from the program: one function for each table or list of the reference.

The one rule: nothing is repeated here that the program says itself; a name that has no description
in its class's docstring is an error, not an empty cell.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
from typing import TYPE_CHECKING, Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import click
import msgspec

from chartsend import Receipt
from chartsend.cli import exits, main
from chartsend.errors import Phase, TransferError, Verdict
from chartsend.pool import Pool, buffers_of
from chartsend.redox import limits, route, valuesets
from chartsend.redox.media_types import EXTENSIONS
from chartsend.redox.required import OUR_FIELDS, REQUIRED, wording
from chartsend.sandbox import events, faults
from chartsend.settings import Auth, Destination, Limits, Retry, Settings, Timeouts
from chartsend.transport.verdicts import MAY_RETRY_BY_SETTING, RULES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_SECTION: Final = re.compile(r"^(?P<name>[A-Z][a-z]+):$", re.MULTILINE)
_ITEM: Final = re.compile(r"^ {4}(?P<name>\w+): (?P<text>.*(?:\n {8}.*)*)", re.MULTILINE)


def attributes(kind: type) -> dict[str, str]:
    """What the `Attributes:` of a Google-style docstring say of each name."""
    text = inspect.getdoc(kind) or ""
    start = text.find("Attributes:\n")
    if start < 0:
        return {}
    body = text[start + len("Attributes:\n") :]
    following = _SECTION.search(body)
    body = body[: following.start()] if following else body
    return {item["name"]: " ".join(item["text"].split()) for item in _ITEM.finditer(body)}


def summary(kind: object) -> str:
    """The first paragraph of a docstring, as one line."""
    return " ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split())


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def type_name(hint: Any) -> str:
    """A type for people who write TOML."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in args)
    if origin in {Union, types.UnionType}:
        return " or ".join(type_name(arg) for arg in args if arg is not type(None))
    if origin is tuple:
        is_fixed = get_origin(args[0]) is Literal
        return f"list of {type_name(args[0])}" + ("" if is_fixed else "s")
    if origin is dict:
        return "table of texts"
    names = {str: "text", int: "number", float: "number", bool: "`true`, `false`"}
    return names.get(hint, getattr(hint, "__name__", str(hint)))


def _unit(name: str, hint: Any) -> str:
    if name.endswith("_bytes"):
        return "size"
    if name.endswith("_s") and hint in {float, int}:
        return "duration"
    return type_name(hint)


def _default(value: object) -> str:
    if value is None or value in ((), {}):
        return "-"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:g}`"
    if isinstance(value, tuple):
        return ", ".join(_default(each) for each in value)
    return f"`{value}`"


def _settings_rows(kind: type) -> Iterator[tuple[str, ...]]:
    described = attributes(kind)
    hints = get_type_hints(kind)
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[field.name]) or field.name == "destinations":
            continue
        if kind is Destination and field.name == "name":
            continue
        default = field.default
        if default is dataclasses.MISSING:
            default = field.default_factory() if callable(field.default_factory) else None
        yield (
            f"`{field.name}`",
            _unit(field.name, hints[field.name]),
            _default(default),
            described[field.name],
        )


def settings() -> str:
    """Every setting, table by table."""
    parts: list[str] = []
    for kind, title in (
        (Settings, "At the top of a profile"),
        (Auth, "`[auth]`"),
        (Limits, "`[limits]`"),
        (Timeouts, "`[timeouts]`"),
        (Retry, "`[retry]`"),
        (Destination, "`[destinations.NAME]`"),
    ):
        head = ("key", "type", "default", "meaning")
        parts += [f"## {title}", "", summary(kind), "", table(head, _settings_rows(kind))]
    return "\n".join(parts)


def error_classes() -> list[type[TransferError]]:
    """Every error, in the order of the file; what is raised, so without the root."""
    found: list[type[TransferError]] = []

    def add(kind: type[TransferError]) -> None:
        for child in kind.__subclasses__():
            if child.__module__ == TransferError.__module__ and child not in found:
                found.append(child)
                add(child)

    add(TransferError)
    order = inspect.getsource(inspect.getmodule(TransferError))  # type: ignore[arg-type]  # it has one
    return sorted(found, key=lambda kind: order.index(f"class {kind.__name__}("))


_VERDICTS: Final = {
    Verdict.RETRY: "may be repeated",
    Verdict.IN_DOUBT: "in doubt",
    Verdict.GIVE_UP: "fails again",
}


def errors() -> str:
    """Every error: its code, its usual verdict, what it means, and the exit code it gives alone."""
    rows = (
        (
            f"`{kind.code}`",
            f"{{py:class}}`{kind.__name__} <chartsend.errors.{kind.__name__}>`",
            _VERDICTS[kind.default_verdict],
            str(exits.of_code(kind.code)),
            summary(kind),
        )
        for kind in error_classes()
    )
    return table(("code", "class", "usual verdict", "exit code", "meaning"), rows)


def verdict_words() -> str:
    """The four verdicts and the five phases."""
    source = inspect.getsource(inspect.getmodule(Verdict))  # type: ignore[arg-type]  # it has one
    lines: list[str] = []
    for kind in (Verdict, Phase):
        rows = ((f"`{member.name}`", _text_after(source, kind, member.name)) for member in kind)
        lines.append(table((kind.__name__.lower(), "meaning"), rows))
    return "\n".join(lines)


def _text_after(source: str, kind: type, name: str) -> str:
    """The string that stands under an enum's member."""
    body = source[source.index(f"class {kind.__name__}(") :]
    match = re.search(rf'^    {name} = [^\n]*\n    """(.*?)"""', body, re.MULTILINE | re.DOTALL)
    if match is None:
        raise LookupError(f"{kind.__name__}.{name} has no text")
    return " ".join(match[1].split())


def verdicts() -> str:
    """What each status means, for uploads and for messages."""

    def words(verdict: Verdict) -> str:
        return verdict.name

    rows = [
        (
            "any other" if rule.statuses == (0, 999) else _range(*rule.statuses),
            f"`{rule.error.code}`",
            words(rule.repeatable),
            words(rule.message),
            words(rule.message_early),
            rule.advice,
        )
        for rule in RULES
    ]
    head = ("status", "error", "upload, query", "message", "message, answered early", "what to do")
    by_setting = " or ".join(str(status) for status in sorted(MAY_RETRY_BY_SETTING))
    return (
        table(head, rows)
        + "\nThe first row that fits counts. A 503 with `Retry-After` is `RETRY` for a message too: the"
        f' server says that it did not handle it. With `retry.message_on_5xx = "retry"`, a {by_setting}'
        " is `RETRY` as well.\n"
    )


def _range(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} to {last}"


def command_line() -> str:
    """The help of the command and of every verb, as it is printed."""
    parts: list[str] = []
    for path, command, context in _commands(main.chartsend, "chartsend", None):
        help_text = command.get_help(context).rstrip()
        parts += [f"## `{path}`", "", "```text", help_text, "```", ""]
    return "\n".join(parts)


def _commands(
    command: click.Command, name: str, parent: click.Context | None
) -> Iterator[tuple[str, click.Command, click.Context]]:
    """The command and all below it, groups that do nothing themselves left out."""
    width = {"terminal_width": 88, "max_content_width": 88}
    context = click.Context(command, parent=parent, info_name=name, **command.context_settings | width)
    if parent is None or not isinstance(command, click.Group):
        yield context.command_path.partition(" [")[0] or name, command, context
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            child = command.get_command(context, each)
            if child is None:
                raise LookupError(each)
            yield from _commands(child, each, context)


def memory() -> str:
    """Chunk size, slots and buffers for telling numbers of sends at once, with the default budget."""
    rows = []
    for concurrency in (16, 64, 128, 256, 512, 1024):
        pool = Pool(concurrency=concurrency, buffer_bytes=Settings().buffer_bytes)
        whole = pool.slots * buffers_of(pool.chunk_bytes)
        rows.append(
            (str(concurrency), str(pool.slots), f"{pool.chunk_bytes:,} B", f"{whole / 1e6:.1f} MB")
        )
    return table(("`concurrency`", "sends at once", "chunk", "buffers of all together, at most"), rows)


def exit_codes() -> str:
    """Every exit code and which wins."""
    rows = ((f"`{code}`", meaning) for code, meaning in exits.MEANINGS.items())
    order = ", ".join(f"`{code}`" for code in exits.PRECEDENCE)
    return (
        table(("code", "meaning"), rows)
        + f"\nWhen several apply, the first of these that does: {order}.\n"
    )


def limits_table() -> str:
    """Every limit with its source."""
    return limits.limits_table()


def route_table() -> str:
    """Which method `auto` and the others give for telling sizes."""
    return route.route_table()


def requirements() -> str:
    """What each model requires, in Redox's spelling, and our field for it."""
    parts: list[str] = []
    fields = OUR_FIELDS | {f"{model}.OriginalDocumentID": ("replaces",) for model in ("Note", "Media")}
    for model, paths in REQUIRED.items():
        rows = (
            (f"`{path}`", wording(fields[path]) if path in fields else "filled in by chartsend")
            for path in paths
        )
        parts += [f"### {model.replace(':', ' ')}", "", table(("required", "field"), rows)]
    return "\n".join(parts)


def statuses() -> str:
    """What `status` may be, by model."""
    rows = (
        (
            f"`{model}`",
            ", ".join(f"`{value}`" for value in valuesets.statuses(model)),
            _default(default),
        )
        for model, default in valuesets.DEFAULT_STATUS.items()
    )
    return table(("model", "allowed", "when absent"), rows)


def file_types() -> str:
    """Which ending means which type."""
    endings: dict[str, list[str]] = {}
    for extension, kind in EXTENSIONS.items():
        endings.setdefault(kind, []).append(f"`.{extension}`")
    rows = ((", ".join(names), f"`{kind}`") for kind, names in endings.items())
    return table(("name ends with", "content type"), rows)


def receipt() -> str:
    """Every field of a receipt, in the order of the line."""
    described = attributes(Receipt) | {
        "api": "`fhir` or `data-model`.",
        "method": "`upload` or `embed`; null when it ended before that was chosen.",
        "model": "What the file became.",
    }
    fields = msgspec.structs.fields(Receipt)
    rows = ((f"`{field.encode_name}`", described[field.encode_name]) for field in fields)
    return table(("field", "meaning"), rows)


def events_table() -> str:
    """Every field of an event."""
    line = events.Event(kind="token").line(1, "")
    described = attributes(events.Event) | {
        "seq": "1, 2, 3 …; ask for what came after a number with `?after=SEQ`.",
        "at": "When it was committed: ISO 8601, UTC, milliseconds.",
        "bytes": "Length of the file as its receiver gets it, decoded.",
    }
    rows = ((f"`{name}`", described[name]) for name in msgspec.json.decode(line))
    return table(("field", "meaning"), rows)


def fault_language() -> str:
    """The language of faults, from the text of its module, then every kind with its fields."""
    text = (faults.__doc__ or "").partition("\n\n")[2]
    kinds = get_args(faults.AnyFault)
    common = {field.encode_name for field in msgspec.structs.fields(faults.Fault)}
    rows = (
        (
            f"`{kind.__struct_config__.tag}`",
            summary(kind),
            ", ".join(
                f"`{field.encode_name}`"
                for field in msgspec.structs.fields(kind)
                if field.encode_name not in common
            )
            or "-",
        )
        for kind in kinds
    )
    return text + "\n\n" + table(("`do`", "what it is", "its own fields"), rows)


TABLES: Final[dict[str, Callable[[], str]]] = {
    "settings": settings,
    "errors": errors,
    "verdict-words": verdict_words,
    "verdicts": verdicts,
    "cli": command_line,
    "exit-codes": exit_codes,
    "memory": memory,
    "limits": limits_table,
    "routes": route_table,
    "requirements": requirements,
    "statuses": statuses,
    "file-types": file_types,
    "receipt": receipt,
    "events": events_table,
    "faults": fault_language,
}
"""By the name that a page uses."""
