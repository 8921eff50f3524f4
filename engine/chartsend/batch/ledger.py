"""The ledger's port: the durable record of every row's state, and the steps between states.

The one rule: every step is a compare-and-set on (row, owner, state), and is durable when its
coroutine returns. Whoever lost a row gets `LostRowError` and must stop working on it.

`sqlite/` implements it for one machine. An implementation for many has the same tables and steps;
`tests/batch/ledger/ledger_contract.py` holds both to what stands here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Literal

    from .row import Claimed, Known, Planned, Recovered, RowReceipt, State


class Ledger(Protocol):
    """The one writer of a ledger. Cancelled, a step may or may not have been made; it is never half.

    Every method raises:
        LedgerFullError: No room. Nothing of this step was made, and no later one will be.
        LedgerCorruptError: It holds something that was not written there. A damaged row stops who
            asks for it; other steps go on, so that what is under way can be settled.
        LedgerError: It failed otherwise. After the first failure every step fails, since nobody
            knows what the disk kept; open it again to go on.
    """

    # -- what it is ---------------------------------------------------------------------------

    async def note(self, facts: Mapping[str, str | None]) -> None:
        """Set facts about the batch (the manifest's snapshot, options, position); None removes one."""
        ...

    async def count(self, totals: Mapping[str, int]) -> None:
        """Add to totals (requests, retries, histogram buckets). Joins the next commit."""
        ...

    def keyed(self, *parts: bytes, size_bytes: int) -> bytes:
        """A hash of the parts under the ledger's key: equal only for equal lists of parts."""
        ...

    # -- planning -----------------------------------------------------------------------------

    async def known(self, first: int, last: int) -> dict[int, Known]:
        """The rows whose numbers lie in `first`..`last`, both included."""
        ...

    async def plan(self, rows: Sequence[Planned], facts: Mapping[str, str | None]) -> None:
        """Insert rows, or replace the plan of rows that were never sent; note facts; all or nothing.

        A row may be replaced while nobody has it and it is `QUEUED`, `REJECTED` or `FAILED`, or, by one
        of another content, `RETRY_AT` or `UPLOADED`: provably nothing of it is in a chart. Not one that
        has `maybe_duplicate`. An upload that it leaves behind is counted as an orphan. A row with the
        same content that may not be replaced gets its new offset and is left alone.

        Raises:
            LostRowError: A row that was sent, or is being sent, would change its content.
            ValueError: A row stands in `rows` twice.
        """
        ...

    async def reject_duplicates(self) -> int:
        """Make every row `REJECTED` that is a further row of the same identity; how many.

        Of rows with one identity, the one that was ever claimed is kept, or else the first; the
        others are rejected, if they were never claimed. Identities of zeros are not compared.
        Also builds the index of identities. Safe to call again.
        """
        ...

    async def sent_so_far(self, earlier: str, *, name: str = ...) -> str | None:
        """A mark of all that another ledger has sent so far: another one whenever that may have changed.

        Costs the same however many rows it has. Arguments and errors as for `reject_already_sent`.

        Returns:
            The mark; None when that ledger says nothing: it has another key, or is this one.
        """
        ...

    async def is_sent_by(self, earlier: str, identity: bytes, *, name: str = ...) -> bool:
        """Whether another ledger has sent the document with an identity, or may have sent it.

        Arguments and errors as for `reject_already_sent`. A ledger with another key has not, since
        nothing has this identity there; this one says nothing of itself.
        """
        ...

    async def reject_already_sent(self, earlier: str, *, name: str = ...) -> int:
        """Make rows `REJECTED` that another ledger has sent, or may have sent; how many.

        Those of which nothing can be in a chart, and that nobody has: never begun, or released, or
        waiting for their next try. An upload of theirs that nothing refers to is counted as an orphan.

        Args:
            earlier: Directory of that ledger; it is only read. One with another key says nothing.
            name: What it is called in errors; safe to log.

        Raises:
            LedgerError: Also when that ledger cannot be read; this one goes on.
            InsecureConfigError: Somebody else could have changed that ledger.
        """
        ...

    # -- running ------------------------------------------------------------------------------

    async def take_over(self, owner: str, now_ms: int) -> Recovered:
        """Make every row that another owner had claimed ours to recover.

        By the table of crashes in `docs/explanation/batches.md`:
        `UPLOADING` becomes `QUEUED` with one more orphan; `REFERENCING` becomes `IN_DOUBT`, with a
        receipt that says so; a claimed `QUEUED`, `UPLOADED` or `RETRY_AT` row loses its owner.
        """
        ...

    async def claim(self, owner: str, limit: int, now_ms: int) -> list[Claimed]:
        """Up to `limit` rows that nobody has.

        First those that were begun: released ones by number, then those whose next try has come, in
        that order. Then those that were never begun, by number. Each is checked first against its
        own checksum and against what its receipts say.

        Raises:
            LedgerCorruptError: A row is not as it was written.
        """
        ...

    async def next_try_ms(self) -> int | None:
        """When the first waiting row's next try is, Unix milliseconds; None when none waits."""
        ...

    async def uploading(self, row: int, owner: str, *, attempts: int) -> None:
        """To `UPLOADING`: the durable intent to complete the file.

        From `QUEUED`; from `UPLOADING` (a further attempt) or `UPLOADED` (its file changed, or is too
        old), with one more orphan; and from `REFERENCING`, when the message was refused and the file
        must go first after all (with one more orphan if the message referred to a file).
        """
        ...

    async def uploaded(
        self,
        row: int,
        owner: str,
        *,
        reference_url: str,
        source_id: str | None,
        sha256: bytes | None,
        now_ms: int,
    ) -> None:
        """`UPLOADING` to `UPLOADED`.

        Args:
            row: Its number.
            owner: Whose it is.
            reference_url: Where the file lies.
            source_id: The source that may refer to it.
            sha256: Of its bytes.
            now_ms: When; 0 for a file that is not the planned one: only the message that follows may
                refer to it, since the planned one may be put back.

        Raises:
            SourceChangedError: As by `referencing`: the row has `maybe_duplicate`, and the file is
                not the one that was sent. The state stays.
        """
        ...

    async def referencing(  # noqa: PLR0913  # what the next attempt must know
        self,
        row: int,
        owner: str,
        *,
        attempts: int,
        sha256: bytes | None,
        message_hash: bytes,
        message_ms: int,
        embeds: bool = False,
    ) -> None:
        """To `REFERENCING`: the durable intent to complete the message.

        From `QUEUED`, `UPLOADED`, `REFERENCING` (a further attempt), and `UPLOADING`, which is left
        this way when an upload's reference was never noted. A message that `embeds` its file leaves
        the upload of before behind, with one more orphan.

        Raises:
            SourceChangedError: With verdict `GIVE_UP`. The row has `maybe_duplicate`, and the hash,
                or the sha256 where both are known, differs from what was sent before: the message
                would not be the same one, so it must not become whole. The state stays.
        """
        ...

    async def settle(self, receipt: RowReceipt, owner: str) -> None:
        """To `DONE`, `FAILED` or `IN_DOUBT`, by the receipt's status; the receipt joins the chain.

        From any pending state that the owner has. The row's own count of orphans is added to the
        receipt's, with one more when a row fails whose file was accepted and that has no
        `maybe_duplicate`: nothing refers to that file. `maybe_duplicate` is at least the row's.

        What work left behind is forgotten, except for rows in doubt, and for failed ones that have
        `maybe_duplicate`.
        """
        ...

    async def retry_at(
        self, row: int, owner: str, *, next_try_ms: int, attempts: int, error_code: str
    ) -> None:
        """To `RETRY_AT`, owner removed; a reference is kept. Only for what was provably not applied.

        From `UPLOADING`: one more orphan, since the upload may be whole.
        """
        ...

    async def release(self, row: int, owner: str, *, attempts: int) -> None:
        """Give a claimed row back as `QUEUED` or `UPLOADED`. Only for what was provably not applied.

        From `UPLOADING`: one more orphan, since the upload may be whole.
        """
        ...

    async def send_again(self, row: int, owner: str | None, *, now_ms: int) -> Claimed | None:
        """`IN_DOUBT` to `UPLOADED`/`QUEUED` with `maybe_duplicate` one higher, durable before any send.

        With an owner the row is claimed at once and given back; without, it waits to be claimed,
        and None is given. A `FAILED` row that has `maybe_duplicate` may be sent again too.
        """
        ...

    async def sent(self, row: int, *, decided_by: Literal["query", "person"], now_ms: int) -> None:
        """`IN_DOUBT` to `DONE`: somebody, or a query, found it at the receiver. A receipt is made."""
        ...

    async def plan_again(self, states: frozenset[State]) -> int:
        """Make `FAILED` and/or `REJECTED` rows unplanned, so that planning looks again; how many.

        A `FAILED` row that has `maybe_duplicate` is left: its first message may be in the chart.
        """
        ...

    async def purge(self, before_ms: int) -> int:
        """Forget what receipts settled before then say, their place in the chain apart; how many.

        Those of rows that are pending or in doubt are kept: somebody has to decide by what they say.
        """
        ...

    async def aclose(self) -> None:
        """Commit what waits, close, and give up the lock. Safe to call twice."""
        ...


class LedgerReader(Protocol):
    """What anybody may read while a batch runs: blocking calls, no lock, a snapshot each.

    Iterators take their rows in parts, a snapshot each. Every method raises `LedgerError`, or
    `LedgerCorruptError` for what is not as it was written.
    """

    def facts(self) -> dict[str, str]:
        """The facts that were noted."""
        ...

    def counts(self) -> dict[State, int]:
        """Rows by state, from counters: O(1) however many rows there are."""
        ...

    def totals(self) -> dict[str, int]:
        """What was counted by `Ledger.count`, and `orphans`, `maybe_duplicates`, `receipts`."""
        ...

    def by_route(self) -> dict[int, tuple[int, int]]:
        """Rows that were not rejected, by route: how many, and their bytes. Reads every row."""
        ...

    def rows_up_to(self, limits_bytes: Sequence[int], routes: frozenset[int]) -> dict[int, int]:
        """How many rows of these routes are at most so large, by limit. Reads every row."""
        ...

    def rejects(self, after: int = 0) -> Iterator[tuple[int, str, str]]:
        """Rejected rows after a number, in order: row, error code, text."""
        ...

    def rejects_by_code(self) -> dict[str, int]:
        """Rejected rows by error code."""
        ...

    def rows(self, state: State | None = None, after: int = 0) -> Iterator[Claimed]:
        """Rows in a state (or all), after a number, in order; each with what work on it left behind."""
        ...

    def receipts(self, after: int = 0) -> Iterator[tuple[int, RowReceipt | None]]:
        """Receipts by their place in the chain; None for one that was purged."""
        ...

    def slowest(self, limit: int) -> list[RowReceipt]:
        """The receipts that took longest."""
        ...

    def settled(
        self, state: State | None = None, after: int = 0
    ) -> Iterator[tuple[Claimed, RowReceipt | None]]:
        """Rows as by `rows`, each with its last receipt; None without one, or when it was purged."""
        ...

    def head(self) -> tuple[int, bytes]:
        """Place and link (32 bytes) of the last receipt; 0 and zeros without one.

        Whoever keeps it elsewhere can prove later that nothing up to there was changed.
        """
        ...

    def link(self, seq: int) -> bytes | None:
        """The link (32 bytes) of the receipt at a place in the chain; None when there is none."""
        ...

    def keyed(self, *parts: bytes, size_bytes: int) -> bytes:
        """As `Ledger.keyed`."""
        ...

    def verify(self) -> list[str]:
        """What is wrong: nothing when the list is empty. Reads everything.

        Found are damaged pages, checksums and counters that do not fit, states that receipts
        contradict, and receipts that were altered, removed, reordered or cut off. Rows are named by
        their numbers only. All is one snapshot, so the ledger's log grows meanwhile.
        """
        ...

    def close(self) -> None:
        """Close it."""
        ...
