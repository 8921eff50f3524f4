"""An answer that comes between the release of the last chunk and its leaving: early, and yet whole.

Then a 5xx proves nothing: what waits in our buffers still leaves while the answer is read.
"""

from __future__ import annotations

import dataclasses

import pytest
from rig import SHORT

from chartsend.aio import Deadline
from chartsend.encoding.base64 import IdentityEncoder
from chartsend.errors import TransferError, Verdict
from chartsend.ports import Operation
from chartsend.sources.memory import MemorySource
from chartsend.transport.body import Frame, StreamingBody
from chartsend.transport.chunks import Chunks
from chartsend.transport.http import Http, Outgoing
from chartsend.transport.quota import Quota
from chartsend.transport.verdicts import judge

pytestmark = pytest.mark.short_waits


def body_of(size: int) -> StreamingBody:
    frame = Frame("application/pdf", b"", b"", size, size, 96 * 1024, reuses_buffer=False)
    return StreamingBody(
        frame, chunks=Chunks(MemorySource(bytes(size)).reader()), encoder=IdentityEncoder()
    )


async def test_a_body_that_would_be_whole_before_its_last_chunk_is_never_whole(raw, settings_for):
    # An encoder that gives more than was counted beforehand: the text of a file that was rewritten.
    data = bytes(400_000)
    frame = Frame("text/plain", b"", b"", len(data), 98_304, 98_304, reuses_buffer=False)
    body = StreamingBody(frame, chunks=Chunks(MemorySource(data).reader()), encoder=IdentityEncoder())
    async with Http(settings_for(raw), Quota(None), user_agent="t") as http:
        with pytest.raises(TransferError) as caught:
            await http.exchange(
                Outgoing(Operation.MESSAGE, f"{raw.url}/x", {}, body), deadline=Deadline.after(10)
            )
    assert caught.value.verdict is not Verdict.IN_DOUBT
    assert raw.commits() == 0


async def test_a_503_that_came_before_the_last_bytes_left_is_no_proof(raw, settings_for):
    timeouts = dataclasses.replace(SHORT, stall_s=2.0, reply_s=5.0, reply_body_s=0.5)
    head = "HTTP/1.1 503 No\r\nContent-Length: 5\r\n\r\n"
    goes_on = [["read", 1], ["sleep", 0.25], ["send", head], ["sleep", 0.05], ["read", None], ["commit"]]
    replies = []
    async with Http(settings_for(raw, timeouts=timeouts), Quota(None), user_agent="t") as http:

        async def ask(body: StreamingBody):
            outgoing = Outgoing(Operation.MESSAGE, f"{raw.url}/x", {}, body)
            return await http.exchange(outgoing, deadline=Deadline.after(10))

        raw.plan("message", [["read", 1], ["hold"]])
        stalled = body_of(20_000_000)
        with pytest.raises(TransferError):
            await ask(stalled)
        capacity = stalled.sent_bytes
        # What exactly the kernels take varies a little; somewhere here the last chunk is half gone.
        for size in range(capacity - 100_000, capacity + 160_000, 20_000):
            raw.clear()
            raw.plan("message", [*goes_on, ["send", "later"]])
            reply = await ask(body_of(size))
            replies.append(reply)
            if raw.commits():
                assert reply.was_whole
            if reply.was_whole:
                assert judge(Operation.MESSAGE, reply).verdict is Verdict.IN_DOUBT
            else:
                assert raw.commits() == 0
                assert judge(Operation.MESSAGE, reply).verdict is Verdict.RETRY
            assert judge(Operation.UPLOAD, reply).verdict is Verdict.RETRY
    assert any(reply.was_early and reply.was_whole for reply in replies)
