"""What is said on a line is heard, or both ends know that it is over."""

from __future__ import annotations

import asyncio
import datetime as dt
import errno
import inspect
import os
import pickle
import socket
import struct
import threading

import pytest
from rig import described, until

from chartsend import Document, Receipt, ReceiptError, errors
from chartsend.aio import Deadline
from chartsend.redox.route import Wish
from chartsend.send import Ask
from chartsend.settings import Destination
from chartsend.workers import terms
from chartsend.workers.crossing import crossable, plain, restored
from chartsend.workers.line import Line
from chartsend.workers.wire import Cancel, Ended, Logged, Send


class End:
    """One end of a line in this loop; the other is a bare socket in the test's hand."""

    def __init__(self):
        self.heard, self.is_lost = [], asyncio.Event()

    async def open(self):
        mine, self.other = socket.socketpair()
        mine.setblocking(False)
        _, self.line = await asyncio.get_running_loop().create_connection(
            lambda: Line(self.heard.append, self.is_lost.set), sock=mine
        )
        return self

    async def close(self):
        self.other.close()
        self.line.abort()
        await self.is_lost.wait()


@pytest.fixture
async def end():
    end = await End().open()
    yield end
    await end.close()


def framed(*messages):
    content = pickle.dumps(list(messages))
    return struct.pack("<I", len(content)) + content


async def test_messages_in_any_pieces_are_heard_in_order(end):
    content = framed(Cancel(1), Cancel(2)) + framed(Logged(20, "x" * 100_000)) + framed(Cancel(3))
    for start in range(0, len(content), 997):
        end.other.sendall(content[start : start + 997])
        await asyncio.sleep(0)
    await until(lambda: len(end.heard) == 4)
    assert end.heard == [Cancel(1), Cancel(2), Logged(20, "x" * 100_000), Cancel(3)]


async def test_a_message_that_is_cut_is_not_heard_and_the_line_is_over(end):
    end.other.sendall(framed(Cancel(1)) + framed(Cancel(2))[:-1])
    end.other.close()
    await end.is_lost.wait()
    assert end.heard == [Cancel(1)]


async def test_what_a_dead_worker_said_last_is_heard_although_a_write_to_it_failed_first(end):
    """The write fails before the loop has looked for what there is to read."""
    end.other.sendall(framed(Ended(1, None, None)))
    end.other.close()
    end.line.say(Cancel(1))
    end.line.flush()
    assert end.heard == []
    await end.is_lost.wait()
    assert end.heard == [Ended(1, None, None)]


async def test_more_than_a_buffer_full_is_heard_after_a_failed_write(end):
    end.other.setblocking(False)
    content, sent = framed(*(Logged(20, f"{n} " + "x" * 1000) for n in range(100))), 0
    sent = end.other.send(content)
    assert sent == len(content)
    end.other.close()
    end.line.say(Cancel(1))
    end.line.flush()
    await end.is_lost.wait()
    assert len(end.heard) == 100


async def test_it_is_delivered_when_the_kernel_has_it_and_not_before(end):
    """A worker that is killed takes along what only its own memory holds."""
    big = Logged(20, "x" * 4_000_000)
    end.line.say(big)
    delivered = asyncio.ensure_future(end.line.deliver())
    for _ in range(100):
        await asyncio.sleep(0)
    assert not delivered.done()
    reading = threading.Thread(target=read_all, args=(end.other, len(framed(big))))
    reading.start()
    await delivered
    reading.join()


def read_all(other, size):
    got = 0
    while got < size - 100_000:
        got += len(other.recv(1 << 20))


async def test_nothing_is_delivered_on_a_line_that_is_over(end):
    end.other.close()
    await end.is_lost.wait()
    end.line.say(Cancel(1))
    with pytest.raises(BrokenPipeError):
        await end.line.deliver()


async def test_delivery_that_waits_fails_when_the_other_end_goes(end):
    end.line.say(Logged(20, "x" * 4_000_000))
    delivered = asyncio.ensure_future(end.line.deliver())
    await asyncio.sleep(0)
    end.other.close()
    with pytest.raises(BrokenPipeError):
        await delivered


async def test_a_closed_line_still_hears_and_says_nothing(end):
    end.line.say(Cancel(1))
    end.line.close()
    end.line.say(Cancel(2))
    end.line.flush()
    end.other.settimeout(30)
    content = b""
    while piece := end.other.recv(1 << 16):  # until its end
        content += piece
    assert content == framed(Cancel(1)) or pickle.loads(content[4:]) == [Cancel(1)]
    end.other.sendall(framed(Ended(1, None, None)))
    end.other.close()
    await end.is_lost.wait()
    assert end.heard == [Ended(1, None, None)]


