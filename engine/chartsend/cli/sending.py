"""What one call of `send` does, from its options to its exit code.

The one rule: it asks, the engine does: here is which files, which words, and which exit code.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import sys
from typing import TYPE_CHECKING, Any, Final

import anyio
import click

from ..description import merge
from ..disk import find
from ..disk.own import Own
from ..disk.sidecar import read_metadata
from ..document import API_OF
from ..errors import ConfigError
from ..redox.route import default_model
from ..workers.count import cores, most_workers, workers_for
from .accepted import EarlierRun
from .demo import private_sandbox
from .describe import from_options
from .descriptors import fitted
from .destination import say_if_mistyped
from .exits import NO_SOURCE
from .intake import Intake, Route
from .made_up import fill
from .progress import make_bar, say
from .run import Job, Run, leave
from .show import Show
from .summary import FewIds, Summary, left_out_words
from .words import counted, verb

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ..settings import Settings
    from ..settings.load import Loaded
    from .asked import Asked

LOOKED_AT: Final = 10_000
"""Files whose sizes are asked for before any is sent; where there are more, that is no matter."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The options, as click gives them."""

    paths: tuple[str, ...]
    to: str
    described: dict[str, Any]
    api: Any
    method: Any
    model: Any
    metadata: str | None
    note_text: bool | None
    concurrency: int | None
    workers: int
    deadline: float
    embed_up_to: int | None
    dry_run: bool
    as_json: bool
    sandbox: bool
    skip_accepted: Path | None
    fail_fast: bool


