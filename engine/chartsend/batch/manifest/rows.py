"""One row's description becomes a document: laid over the defaults, checked, its path proved inside.

The one rule: a row is read whole or rejected, and why is said with the names of fields that chartsend
knows, never with anything that stands in the row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ...description import merge
from ...disk.sidecar import read_sidecar
from ...document import API_OF, Api, Document, Model
from ...errors import InvalidDocumentError, PathEscapeError, RowRejectedError
from ...shape import Shape, parse_shape
from .entry import Row, RowMethod

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .paths import Root

ROW_KEYS: Final = ("to", "api", "model", "method")
"""What only a row may say, beside the fields of a document."""
REFUSED: Final = "#refused"
"""Key of a row that a folder's listing has for a file that cannot be sent. It can only reject the row
it stands in, whoever wrote it, and its value is looked up here, never repeated."""
REFUSALS: Final = {
    "pattern": "the file's name does not fit the pattern",
    "ambiguous": "the file's name fits the pattern in more than one way",
    "sidecar": "the file's sidecar was not readable as a description when the folder was listed",
    "alone": "a sidecar without its file: it describes a document that is not there",
}


class _Addressing(Shape, frozen=True, kw_only=True):
    """How a row is sent, where it says so itself."""

    to: str | None = None
    api: Api | None = None
    model: Model | None = None
    method: RowMethod | None = None


_NOT_SAID: Final = _Addressing()


class RowReader:
    """Makes rows of descriptions.

    Args:
        root: Where the files are.
        defaults: What a row does not say itself; keys of a document.
    """

    def __init__(self, root: Root, defaults: Mapping[str, Any]) -> None:
        self._root = root
        self._defaults = defaults

    def read(self, described: dict[str, Any]) -> Row:
        """A row of its description, which is used up.

        Raises:
            RowRejectedError: It cannot be read as a row.
            PathEscapeError: It names a file outside the root.
        """
        try:
            return self._read(described)
        except (PathEscapeError, RowRejectedError):
            raise
        except InvalidDocumentError as exc:
            raise RowRejectedError(exc.message, missing=exc.missing, problems=exc.problems) from None

    def _read(self, described: dict[str, Any]) -> Row:
        named = described.pop("path", None)
        if REFUSED in described:
            raise self._refused(described[REFUSED], named)
        if not isinstance(named, str):
            wrong = "is missing" if named is None else "is of the wrong type"
            raise RowRejectedError(f"path {wrong}", problems=(f"path {wrong}",))
        said: dict[str, Any] = {key: described.pop(key) for key in ROW_KEYS if key in described}
        way = _addressing(said) if said else _NOT_SAID
        whole = merge(described, self._defaults) if self._defaults else described
        whole["path"] = self._root.inside(named)
        document = parse_shape(Document, whole, shows_keys=False)
        return Row(document, way.to, way.api, way.model, way.method)

    def _refused(self, why: object, named: object) -> RowRejectedError:
        if why == "sidecar" and isinstance(named, str):
            try:
                read_sidecar(self._root.inside(named))
            except InvalidDocumentError as exc:
                return RowRejectedError(exc.message)
        known = isinstance(why, str) and why in REFUSALS
        return RowRejectedError(REFUSALS[str(why)] if known else "unknown key")


def _addressing(said: Mapping[str, Any]) -> _Addressing:
    way = parse_shape(_Addressing, said, shows_keys=False)
    if way.to == "":
        raise RowRejectedError("to is empty")
    if way.api is not None and way.model is not None and API_OF[way.model] != way.api:
        raise RowRejectedError(
            f"api and model contradict each other: {way.model} is carried by {API_OF[way.model]}"
        )
    return way
