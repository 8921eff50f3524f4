"""The description options of `send`, `delete` and `batch`.

The one rule: what was not given is absent, never empty, so that a more general level (`--metadata`,
profile) can say it.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from ..description import is_table

if TYPE_CHECKING:
    from collections.abc import Iterable

F = TypeVar("F", bound=Callable[..., Any])
APIS: Final = ("fhir", "data-model")
METHODS: Final = ("auto", "upload", "embed")
MODELS: Final = ("document-reference", "diagnostic-report", "notes", "media", "results")


class _IdAndType(click.ParamType[tuple[str, str | None]]):
    """`0000991234:MR`: an id and what kind it is; the last colon divides, so an id may have some.

    Without a colon no kind is said: FHIR carries the value alone, Data Models refuse a patient's.
    """

    name = "ID[:TYPE]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str | None]:
        ident, colon, kind = str(value).rpartition(":")
        if not colon:
            ident, kind = kind, ""
        if not ident.strip() or (colon and not kind.strip()):
            self.fail("write it as ID:TYPE, such as 0000991234:MR, or as ID alone", param, ctx)
        return ident.strip(), kind.strip() or None


class _PersonName(click.ParamType[tuple[str, str]]):
    """`First Last` or `Last, First`; three words and more only with the comma, which decides."""

    name = "NAME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        last, comma, first = (part.strip() for part in str(value).partition(","))
        words = str(value).split()
        if not comma and len(words) == 2:
            return words[0], words[1]
        if not comma or not first or not last:
            self.fail('write it as "First Last" or "Last, First"', param, ctx)
        return first, last


class _Day(click.ParamType[dt.date]):
    """`1971-03-09`."""

    name = "YYYY-MM-DD"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.date:
        try:
            return dt.datetime.strptime(str(value), "%Y-%m-%d").date()  # noqa: DTZ007  # a day
        except ValueError:
            self.fail("write it as YYYY-MM-DD, such as 1971-03-09", param, ctx)


_OPTIONS: Final = (
    click.option("--api", type=click.Choice(APIS), help="Redox API.  [default: fhir]"),
    click.option(
        "--method",
        type=click.Choice(METHODS),
        help="Upload the file and refer to it, or embed it in the message.  [default: auto, by size]",
    ),
    click.option(
        "--model",
        type=click.Choice(MODELS),
        help="What the file becomes.  [default: document-reference, or notes]",
    ),
    click.option(
        "--patient",
        type=_IdAndType(),
        multiple=True,
        help="An identifier of the patient, such as 0000991234:MR; may be repeated. Without TYPE the"
        " value is sent alone: only where the receiver knows what it is; Data Models require it.",
    ),
    click.option(
        "--patient-name", type=_PersonName(), help='Such as "Marla Quillfeather" or "Last, First".'
    ),
    click.option("--birth-date", type=_Day(), help="Of the patient."),
    click.option("--provider", type=_IdAndType(), help="Who is responsible, such as 9999999995:NPI."),
    click.option("--type", "type_", metavar="TEXT", help='Kind of document, such as "Consent Form".'),
    click.option("--visit", metavar="NUMBER", help="Visit number, such as V-17."),
    click.option("--order", metavar="ID", help="Order that a result answers, such as LAB-77120."),
    click.option("--code", metavar="CODE", help="Code of the result, such as PDF_REPORT."),
    click.option("--document-id", metavar="ID", help="Id of the document; one file only."),
    click.option(
        "--metadata",
        metavar="FILE",
        type=click.Path(dir_okay=False),
        help="Description for all files, JSON or TOML. Options can be seen in the list of"
        " processes, this file cannot.",
    ),
)


def description_options(*, leave_out: Iterable[str] = ()) -> Callable[[F], F]:
    """A decorator that adds the description options to a click command.

    The command gets them as one mapping, `described`, for `from_options`; except `api`, `method`,
    `model` and `metadata`, which arrive by name.

    Args:
        leave_out: Options that the verb does not have, such as `--method`.
    """
    left_out = set(leave_out)

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def with_description(**given: Any) -> Any:
            described = {key: given.pop(key) for key in _DESCRIBING if key in given}
            return command(**given, described=described)

        wrapped: Any = with_description
        for option in reversed(_OPTIONS):
            probe: Any = option(lambda: None)
            if not set(probe.__click_params__[0].opts) & left_out:
                wrapped = option(wrapped)
        result: F = wrapped
        return result

    return decorate


_DESCRIBING: Final = (
    "patient",
    "patient_name",
    "birth_date",
    "provider",
    "type_",
    "visit",
    "order",
    "code",
    "document_id",
)


def from_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """The mapping of a document that the options describe; what was not given is absent."""
    first, last = given.get("patient_name") or (None, None)
    provider = given.get("provider") or (None, None)
    return _without_blanks(
        {
            "document_id": given.get("document_id"),
            "type": given.get("type_"),
            "patient": {
                "identifiers": [
                    _without_blanks({"id": ident, "type": kind})
                    for ident, kind in given.get("patient") or ()
                ],
                "first_name": first,
                "last_name": last,
                "birth_date": given.get("birth_date"),
            },
            "provider": {"id": provider[0], "id_type": provider[1]},
            "visit": {"number": given.get("visit")},
            "order": {"id": given.get("order"), "code": given.get("code")},
        }
    )


def _without_blanks(described: Mapping[str, Any]) -> dict[str, Any]:
    """Without the keys that hold nothing, also inside tables."""
    kept: dict[str, Any] = {}
    for key, value in described.items():
        inside = _without_blanks(value) if is_table(value) else value
        if inside not in (None, {}, []):
            kept[key] = inside
    return kept