class Sending:
    """One call of `send`, from its options to its exit code."""

    def __init__(self, asked: Asked, given: Given) -> None:
        self._asked = asked
        self._given = given
        self._skipped = find.Skipped()
        self._summary = Summary()

    def run(self) -> int:
        """Do it, and give the exit code.

        Raises:
            ConfigError: An option or a setting is wrong; nothing was sent.
        """
        if sys.stdout is None:
            raise ConfigError("stdout is closed; the receipts need it, if only to be thrown away")
        roots = find.look(self._given.paths, self._skipped)
        left_out = find.Skipped()
        if next(find.walk(roots, left_out, self._own()), None) is None:
            self._say_nothing_found(roots, left_out)
            return NO_SOURCE
        metadata = read_metadata(self._given.metadata) if self._given.metadata else {}
        earlier = _read_receipts(self._given.skip_accepted)
        with contextlib.ExitStack() as stack:
            loaded = self._load(stack)
            own = self._own(loaded)
            self._check_one_document(roots, own)
            settings = fitted(loaded.settings)
            described = merge(from_options(self._given.described), merge(metadata, loaded.document))
            route = self._route(settings)
            say_if_mistyped(self._given.to, settings)
            intake = Intake(
                roots, self._skipped, described, route, self._summary, earlier=earlier, own=own
            )
            if self._given.sandbox:
                self._say_made_up(described, route)
                intake.complete = lambda whole: fill(whole, model=route.model)[0]
            run = self._transfer(settings, intake)
        code = self._summary.outcome.exit_code()
        if run.is_stuck:
            leave(code)
        return code

    def _transfer(self, settings: Settings, intake: Intake) -> Run:
        given = self._given
        bar = make_bar()
        show = Show(as_json=given.as_json, bar=bar)
        job = Job(
            settings=settings,
            to=given.to,
            api=given.api,
            method=given.method,
            model=given.model,
            note_text=given.note_text,
            deadline_s=given.deadline,
            fail_fast=given.fail_fast,
            workers=self._workers(settings, intake.roots, intake.own),
        )
        run = Run(job, intake, show=show, summary=self._summary, bar=bar)
        with bar or contextlib.nullcontext():
            anyio.run(run.plan if given.dry_run else run.send)
        lines = self._summary.lines(
            seconds=run.seconds, skipped=self._skipped.counts, statistics=run.statistics
        )
        for line in lines:
            say(line)
        return run

    def _workers(self, settings: Settings, roots: find.Roots, own: Own) -> int:
        """How many processes to send from: as asked for, but none that would have nothing to do."""
        asked = self._given.workers
        if not asked:
            return self._worthwhile(settings, roots, own)
        files = list(itertools.islice(find.walk(roots, find.Skipped(), own), asked))
        workers = min(asked, most_workers(settings, documents=len(files)))
        if workers > cores():
            say(
                f"{workers} workers will share the {counted(cores(), 'processor')} that this process"
                " may use: more workers than processors are no faster."
            )
        return workers

    def _worthwhile(self, settings: Settings, roots: find.Roots, own: Own) -> int:
        """How many processes these files are worth; the private sandbox is one, and busy first."""
        if self._given.sandbox or self._given.dry_run:
            return 1
        paths = itertools.islice(find.walk(roots, find.Skipped(), own), LOOKED_AT)
        sizes = [find.size_of(path) for path in paths]
        raw_bytes, documents = sum(sizes), len(sizes)
        if documents == LOOKED_AT:  # and nobody knows how many more
            return workers_for(settings, mean_bytes=raw_bytes / documents)
        return workers_for(settings, documents=documents, mean_bytes=raw_bytes / max(1, documents))

    def _load(self, stack: contextlib.ExitStack) -> Loaded:
        given = self._given
        overrides: dict[str, object] = {}
        if given.concurrency is not None:
            overrides["concurrency"] = given.concurrency
        if given.embed_up_to is not None:
            overrides["limits"] = {"embed_up_to_bytes": given.embed_up_to}
        if not given.sandbox:
            return self._asked.load_to_send(**overrides)
        if self._asked.profile or self._asked.environment or self._asked.source_id:
            say("With --sandbox, --profile, --environment and --source-id are not used.")
        return stack.enter_context(private_sandbox([given.to], overrides))

    def _route(self, settings: Settings) -> Route:
        """API and model as the engine will choose them."""
        given = self._given
        api = given.api or (settings.api if given.model is None else API_OF[given.model])
        fits = settings.model is not None and API_OF[settings.model] == api
        model = given.model or (settings.model if fits else None) or default_model(api)
        destination = settings.destination(given.to).name
        return Route(api, model, settings.source_id, destination)

    def _own(self, loaded: Loaded | None = None) -> Own:
        """What this run uses itself, as far as that is known before and after its settings."""
        used: list[str | Path | None] = [self._given.metadata, self._given.skip_accepted]
        if loaded is None:
            return Own.of(used)
        settings = loaded.settings
        used += [loaded.file, settings.auth.key_file, settings.auth.secret_file, settings.ca_file]
        store = loaded.file.parent if self._given.sandbox and loaded.file else None
        return Own.of(used, folder=store)

    def _check_one_document(self, roots: find.Roots, own: Own) -> None:
        """An id names one document; sent under the same id, the others would replace the first."""
        if not self._given.described.get("document_id"):
            return
        sources = itertools.chain(find.walk(roots, find.Skipped(), own), roots.missing)
        if len(list(itertools.islice(sources, 2))) > 1:
            raise click.UsageError("--document-id names one document, and there are several files.")

    def _say_nothing_found(self, roots: find.Roots, skipped: find.Skipped) -> None:
        left_out = left_out_words(self._skipped.counts + skipped.counts)
        why = f" (left out: {left_out})" if left_out else ""
        say(f"Nothing to send: no file was found where you pointed{self._absent(roots)}{why}.")

    def _absent(self, roots: find.Roots) -> str:
        """Which arguments lead to nothing; by position, since names of files are for stdout only."""
        paths = self._given.paths
        absent = FewIds()
        for position, path in enumerate(paths, start=1):
            if path in roots.missing:
                absent.add(str(position))
        if not absent.count:
            return ""
        if len(paths) == 1:
            return ": there is nothing of that name"
        word = verb(absent.count, "argument", "arguments")
        return f": there is nothing of the name in {word} {absent}"

    def _say_made_up(self, described: Mapping[str, Any], route: Route) -> None:
        say("A private sandbox stands in for Redox: nothing leaves this machine.")
        _, lacking = fill(described, model=route.model)
        if lacking:
            say(f"Not given, so made up: {', '.join(lacking)} (Marla Quillfeather, MR 0000991234).")


def _read_receipts(path: Path | None) -> EarlierRun | None:
    if path is None:
        return None
    try:
        with path.open("rb") as lines:
            return EarlierRun.read(lines)
    except OSError as exc:
        raise ConfigError(f"--skip-accepted cannot be read: {exc.strerror}") from None
