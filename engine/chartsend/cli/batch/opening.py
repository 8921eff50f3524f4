"""From the options of a call to what a batch is opened with: manifest, ledger, settings.

The one rule: whatever can be wrong with a call is found here, before a ledger is made.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...batch.facts import STARTED
from ...batch.manifest.folder import write_listing
from ...batch.options import BatchOptions
from ...batch.sqlite import SqliteReader, held
from ...batch.where import ledger_of, listing_of
from ...description import merge
from ...disk.own import Own
from ...disk.sidecar import read_metadata
from ...errors import LedgerError
from ..demo import private_sandbox
from ..describe import from_options
from ..descriptors import fitted
from ..destination import say_if_mistyped
from ..progress import say
from ..summary import left_out_words
from .trial import USUAL, completed, destinations_of, private_folder

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from typing import Any

    from ...settings import Settings
    from ...settings.load import Loaded
    from ..asked import Asked
    from .options import Given


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """What a batch is opened with.

    Attributes:
        manifest: The file.
        ledger: Its ledger's directory.
        settings: For the engine.
        options: What is asked of rows.
        is_trial: Whether all of it goes away afterwards.
    """

    manifest: Path
    ledger: Path
    settings: Settings
    options: BatchOptions
    is_trial: bool


@contextlib.contextmanager
def ready(asked: Asked, given: Given) -> Generator[Ready]:
    """Everything that a batch needs, for as long as the block runs.

    Raises:
        ConfigError: A setting, `--metadata` or the manifest's place is wrong.
        click.UsageError: Options contradict each other.
    """
    metadata = read_metadata(given.metadata) if given.metadata else {}
    described = merge(from_options(given.described), metadata)
    with contextlib.ExitStack() as stack:
        if given.sandbox:
            yield _trial(asked, given, described, stack)
            return
        loaded = asked.load_to_send(**_overrides(given))
        if given.to is not None:
            say_if_mistyped(given.to, loaded.settings)
        ledger = given.ledger or ledger_of(_with_name(given.manifest))
        manifest, root = _manifest(given, ledger, _own(given, ledger, loaded))
        yield Ready(
            manifest=manifest,
            ledger=ledger,
            settings=fitted(loaded.settings),
            options=_options(given, merge(described, loaded.document), root),
            is_trial=False,
        )


def _trial(
    asked: Asked, given: Given, described: Mapping[str, Any], stack: contextlib.ExitStack
) -> Ready:
    if asked.profile or asked.environment or asked.source_id:
        say("With --sandbox, --profile, --environment and --source-id are not used.")
    if given.ledger is not None:
        raise click.UsageError("--sandbox is a trial with a ledger that goes away: leave --ledger out.")
    ledger = stack.enter_context(private_folder()) / "ledger"
    manifest, root = _manifest(given, ledger, _own(given, ledger, None))
    names = destinations_of(manifest, given.to or USUAL, root=root, form=given.form)
    settings = stack.enter_context(private_sandbox(names, _overrides(given))).settings
    whole = completed(described, api=given.api, model=given.model)
    return Ready(
        manifest=manifest,
        ledger=ledger,
        settings=fitted(settings),
        options=dataclasses.replace(_options(given, whole, root), to=given.to or USUAL),
        is_trial=True,
    )


def _manifest(given: Given, ledger: Path, own: Own) -> tuple[Path, str | None]:
    """The manifest's file, and the root of its rows' paths; of a folder it is a listing, made here.

    Args:
        given: The options.
        ledger: Directory of the ledger; the listing lies beside it.
        own: What the run itself uses, and is no row of a listing.
    """
    if not given.manifest.is_dir():
        if given.pattern is not None:
            raise click.UsageError("--pattern is for a folder, and MANIFEST is none.")
        return given.manifest, given.root
    if given.root is not None or given.form is not None:
        raise click.UsageError(
            "of a folder, --root is the folder, and --format is jsonl: leave them out."
        )
    folder = _with_name(given.manifest)
    target = listing_of(ledger)
    say("Listing the folder.")
    listing = write_listing(folder, given.pattern, target, own=own, turn=_turn(ledger))
    left_out = left_out_words(listing.skipped.counts)
    if left_out:
        say(f"Left out: {left_out}.")
    if listing.differs and not listing.is_written:
        say(
            "The folder, its sidecars or --pattern changed since sending began: this batch goes on with"
            " what was listed then. What came later needs a ledger of its own (--ledger DIR); what was"
            " sent already is recognised there."
        )
    return target, str(folder)


def _with_name(manifest: Path) -> Path:
    """A folder by its whole path, since `.` has no name that a ledger beside it could have."""
    return Path(os.path.abspath(manifest)) if manifest.is_dir() else manifest  # noqa: PTH100  # no links


@contextlib.contextmanager
def _turn(ledger: Path) -> Generator[bool]:
    """Hold a ledger, so that no other start of this batch reads the listing meanwhile, or replaces it.

    Gives whether the listing may change: not once something was sent.

    Raises:
        LedgerLockedError: Another process works with the ledger.
        LedgerError: It cannot be kept there.
    """
    with held(ledger):
        yield not _has_begun(ledger)


def _has_begun(ledger: Path) -> bool:
    """Whether something may have been sent from a ledger, so that its rows must stay as they are."""
    if not (ledger / "ledger.db").exists():
        return False
    try:
        with contextlib.closing(SqliteReader.open(ledger)) as reader:
            return STARTED in reader.facts()
    except LedgerError:
        return True


def _own(given: Given, ledger: Path, loaded: Loaded | None) -> Own:
    """What the run itself uses: none of it is a document, should it lie in a folder that is sent."""
    used: list[str | Path | None] = [given.metadata]
    if loaded is not None:
        auth = loaded.settings.auth
        used += [loaded.file, auth.key_file, auth.secret_file, loaded.settings.ca_file]
    return Own.of(used, folder=ledger if ledger.exists() else None)


def _options(given: Given, described: dict[str, Any], root: str | None) -> BatchOptions:
    return BatchOptions(
        to=given.to,
        api=given.api,
        method=given.method,
        model=given.model,
        note_text=given.note_text,
        defaults=described,
        root=root,
        on_unknown=given.on_unknown,
        deadline_s=given.deadline,
        give_up_after_s=given.give_up_after,
        canaries=given.canaries,
        sends_again=given.send_again,
    )


def _overrides(given: Given) -> dict[str, object]:
    overrides: dict[str, object] = {}
    if given.concurrency is not None:
        overrides["concurrency"] = given.concurrency
    if given.embed_up_to is not None:
        overrides["limits"] = {"embed_up_to_bytes": given.embed_up_to}
    return overrides
