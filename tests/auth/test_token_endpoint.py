"""The token endpoint over aiohttp's client, its answers given by aioresponses."""

from __future__ import annotations

import json
import math
import re
from urllib.parse import parse_qs

import aiohttp
import anyio
import jwt
import pytest
from aioresponses import aioresponses

from chartsend.aio import Deadline
from chartsend.auth import token_source
from chartsend.auth.oauth import SignedAssertion
from chartsend.auth.pacing import Pace
from chartsend.errors import AuthRejectedError, AuthUnavailableError, UnexpectedRedirectError
from chartsend.settings import Auth, Settings

NEVER = Deadline(math.inf)
TOKEN_URL = "https://api.redoxengine.com/v2/auth/token"
GRANTED = {"access_token": "token-1", "scope": "", "token_type": "Bearer", "expires_in": 300}


@pytest.fixture
def endpoint(mocked_response):
    """The mocked client, and a function that adds one answer of the token endpoint."""
    with aioresponses() as mocked:

        def add(**options: object) -> None:
            mocked.post(TOKEN_URL, response_class=mocked_response, **options)

        yield mocked, add


@pytest.fixture
def assertion(settings, lane, naps):
    def make(exchange) -> SignedAssertion:
        return SignedAssertion(settings, exchange, lane=lane, pace=Pace(settings.retry, sleep=naps))

    return make


def calls(mocked: aioresponses) -> list:
    return [call for made in mocked.requests.values() for call in made]


async def test_a_granted_token_is_kept(endpoint, settings, lane, plain_exchange):
    mocked, add = endpoint
    add(payload=GRANTED)

    async with plain_exchange() as exchange:
        source = token_source(settings, exchange, lane=lane)
        tokens = [await source.token(min_life_s=0, deadline=NEVER) for _ in range(3)]

    assert tokens == ["token-1"] * 3
    assert len(calls(mocked)) == 1


async def test_a_thousand_callers_make_one_http_request(endpoint, settings, lane, plain_exchange):
    mocked, add = endpoint
    add(payload=GRANTED)
    given: list[str] = []

    async with plain_exchange() as exchange:
        source = token_source(settings, exchange, lane=lane)

        async def ask() -> None:
            given.append(await source.token(min_life_s=0, deadline=NEVER))

        async with anyio.create_task_group() as group:
            for _ in range(1000):
                group.start_soon(ask)

    assert given == ["token-1"] * 1000
    assert len(calls(mocked)) == 1


async def test_what_is_posted_is_the_documented_form(endpoint, assertion, plain_exchange, ec_key):
    mocked, add = endpoint
    add(payload=GRANTED)

    async with plain_exchange() as exchange:
        await assertion(exchange).fetch(NEVER)

    [call] = calls(mocked)
    form = {key: value[0] for key, value in parse_qs(call.kwargs["data"].decode()).items()}
    assert form["grant_type"] == "client_credentials"
    assert call.kwargs["headers"]["Content-Type"] == "application/x-www-form-urlencoded"
    assert call.kwargs["allow_redirects"] is False
    claims = jwt.decode(
        form["client_assertion"], ec_key.public_key(), algorithms=["ES384"], audience=TOKEN_URL
    )
    assert claims["iss"] == "client-1"


@pytest.mark.parametrize(
    ("description", "hint"),
    [
        ("JWT header kid property is required", "auth.key_id"),
        (
            "Public key not found, check client_id, kid and Redox dashboard settings",
            "auth.client_id",
        ),
        ("Unexpected aud claim value", "auth.audience"),
        ("x-www-form-urlencoded content-type required", "content type"),
        ("", "signature"),
    ],
)
async def test_a_refusal_has_the_hint_that_fits(description, hint, endpoint, assertion, plain_exchange):
    mocked, add = endpoint
    add(status=400, payload={"error": "invalid_request", "error_description": description})

    async with plain_exchange() as exchange:
        with pytest.raises(AuthRejectedError, match=re.escape(hint)):
            await assertion(exchange).fetch(NEVER)

    assert len(calls(mocked)) == 1


async def test_429_503_a_lost_connection_and_html_are_tried_again(
    endpoint, assertion, plain_exchange, naps
):
    mocked, add = endpoint
    add(status=429, headers={"Retry-After": "2"})
    add(status=503, body="busy")
    add(exception=aiohttp.ServerDisconnectedError())
    add(status=200, body="<html>", content_type="text/html")
    add(payload=GRANTED)

    async with plain_exchange() as exchange:
        token = await assertion(exchange).fetch(NEVER)

    assert token.value == "token-1"
    assert len(calls(mocked)) == 5
    assert naps.taken[0] >= 1.9


async def test_three_answers_that_are_no_tokens_are_enough(endpoint, assertion, plain_exchange):
    mocked, add = endpoint
    for _ in range(4):
        add(body=json.dumps({"token_type": "Bearer"}))

    async with plain_exchange() as exchange:
        with pytest.raises(AuthUnavailableError, match="no access_token"):
            await assertion(exchange).fetch(NEVER)

    assert len(calls(mocked)) == 3


async def test_a_redirect_takes_the_assertion_nowhere(endpoint, assertion, plain_exchange):
    mocked, add = endpoint
    add(status=302, headers={"Location": "https://evil.example/token"})

    async with plain_exchange() as exchange:
        with pytest.raises(UnexpectedRedirectError):
            await assertion(exchange).fetch(NEVER)

    assert [str(url) for _, url in mocked.requests] == [TOKEN_URL]


async def test_a_legacy_key_is_posted_as_json(lane, plain_exchange, write_key, mocked_response):
    auth = Auth(kind="legacy", api_key="key-1", secret_file=str(write_key(b"s3cret\n")))
    source_settings = Settings(environment="Development", auth=auth)
    answer = {"accessToken": "legacy-1", "expires": "2099-01-01T00:00:00.000Z"}

    with aioresponses() as mocked:
        mocked.post(
            "https://api.redoxengine.com/auth/authenticate",
            payload=answer,
            response_class=mocked_response,
        )
        async with plain_exchange() as exchange:
            source = token_source(source_settings, exchange, lane=lane)
            token = await source.token(min_life_s=0, deadline=NEVER)

    [call] = calls(mocked)
    assert token == "legacy-1"
    assert json.loads(call.kwargs["data"]) == {"apiKey": "key-1", "secret": "s3cret"}
