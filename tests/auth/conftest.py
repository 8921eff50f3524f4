"""Keys made once, a lane of threads, scripted token servers, and the shim for aioresponses."""

from __future__ import annotations

from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING

import aiohttp
import anyio
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from chartsend.aio import Deadline, Lane
from chartsend.errors import ConnectFailedError, DeadlineExceededError, TransferError
from chartsend.ports import Reply, SmallRequest
from chartsend.settings import Auth, Settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

TOKEN_URL = "https://api.redoxengine.com/v2/auth/token"


def pem_of(key: PrivateKeyTypes, password: bytes | None = None) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption(),
    )


@pytest.fixture(scope="session")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="session")
def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


@pytest.fixture(scope="session")
def to_pem() -> Callable[..., bytes]:
    return pem_of


@pytest.fixture
def write_key(tmp_path: Path) -> Callable[..., Path]:
    def write(content: bytes, *, mode: int = 0o600, name: str = "key.pem") -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        path.chmod(mode)
        return path

    return write


@pytest.fixture
def settings(ec_key, write_key) -> Settings:
    """OAuth with an EC key; no waits between tries unless a test asks for them."""
    return Settings(
        environment="Development",
        quota="off",
        auth=Auth(
            client_id="client-1",
            key_id="kid-1",
            algorithm="ES384",
            key_file=str(write_key(pem_of(ec_key))),
        ),
    )


@pytest.fixture
async def lane() -> AsyncGenerator[Lane]:
    lane = Lane(threads=2, name="test")
    yield lane
    await lane.aclose()


class ScriptedServer:
    """A SmallExchange that answers from a list and keeps what it was asked."""

    def __init__(self, *answers: Reply | TransferError | Callable[[SmallRequest], Reply]) -> None:
        self.answers = list(answers)
        self.requests: list[SmallRequest] = []

    async def exchange_small(self, request: SmallRequest, *, deadline: Deadline) -> Reply:
        self.requests.append(request)
        await anyio.lowlevel.checkpoint()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, TransferError):
            raise answer
        return answer if isinstance(answer, Reply) else answer(request)


@pytest.fixture(scope="session")
def scripted() -> type[ScriptedServer]:
    return ScriptedServer


class Naps:
    """Sleeps that take no time and are written down."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        await anyio.lowlevel.checkpoint()


@pytest.fixture
def naps() -> Naps:
    return Naps()


class StepClock:
    """A clock that moves when told."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> StepClock:
    return StepClock()


class MockedResponse(aiohttp.ClientResponse):
    """aioresponses 0.7.9 does not give `stream_writer`, which aiohttp 3.14 wants (its issue 289)."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        kwargs.setdefault("stream_writer", SimpleNamespace(output_size=0))
        super().__init__(*args, **kwargs)


@pytest.fixture(scope="session")
def mocked_response() -> type[aiohttp.ClientResponse]:
    return MockedResponse


class PlainExchange:
    """SmallExchange over a bare aiohttp session: what aioresponses can stand in for."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def exchange_small(self, request: SmallRequest, *, deadline: Deadline) -> Reply:
        with anyio.CancelScope(deadline=deadline.at):
            try:
                response = await self._session.post(
                    request.url, data=request.content(), headers=request.headers, allow_redirects=False
                )
                async with response:
                    headers = {name.lower(): value for name, value in response.headers.items()}
                    return Reply(response.status, headers, await response.read())
            except aiohttp.ClientConnectionError as exc:
                raise ConnectFailedError("no connection could be made") from exc
        raise DeadlineExceededError("the deadline passed")


@pytest.fixture
def plain_exchange() -> Callable[[], AbstractAsyncContextManager[PlainExchange]]:
    @asynccontextmanager
    async def opened() -> AsyncGenerator[PlainExchange]:
        async with aiohttp.ClientSession() as session:
            yield PlainExchange(session)

    return opened
