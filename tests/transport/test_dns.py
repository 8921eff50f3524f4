"""A name server that does not answer holds nobody up longer than a connection may take."""

from __future__ import annotations

import socket
import threading

import pytest

from chartsend import Settings, Timeouts
from chartsend.aio import Deadline
from chartsend.errors import ConnectFailedError, Phase, Verdict
from chartsend.ports import Operation, SmallRequest
from chartsend.transport.http import Http
from chartsend.transport.quota import Quota


async def test_a_name_that_is_never_resolved_ends_as_no_connection(monkeypatch):
    answered = threading.Event()
    resolve = socket.getaddrinfo

    def silent(host, *arguments, **options):  # the resolver is the seam; the rest is real
        if host == "slow.invalid":
            answered.wait(30)
            raise socket.gaierror(socket.EAI_NONAME, "scripted")
        return resolve(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    settings = Settings(timeouts=Timeouts(connect_s=0.1, tls_handshake_s=0.1))
    request = SmallRequest(Operation.TOKEN, "https://slow.invalid/token", {}, b"x")
    try:
        async with Http(settings, Quota(None), user_agent="test") as http:
            with pytest.raises(ConnectFailedError) as caught:
                await http.exchange_small(request, deadline=Deadline.after(20))
    finally:
        answered.set()

    assert caught.value.phase is Phase.NOT_SENT
    assert caught.value.verdict is Verdict.RETRY
