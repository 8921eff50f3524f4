"""What the verbs that send nothing have in common: where the batch is, and how its manifest is read.

The one rule: they need the manifest's name and nothing else; what a run was told stands in its ledger.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import click

from ...errors import ConfigError, ManifestError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from ...batch.ledger import LedgerReader
    from ...batch.manifest.reading import Manifest
    from ...batch.naming import Names

F = TypeVar("F", bound="Callable[..., Any]")

_PLACE: Final = (
    click.argument("manifest", metavar="MANIFEST", type=click.Path(path_type=Path)),
    click.option(
        "--ledger",
        metavar="DIR",
        type=click.Path(file_okay=False, path_type=Path),
        help="The batch's ledger.  [default: MANIFEST.chartsend]",
    ),
)
_READING: Final = (
    click.option(
        "--root",
        metavar="DIR",
        type=click.Path(file_okay=False),
        help="As for `batch run`.  [default: the manifest's folder]",
    ),
    click.option(
        "--manifest-format",
        "form",
        type=click.Choice(["jsonl", "csv"]),
        help="As --format of `batch run`.  [default: by its name]",
    ),
)


def place_options(command: F) -> F:
    """Give a click command the manifest and `--ledger`, for `Place`."""
    return _with(command, _PLACE)


def reading_options(command: F) -> F:
    """Give a click command what is needed to read the manifest too."""
    return _with(command, (*_PLACE, *_READING))


def _with(command: F, options: tuple[Any, ...]) -> F:
    wrapped: Any = command
    for option in reversed(options):
        wrapped = option(wrapped)
    result: F = wrapped
    return result


@dataclass(frozen=True, slots=True)
class Place:
    """Where a batch is.

    Attributes:
        manifest: As given: a file, or a folder.
        given_ledger: `--ledger`, or None.
        root: `--root`, or None.
        form: Of the manifest, or None.
    """

    manifest: Path
    given_ledger: Path | None = None
    root: str | None = None
    form: Literal["jsonl", "csv"] | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Place:
        """From what click gives to a command with these options."""
        return cls(given["manifest"], given["ledger"], given.get("root"), given.get("form"))

    @property
    def ledger(self) -> Path:
        """Directory of the ledger.

        Raises:
            ConfigError: There is none: most often a name was mistyped.
        """
        from ...batch.where import ledger_of  # noqa: PLC0415  # help stays fast

        ledger = self.given_ledger or ledger_of(self.manifest)
        if not os.path.lexists(ledger):
            raise ConfigError(self._missing())
        return ledger

    def _missing(self) -> str:
        """What was looked for, and not found. No name in it: it goes to stderr."""
        if self.given_ledger is not None:
            return "there is no ledger in the directory that --ledger names: check its name"
        if not os.path.lexists(self.manifest):
            return (
                "there is no manifest of that name, and no ledger MANIFEST.chartsend beside it: check"
                " the name; a ledger that lies elsewhere is named with --ledger DIR"
            )
        return (
            "there is no ledger here yet (MANIFEST.chartsend beside the manifest): `batch plan` or"
            " `batch run` makes one; one that lies elsewhere is named with --ledger DIR"
        )

    def open_manifest(self) -> Manifest:
        """Open the manifest, or the listing of a folder.

        Raises:
            ManifestError: It cannot be used, or is gone.
        """
        from ...batch.manifest.reading import Manifest  # noqa: PLC0415
        from ...batch.where import listing_of  # noqa: PLC0415

        if self.manifest.is_dir():
            return Manifest.open(listing_of(self.ledger), root=self.manifest.absolute())
        return Manifest.open(self.manifest, root=self.root, form=self.form)

    @contextlib.contextmanager
    def names(self, reader: LedgerReader) -> Generator[Names]:
        """Who rows are, as far as the manifest is there to tell."""
        from ...batch.naming import Names, sender_of  # noqa: PLC0415

        with contextlib.ExitStack() as stack:
            manifest: Manifest | None = None
            with contextlib.suppress(ManifestError):
                manifest = stack.enter_context(self.open_manifest())
            yield Names(manifest, reader.keyed, sender_of(reader.facts()))
