"""An outbound proxy is used when the settings name one, for plain and for TLS connections."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from chartsend import Document, Engine, TransferError
from chartsend.errors import ConfigError


class Proxy:
    """A forwarding proxy: CONNECT tunnels, and requests in absolute form."""

    def __init__(self):
        self.heads = []

    async def handle(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        method, target, _ = head.split(b"\r\n", 1)[0].split(b" ")
        address = target.removeprefix(b"http://").split(b"/", 1)[0].decode()
        host, _, port = address.partition(":")
        up_reader, up_writer = await asyncio.open_connection(host, int(port))
        if method == b"CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            up_writer.write(head)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.pump(reader, up_writer))
            tasks.create_task(self.pump(up_reader, writer))

    @staticmethod
    async def pump(reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        with contextlib.suppress(OSError):
            writer.close()
            await writer.wait_closed()

    @contextlib.asynccontextmanager
    async def running(self):
        server = await asyncio.start_server(self.handle, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize("kind", ["sandbox", "sandbox_tls"])
async def test_everything_goes_through_the_proxy_that_is_set(
    request, settings_of, make_file, described, kind
):
    sandbox = request.getfixturevalue(kind)
    path, sha256 = make_file(5_000_000)
    proxy = Proxy()
    async with proxy.running() as url:
        async with Engine(settings_of(sandbox, proxy=url)) as engine:
            await engine.send(Document.from_path(path, **described), to=sandbox.info.destination)

    assert sandbox.events()[-1]["sha256"] == sha256
    assert proxy.heads
    if kind == "sandbox_tls":
        assert all(head.startswith(b"CONNECT ") for head in proxy.heads)
        assert not any(b"Authorization" in head for head in proxy.heads)


async def test_a_proxy_that_is_down_is_told_and_nothing_is_sent(
    sandbox, settings_of, make_file, described
):
    async with Engine(settings_of(sandbox, proxy="http://127.0.0.1:9")) as engine:
        with pytest.raises(TransferError) as caught:
            await engine.send(
                Document.from_path(make_file(57)[0], **described),
                to=sandbox.info.destination,
                deadline_s=5,
            )

    assert caught.value.receipt.status == "failed"
    assert sandbox.requests()["total"] == 0


@pytest.mark.parametrize("proxy", ["ftp://127.0.0.1:1", "127.0.0.1:8080", "http://", "http://a b"])
def test_a_proxy_that_is_no_url_is_a_configuration_error(sandbox, settings_of, proxy):
    with pytest.raises(ConfigError):
        settings_of(sandbox, proxy=proxy)
