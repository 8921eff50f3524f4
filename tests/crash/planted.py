"""Bugs, planted on purpose into a life of its own: a harness that cannot fail proves nothing.

The one rule: each changes one promise at one seam and nothing else; the oracles are not told.
"""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any, Final

import anyio

from chartsend.auth import oauth
from chartsend.batch.journal import LedgerJournal
from chartsend.batch.row import State
from chartsend.batch.sqlite import schema, steps
from chartsend.batch.sqlite.store import Store
from chartsend.errors import LedgerError, ServerUnavailableError, Verdict
from chartsend.ports import Operation
from chartsend.send import exchange
from chartsend.transport.http import Http

if TYPE_CHECKING:
    from collections.abc import Callable

    from chartsend.batch.batch import Batch
    from chartsend.batch.run import Runner, Settled


def skip_the_intent() -> None:
    """A message leaves before the ledger knows that it may have left."""
    told = LedgerJournal.intent

    async def intent(self: LedgerJournal, intent: Any) -> None:
        if intent.step == "upload":
            await told(self, intent)

    LedgerJournal.intent = intent  # type: ignore[method-assign]


def skip_the_sync() -> None:
    """The ledger is written, and the disk is not asked to keep it."""
    set_all = schema._set

    def set_some(connection: Any, **pragmas: Any) -> None:
        set_all(connection, **(pragmas | ({"synchronous": "off"} if "synchronous" in pragmas else {})))

    schema._set = set_some


def retry_a_message_on_504() -> None:
    """A time-out behind the server is taken for "not applied"."""
    judge = exchange.judge

    def lenient(operation: Any, reply: Any, **more: Any) -> Any:
        if operation is Operation.MESSAGE and reply.status == 504:
            return ServerUnavailableError("the server answered 504", verdict=Verdict.RETRY, status=504)
        return judge(operation, reply, **more)

    exchange.judge = lenient


def follow_a_redirect() -> None:
    """Somebody else's answer is taken for the server's."""

    async def post(self: Any, outgoing: Any) -> Any:
        from yarl import URL

        length = str(outgoing.body.declared_bytes)
        return await self._session.post(
            URL(outgoing.url, encoded=True),
            data=outgoing.body,
            headers={**outgoing.headers, "Content-Length": length},
            allow_redirects=True,
        )

    Http._post = post  # type: ignore[method-assign]


def drop_a_result() -> None:
    """An outcome is reported, and not kept."""

    async def result(self: Any, row: str | None, receipt: Any) -> None:
        self._may_be_applied.add(int(row or 0))

    LedgerJournal.result = result  # type: ignore[assignment]


def reuse_a_jti() -> None:
    """An assertion is made twice."""
    oauth.secrets = types.SimpleNamespace(token_hex=lambda size: "00" * size)  # type: ignore[attr-defined]


def count_a_row_twice() -> None:
    """A total is wrong by one for every row that is done."""
    count = Store.count_state

    def count_more(self: Store, state: State, number: int) -> None:
        count(self, state, number * (2 if state is State.DONE else 1))

    Store.count_state = count_more  # type: ignore[method-assign]


def ignore_the_owner() -> None:
    """Whoever lost a row goes on with it."""

    def owned(store: Any, row: int, owner: str, states: Any) -> Any:
        found = store.find(row)
        if found is None or found.work is None or found.state not in states:
            raise steps.lost(row, found)
        return found, found.work

    steps._owned = owned


PLANTS: Final[dict[str, Callable[[], None]]] = {
    plant.__name__: plant
    for plant in (
        skip_the_intent,
        skip_the_sync,
        retry_a_message_on_504,
        follow_a_redirect,
        drop_a_result,
        reuse_a_jti,
        count_a_row_twice,
        ignore_the_owner,
    )
}


async def two_owners(batch: Batch, on_settled: Callable[[Settled], None]) -> None:
    """A second owner takes a batch of one row over, while the first stands between claim and intent.

    The second is stopped in its turn when its intent is durable, until the first has tried to make
    its own: both then believe, or not, that the row is theirs.
    """
    first, second = await batch.runner(), await batch.runner()
    first_stands, first_may_go, first_has_tried = anyio.Event(), anyio.Event(), anyio.Event()
    first_intent, second_intent = first._journal.intent, second._journal.intent

    async def intent_of_first(intent: Any) -> None:
        if intent.step == "upload":
            return await first_intent(intent)
        first_stands.set()
        await first_may_go.wait()
        try:
            return await first_intent(intent)
        finally:
            first_has_tried.set()

    async def intent_of_second(intent: Any) -> None:
        await second_intent(intent)
        if intent.step == "message":
            first_may_go.set()
            await first_has_tried.wait()

    first._journal.intent = intent_of_first  # type: ignore[method-assign]
    second._journal.intent = intent_of_second  # type: ignore[method-assign]

    async def run(runner: Runner) -> None:
        try:
            async with runner.run() as settled:
                async for each in settled:
                    on_settled(each)
        except LedgerError:
            first_has_tried.set()  # it lost its row, as one of the two must

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, first)
        await first_stands.wait()
        tasks.start_soon(run, second)