async def test_what_cannot_be_said_ends_the_line_instead_of_being_missed(end):
    end.line.say(Logged(20, threading.Lock()))
    with pytest.raises(TypeError):
        end.line.flush()
    await end.is_lost.wait()


async def test_huge_receipts_cross(end):
    receipt = Receipt(
        document_id="d" * 100_000,
        source="s" * 4096,
        bytes=1,
        sha256="0" * 64,
        api="fhir",
        method="embed",
        model="document-reference",
        status="in_doubt",
        log_ids=tuple(str(n) for n in range(100_000)),
        error=ReceiptError(code="x", message="m" * 1_000_000),
    )
    other = await End().open()
    sending = threading.Thread(target=copy_until_end, args=(other.other, end.other))
    sending.start()
    other.line.say(Ended(1, receipt, errors.OutcomeUnknownError("m" * 1_000_000)))
    await until(lambda: end.heard)
    assert end.heard[0].receipt == receipt
    other.line.close()
    await asyncio.get_running_loop().run_in_executor(None, sending.join)
    await other.close()


def copy_until_end(source, to):
    while piece := source.recv(1 << 16):
        to.sendall(piece)


# ---- terms


def ask_to(name: str) -> Ask:
    return Ask(
        document=Document.from_path("/nowhere", **described()),
        destination=Destination(name=name, slug=name, id=name),
        wish=Wish(api="fhir", method="auto", model="document-reference", note_text=False),
        api="fhir",
        model="document-reference",
        deadline=Deadline(1e9),
        document_id=name,
        message_at=dt.datetime(2026, 11, 22, tzinfo=dt.UTC),
    )


def test_each_send_has_its_own_destination_however_many_there_are():
    said = []
    speaker, hearer = terms.Said(said.append), terms.Heard()
    names = [f"to-{n % 1_700}" for n in range(5_000)]
    for number, name in enumerate(names):
        speaker.send(number, ask_to(name))
    heard = []
    for message in pickle.loads(pickle.dumps(said)):
        if isinstance(message, Send):
            heard.append(hearer.ask(message, None).destination.name)
        else:
            hearer.learn(message)
    assert heard == names
    assert len(hearer._terms) <= terms.MOST


# ---- errors


def every_error() -> list[type[errors.TransferError]]:
    return [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.TransferError)
    ]


@pytest.mark.parametrize("kind", every_error())
def test_every_error_of_ours_survives_the_line_with_all_that_it_knows(kind):
    error = kind("what happened")
    error.verdict, error.phase = errors.Verdict.IN_DOUBT, errors.Phase.ANSWERED
    error.status, error.retry_after_s, error.document_id = 503, 2.5, "d"
    error.end_here("no more")
    if isinstance(error, errors.InvalidDocumentError):
        error.missing, error.problems = ("a", "b"), ("c",)
    if isinstance(error, errors.ForbiddenError):
        error.by_firewall = True
    for there in (pickle.loads(pickle.dumps(error)), pickle.loads(pickle.dumps(crossable(error)))):
        assert type(there) is kind
        assert vars(there) == vars(error)
        assert there.args == error.args
        assert str(there) == str(error)


class OwnError(errors.LedgerError):
    """A journal's own, which no worker could put together again."""

    def __init__(self, connection, *, extra):
        super().__init__("no room", verdict=errors.Verdict.RETRY)
        self.connection, self.extra = connection, extra


def test_a_journals_own_error_crosses_as_ours_and_comes_back_as_itself():
    own = OwnError(threading.Lock(), extra=1)
    there = pickle.loads(pickle.dumps(plain(own)))
    assert type(there) is errors.LedgerError
    assert there.verdict is errors.Verdict.RETRY
    there.end_here("and so")
    back = restored(there, own)
    assert back is own
    assert str(own) == "no room; and so"
    assert own.is_last


def test_another_error_than_the_one_raised_here_stays_what_it_is():
    own, other = OwnError(None, extra=1), errors.StallTimeoutError("no progress")
    assert restored(other, own) is other
    assert restored(None, own) is None
    assert restored(own, None) is own


class NeedsMoreError(Exception):
    def __init__(self, first, second):
        super().__init__(first)


@pytest.mark.parametrize("error", [NeedsMoreError(1, 2), ValueError(threading.Lock())])
def test_a_foreign_error_that_cannot_cross_is_named(error):
    there = pickle.loads(pickle.dumps(crossable(error)))
    assert type(there) is RuntimeError
    assert type(error).__name__ in str(there)


def test_foreign_errors_that_can_cross_do():
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert crossable(error) is error
