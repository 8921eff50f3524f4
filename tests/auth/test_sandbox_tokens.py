"""Tokens over real sockets, from a sandbox in its own process that verifies every assertion."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import anyio
import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from chartsend.aio import Deadline
from chartsend.auth import token_source
from chartsend.auth.oauth import SignedAssertion
from chartsend.errors import (
    AuthRejectedError,
    AuthUnavailableError,
    ClockSkewError,
    DeadlineExceededError,
    UnexpectedRedirectError,
)
from chartsend.ports import Operation, Reply, SmallRequest
from chartsend.settings import Retry, Settings
from chartsend.testing import SandboxProcess
from chartsend.transport.http import Http
from chartsend.transport.quota import Quota

QUICK = Retry(base_s=0.02, throttled_base_s=0.02, cap_s=0.05, retry_after_cap_s=0.05)
FORM = "application/x-www-form-urlencoded"


def soon(seconds: float = 20.0) -> Deadline:
    return Deadline.after(seconds)


@pytest.fixture(scope="module")
def running() -> Iterator[SandboxProcess]:
    with SandboxProcess.start() as process:
        yield process


@pytest.fixture
def sandbox(running: SandboxProcess) -> Iterator[SandboxProcess]:
    yield running
    running.clear_faults()
    running.fault(do="clock_skew", seconds=0)
    running.fault(do="token_lifetime", seconds=300)


@pytest.fixture
def profile(sandbox) -> Settings:
    return dataclasses.replace(Settings.load(str(sandbox.info.profile)), retry=QUICK)


@asynccontextmanager
async def opened(settings: Settings) -> AsyncGenerator[Http]:
    async with Http(settings, Quota(None), user_agent="chartsend-tests") as http:
        yield http


async def first_token(settings: Settings, lane, exchange=None) -> str:
    async with opened(settings) as http:
        exchange = http if exchange is None else exchange(http)
        source = token_source(settings, exchange, lane=lane)
        return await source.token(min_life_s=0, deadline=soon())


async def is_accepted(settings: Settings, http: Http, token: str) -> bool:
    """Whether the sandbox takes the token: 401 if not, and something else if so."""
    url = f"{settings.api_base}/fhir/R4/redox/Development/Binary"
    request = SmallRequest(
        Operation.UPLOAD,
        url,
        {"Authorization": f"Bearer {token}", "Content-Type": "text/plain",
         "Redox-Source-Id": settings.source_id or ""},
        b"hello",
    )  # fmt: skip
    return (await http.exchange_small(request, deadline=soon())).status != 401


async def test_a_token_is_granted_and_taken(profile, lane):
    async with opened(profile) as http:
        source = token_source(profile, http, lane=lane)
        token = await source.token(min_life_s=60, deadline=soon())

        assert await is_accepted(profile, http, token)
        assert not await is_accepted(profile, http, token + "x")


async def test_an_rsa_key_registered_in_the_dashboard(sandbox, profile, lane, write_key):
    """The key as `chartsend key new` makes it, by way of its file."""
    from click.testing import CliRunner

    from chartsend.cli.key import key

    path = write_key(b"", name="unused").with_name("new.pem")
    made = CliRunner().invoke(key, ["new", "--out", str(path), "--key-id", "my-rsa-key"])
    assert made.exit_code == 0
    private = serialization.load_pem_private_key(path.read_bytes(), None)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    sandbox.register_key(profile.auth.client_id, "my-rsa-key", public.decode())
    auth = dataclasses.replace(profile.auth, key_id="my-rsa-key", algorithm="RS384", key_file=str(path))

    assert await first_token(dataclasses.replace(profile, auth=auth), lane)


async def test_a_thousand_callers_make_one_token_request(sandbox, profile, lane):
    before = len([e for e in sandbox.events() if e["kind"] == "token"])
    given: set[str] = set()

    async with opened(profile) as http:
        source = token_source(profile, http, lane=lane)

        async def ask() -> None:
            given.add(await source.token(min_life_s=0, deadline=soon()))

        async with anyio.create_task_group() as group:
            for _ in range(1000):
                group.start_soon(ask)

    assert len(given) == 1
    assert len([e for e in sandbox.events() if e["kind"] == "token"]) == before + 1


async def test_tokens_of_two_seconds_are_refreshed_before_they_are_refused(sandbox, profile, lane):
    sandbox.fault(do="token_lifetime", seconds=2)
    used: list[str] = []

    async with opened(profile) as http:
        source = token_source(profile, http, lane=lane)
        until = anyio.current_time() + 2.5
        while anyio.current_time() < until:
            token = await source.token(min_life_s=60, deadline=soon())
            assert await is_accepted(profile, http, token)
            used.append(token)

    assert 2 <= len(set(used)) <= 4
    assert len(used) > 10


async def test_a_token_that_was_made_void_is_replaced(sandbox, profile, lane):
    async with opened(profile) as http:
        source = token_source(profile, http, lane=lane)
        token = await source.token(min_life_s=0, deadline=soon())
        sandbox.fault(do="expire_tokens")
        assert not await is_accepted(profile, http, token)

        source.reject(token)

        token = await source.token(min_life_s=0, deadline=soon())
        assert await is_accepted(profile, http, token)


# Each documented refusal, provoked by what causes it.

Change = Callable[[SmallRequest], SmallRequest]


class Tampering:
    """A line on which something changes the request."""

    def __init__(self, http: Http, change: Change) -> None:
        self._http = http
        self._change = change

    async def exchange_small(self, request: SmallRequest, *, deadline: Deadline) -> Reply:
        return await self._http.exchange_small(self._change(request), deadline=deadline)


def with_form(**changes: str | None) -> Callable[[Settings], Change]:
    def change(request: SmallRequest) -> SmallRequest:
        form = dict(parse_qsl(request.content().decode())) | changes
        kept = {name: value for name, value in form.items() if value is not None}
        return dataclasses.replace(request, body=urlencode(kept).encode())

    return lambda _: change


def with_content_type(value: str) -> Callable[[Settings], Change]:
    def change(request: SmallRequest) -> SmallRequest:
        return dataclasses.replace(request, headers={**request.headers, "Content-Type": value})

    return lambda _: change


def resigned(header: dict[str, object] | None = None, **claims: object) -> Callable[[Settings], Change]:
    """The assertion with other claims, signed with the right key."""

    def with_settings(settings: Settings) -> Change:
        pem = Path(settings.auth.key_file or "").read_bytes()

        def change(request: SmallRequest) -> SmallRequest:
            form = dict(parse_qsl(request.content().decode()))
            old = jwt.decode(form["client_assertion"], options={"verify_signature": False})
            head = jwt.get_unverified_header(form["client_assertion"]) | (header or {})
            form["client_assertion"] = jwt.encode(
                old | claims,
                pem,
                algorithm="ES384",
                headers={name: value for name, value in head.items() if value is not None},
            )
            return dataclasses.replace(request, body=urlencode(form).encode())

        return change

    return with_settings


def with_broken_signature() -> Callable[[Settings], Change]:
    def change(request: SmallRequest) -> SmallRequest:
        form = dict(parse_qsl(request.content().decode()))
        start, _, signature = form["client_assertion"].rpartition(".")
        form["client_assertion"] = f"{start}.{signature[::-1]}"
        return dataclasses.replace(request, body=urlencode(form).encode())

    return lambda _: change


CAUSES = {
    "content type": (with_content_type("application/json"), "content type"),
    "no grant type": (with_form(grant_type=None), "did not arrive whole"),
    "other grant type": (with_form(grant_type="password"), "grant_type"),
    "no assertion type": (with_form(client_assertion_type=None), "did not arrive whole"),
    "other assertion type": (with_form(client_assertion_type="urn:other"), "assertion type"),
    "no assertion": (with_form(client_assertion=None), "did not arrive whole"),
    "no kid": (resigned({"kid": None}), "set auth.key_id"),
    "unknown kid": (resigned({"kid": "another"}), "auth.client_id and auth.key_id"),
    "unknown client": (resigned(iss="another", sub="another"), "auth.client_id and auth.key_id"),
    "signature": (with_broken_signature(), "signature"),
    "sub": (resigned(sub="another"), "auth.client_id"),
    "aud": (resigned(aud="https://elsewhere.example/token"), "auth.audience"),
    "iat": (resigned(iat=1), "clock"),
    "exp in the past": (resigned(exp=1), "clock"),
    "exp far ahead": (resigned(exp=9_999_999_999), "clock"),
}


@pytest.mark.parametrize(("cause", "hint"), CAUSES.values(), ids=CAUSES.keys())
async def test_each_documented_refusal_is_understood(cause, hint, profile, lane):
    change = cause(profile)

    with pytest.raises(AuthRejectedError, match=re.escape(hint)) as caught:
        await first_token(profile, lane, lambda http: Tampering(http, change))

    assert caught.value.status == 400


async def test_a_replayed_assertion_is_understood_and_ours_never_is_one(profile, lane):
    recorded: list[SmallRequest] = []

    def replay(request: SmallRequest) -> SmallRequest:
        recorded.append(dataclasses.replace(request, body=request.content()))
        return recorded[0]

    async with opened(profile) as http:
        honest = SignedAssertion(profile, http, lane=lane)
        for _ in range(5):
            await honest.fetch(soon())

        replayed = SignedAssertion(profile, Tampering(http, replay), lane=lane)
        await replayed.fetch(soon())
        with pytest.raises(AuthRejectedError, match="jti"):
            await replayed.fetch(soon())


@pytest.mark.parametrize(
    ("setting", "hint"),
    [({"client_id": "another"}, "auth.client_id"), ({"key_id": "another"}, "auth.key_id"),
     ({"audience": "https://elsewhere.example"}, "auth.audience")],
)  # fmt: skip
async def test_wrong_settings_are_named(setting, hint, profile, lane):
    settings = dataclasses.replace(profile, auth=dataclasses.replace(profile.auth, **setting))

    with pytest.raises(AuthRejectedError, match=re.escape(hint)):
        await first_token(settings, lane)


async def test_another_key_is_a_refused_signature(profile, lane, ec_key, to_pem, write_key):
    path = write_key(to_pem(ec_key))
    settings = dataclasses.replace(profile, auth=dataclasses.replace(profile.auth, key_file=str(path)))

    with pytest.raises(AuthRejectedError, match=r"auth\.key_file"):
        await first_token(settings, lane)


# The clock, and a server out of order.


@pytest.mark.parametrize("seconds", [600, -600, 86_400])
async def test_a_clock_that_differs_is_adjusted(seconds, sandbox, profile, lane, caplog):
    sandbox.fault(do="clock_skew", seconds=seconds)

    assert await first_token(profile, lane)

    assert re.search(rf"skew_s={'-' if seconds < 0 else ''}\d+", caplog.text)


async def test_a_date_that_misleads_is_told_with_its_offset(sandbox, profile, lane):
    sandbox.fault(
        on="token", do="status", status=400, times=None,
        headers={"Date": "Tue, 01 Jan 2030 00:00:00 GMT", "Content-Type": "application/json"},
        body='{"error":"invalid_client","error_description":""}',
    )  # fmt: skip

    with pytest.raises(ClockSkewError, match=r"\d+ s behind"):
        await first_token(profile, lane)


@pytest.mark.parametrize(
    "fault",
    [
        {"do": "status", "status": 500},
        {"do": "status", "status": 503, "headers": {"Retry-After": "1"}},
        {"do": "status", "status": 429},
        {"do": "reset"},
        {"do": "reset", "at_byte": None},
        {"do": "close"},
        {"do": "swallow"},
        {"do": "raw", "bytes": "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"},
    ],
)
async def test_a_server_out_of_order_is_tried_again(fault, sandbox, profile, lane):
    sandbox.fault(on="token", times=2, **fault)

    assert await first_token(profile, lane)


async def test_a_server_that_refuses_connections_is_tried_again(sandbox, profile, lane):
    sandbox.fault(do="refuse", seconds=0.3, drop=True)

    assert await first_token(profile, lane)


@pytest.mark.parametrize("body", ["", "<html>", "{}", "x" * 70_000])
async def test_three_unusable_answers_are_enough(body, sandbox, profile, lane):
    number = sandbox.fault(on="token", do="status", status=200, body=body, times=None)

    with pytest.raises(AuthUnavailableError):
        await first_token(profile, lane)

    assert sandbox.fault_counts()[number]["fired"] == 3


async def test_a_redirect_is_not_followed(sandbox, profile, lane):
    number = sandbox.fault(
        on="token", do="status", status=307, times=None,
        headers={"Location": f"{sandbox.info.api_url}/v2/auth/token?again"},
    )  # fmt: skip

    with pytest.raises(UnexpectedRedirectError):
        await first_token(profile, lane)

    assert sandbox.fault_counts()[number]["seen"] == 1


async def test_a_silent_server_holds_nobody_beyond_the_deadline(sandbox, profile, lane):
    sandbox.fault(on="token", do="swallow", then="silence", times=None)

    async with opened(profile) as http:
        source = token_source(profile, http, lane=lane)
        began = anyio.current_time()
        with pytest.raises(DeadlineExceededError):
            await source.token(min_life_s=0, deadline=soon(0.3))
        assert anyio.current_time() - began < 2
        sandbox.clear_faults()

        assert await source.token(min_life_s=0, deadline=soon())


# Legacy keys.


@pytest.fixture
def legacy(sandbox, profile, write_key) -> Settings:
    key = sandbox.accounts()["legacy_keys"][0]
    auth = dataclasses.replace(
        profile.auth,
        kind="legacy",
        api_key=key["api_key"],
        secret_file=str(write_key(key["secret"].encode() + b"\n", name="secret")),
    )
    return dataclasses.replace(profile, auth=auth)


async def test_a_legacy_key_gets_and_refreshes_tokens(legacy, lane):
    async with opened(legacy) as http:
        source = token_source(legacy, http, lane=lane)
        first = await source.token(min_life_s=0, deadline=soon())
        source.reject(first)
        second = await source.token(min_life_s=0, deadline=soon())

    assert first != second


async def test_a_wrong_legacy_secret_is_refused_as_html(legacy, lane, write_key):
    path = write_key(b"wrong", name="wrong")
    settings = dataclasses.replace(legacy, auth=dataclasses.replace(legacy.auth, secret_file=str(path)))

    with pytest.raises(AuthRejectedError, match=r"auth\.api_key"):
        await first_token(settings, lane)


async def test_the_legacy_server_may_be_out_of_order_too(sandbox, legacy, lane):
    sandbox.fault(on="token", do="status", status=503, times=2)

    assert await first_token(legacy, lane)
