"""Legacy API keys: authenticate, refresh, and fall back."""

from __future__ import annotations

import json
import logging
import math
from email.utils import formatdate

import pytest

from chartsend.aio import Deadline
from chartsend.auth.legacy import LegacyKey
from chartsend.auth.pacing import Pace
from chartsend.errors import (
    AuthRejectedError,
    AuthUnavailableError,
    NetworkInterruptedError,
    UnexpectedRedirectError,
)
from chartsend.ports import Reply
from chartsend.settings import Auth, Settings

NEVER = Deadline(math.inf)
SERVER_NOW = 1_772_500_000.0
IN_A_DAY = "2026-03-04T01:06:40.000Z"
INVALID = Reply(401, {"content-type": "text/html; charset=utf-8"}, b"Invalid request")


def granted(token: str = "legacy-1", *, date: bool = True, **more: object) -> Reply:
    body = {"accessToken": token, "expires": IN_A_DAY, "refreshToken": f"refresh-of-{token}"} | more
    headers = {"date": formatdate(SERVER_NOW, usegmt=True)} if date else {}
    return Reply(200, headers, json.dumps(body).encode())


def asked(request) -> tuple[str, dict[str, str]]:
    return request.url.rpartition("/")[2], json.loads(request.content())


AUTHENTICATE = ("authenticate", {"apiKey": "key-1", "secret": "s3cret-é"})


@pytest.fixture
def key(write_key, lane, clock, naps):
    def make(server, *, wall=lambda: SERVER_NOW) -> LegacyKey:
        secret_file = str(write_key("s3cret-é\n".encode(), name="secret"))
        settings = Settings(auth=Auth(kind="legacy", api_key="key-1", secret_file=secret_file))
        return LegacyKey(
            settings, server, lane=lane, clock=clock, wall=wall,
            pace=Pace(settings.retry, sleep=naps),
        )  # fmt: skip

    return make


async def test_it_authenticates_with_the_secret_as_json(key, scripted, clock):
    server = scripted(granted())

    token = await key(server).fetch(NEVER)

    [request] = server.requests
    assert request.url == "https://api.redoxengine.com/auth/authenticate"
    assert request.headers["Content-Type"] == "application/json"
    assert asked(request) == AUTHENTICATE
    assert token.value == "legacy-1"
    assert token.expires_at == clock() + 86_400


async def test_the_refresh_token_is_used_once(key, scripted):
    server = scripted(granted("a"), granted("b"), granted("c"))
    source = key(server)

    tokens = [(await source.fetch(NEVER)).value for _ in range(3)]

    assert tokens == ["a", "b", "c"]
    assert [asked(request) for request in server.requests] == [
        AUTHENTICATE,
        ("refreshToken", {"apiKey": "key-1", "refreshToken": "refresh-of-a"}),
        ("refreshToken", {"apiKey": "key-1", "refreshToken": "refresh-of-b"}),
    ]


@pytest.mark.parametrize(
    "refusal",
    [
        INVALID,
        Reply(400, {}, b""),
        Reply(200, {}, b"<html>"),
        granted("a b"),
        Reply(403, {}, granted("of a refusal").body),
        Reply(401, {}, granted("refused").body),
    ],
)
async def test_a_refresh_token_that_is_not_taken_falls_back_to_the_secret(refusal, key, scripted):
    server = scripted(granted("a"), refusal, granted("b"))
    source = key(server)
    await source.fetch(NEVER)

    token = await source.fetch(NEVER)

    assert token.value == "b"
    assert asked(server.requests[2]) == AUTHENTICATE


@pytest.mark.parametrize("failure", [Reply(500, {}, b""), NetworkInterruptedError("lost")])
async def test_a_refresh_that_got_lost_is_not_repeated(failure, key, scripted):
    """The refresh token may be used up by now."""
    server = scripted(granted("a"), failure, granted("b"))
    source = key(server)
    await source.fetch(NEVER)

    token = await source.fetch(NEVER)

    assert token.value == "b"
    assert [asked(request)[0] for request in server.requests] == [
        "authenticate", "refreshToken", "authenticate",
    ]  # fmt: skip


async def test_bad_credentials_as_redox_answers_them(key, scripted, caplog):
    server = scripted(INVALID)

    with caplog.at_level(logging.DEBUG), pytest.raises(AuthRejectedError) as caught:
        await key(server).fetch(NEVER)

    assert len(server.requests) == 1
    assert caught.value.status == 401
    assert "auth.api_key" in str(caught.value)
    assert "s3cret" not in f"{caught.value!r}{caplog.text}"


async def test_an_outage_is_sat_out(key, scripted):
    server = scripted(Reply(503, {}, b""), Reply(429, {"retry-after": "1"}, b""), granted())

    assert (await key(server).fetch(NEVER)).value == "legacy-1"


async def test_a_redirect_is_not_followed(key, scripted):
    server = scripted(Reply(307, {"location": "https://evil.example"}, b""))

    with pytest.raises(UnexpectedRedirectError):
        await key(server).fetch(NEVER)

    assert len(server.requests) == 1


async def test_answers_without_a_token_are_tried_three_times(key, scripted):
    server = scripted(Reply(200, {"content-type": "text/html"}, b"Invalid request"))

    with pytest.raises(AuthUnavailableError):
        await key(server).fetch(NEVER)

    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("expires", "life"),
    [
        (IN_A_DAY, 86_400),
        ("2026-03-03T01:08:20Z", 100),
        ("2026-03-03T02:08:20+01:00", 100),
        ("2026-03-03T01:08:20", 100),
        ("2026-03-03T01:06:42Z", 2),
        ("2026-03-02T00:00:00Z", 30),
        ("2126-03-03T01:06:40Z", 86_400),
        ("9999-12-31T23:59:59Z", 86_400),
        ("0001-01-01T00:00:00+23:59", 30),
        ("tomorrow", 30),
        ("", 30),
        (None, 30),
        (1_772_600_000, 30),
    ],
)
@pytest.mark.parametrize("off_s", [0, 7200, -7200])
async def test_lifetimes_by_the_servers_own_clock(expires, life, off_s, key, scripted, clock):
    source = key(scripted(granted(expires=expires)), wall=lambda: SERVER_NOW + off_s)

    token = await source.fetch(NEVER)

    assert token.expires_at == clock() + life


async def test_without_a_date_this_machines_clock_must_do(key, scripted, clock):
    source = key(scripted(granted(date=False)), wall=lambda: SERVER_NOW + 3600)

    assert (await source.fetch(NEVER)).expires_at == clock() + 82_800


@pytest.mark.parametrize("odd", [None, "", 5, "\ud800", ["x"]])
async def test_an_odd_refresh_token_is_not_kept(odd, key, scripted):
    server = scripted(granted("a", refreshToken=odd), granted("b"))
    source = key(server)
    await source.fetch(NEVER)
    await source.fetch(NEVER)

    assert [asked(request)[0] for request in server.requests] == ["authenticate"] * 2
