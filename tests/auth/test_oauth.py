"""The signed assertion, and what the token server's answers lead to."""

from __future__ import annotations

import json
import logging
import math
import re
import time
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from urllib.parse import parse_qs

import jwt
import pytest
from hypothesis import given, settings as hypothesis_settings, strategies as st

from chartsend.aio import Deadline
from chartsend.auth import token_source
from chartsend.auth.oauth import SignedAssertion
from chartsend.auth.pacing import Pace
from chartsend.auth.replies import life_s
from chartsend.errors import (
    AuthRejectedError,
    AuthUnavailableError,
    ClockSkewError,
    ConfigError,
    ConnectFailedError,
    DeadlineExceededError,
    NetworkInterruptedError,
    ProtocolError,
    ResponseTooLargeError,
    StallTimeoutError,
    TlsError,
    UnexpectedRedirectError,
    Verdict,
)
from chartsend.ports import Operation, Reply

NEVER = Deadline(math.inf)
TOKEN_URL = "https://api.redoxengine.com/v2/auth/token"
CANARY = "canary-5f2b"


def answer(status: int = 200, body: object = None, **headers: str) -> Reply:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, content)


def granted(token: str = "token-1", **more: object) -> Reply:
    return answer(body={"access_token": token, "token_type": "Bearer", "expires_in": 300} | more)


def refused(description: str | None, status: int = 400, **headers: str) -> Reply:
    body = {"error": "invalid_request"}
    if description is not None:
        body["error_description"] = description
    return answer(status, body, **headers)


def assertion_of(request) -> str:
    return parse_qs(request.content().decode())["client_assertion"][0]


def empty(path: str) -> None:
    Path(path).write_bytes(b"")


def claims_of(request) -> dict[str, object]:
    return jwt.decode(assertion_of(request), options={"verify_signature": False})


@pytest.fixture
def tokens(settings, lane, clock, naps):
    def make(server, *, wall=time.time, auth=None, draw=lambda: 0.5) -> SignedAssertion:
        chosen = replace(settings, auth=auth or settings.auth)
        pace = Pace(chosen.retry, sleep=naps, draw=draw)
        return SignedAssertion(chosen, server, lane=lane, clock=clock, wall=wall, pace=pace)

    return make


# The request.


async def test_the_request_is_a_form_to_the_token_url(tokens, scripted):
    server = scripted(granted())

    await tokens(server).fetch(NEVER)

    [request] = server.requests
    form = parse_qs(request.content().decode())
    assert request.operation is Operation.TOKEN
    assert request.url == TOKEN_URL
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert form.pop("client_assertion")
    assert form == {
        "grant_type": ["client_credentials"],
        "client_assertion_type": ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"],
    }


@pytest.fixture(params=["RS384", "ES384"])
def pair(request, rsa_key, ec_key, to_pem, write_key):
    """An algorithm, a key for it, and its file."""
    key = rsa_key if request.param == "RS384" else ec_key
    return request.param, key, str(write_key(to_pem(key), name="signing.pem"))


async def test_the_assertion_verifies_with_the_public_key(pair, tokens, scripted, settings):
    algorithm, key, path = pair
    auth = replace(settings.auth, algorithm=algorithm, key_file=path)
    server = scripted(granted())

    await tokens(server, auth=auth).fetch(NEVER)

    assertion = assertion_of(server.requests[0])
    claims = jwt.decode(assertion, key.public_key(), algorithms=[algorithm], audience=TOKEN_URL)
    assert jwt.get_unverified_header(assertion) == {"alg": algorithm, "typ": "JWT", "kid": "kid-1"}
    assert claims["iss"] == claims["sub"] == "client-1"
    assert claims["aud"] == TOKEN_URL
    assert set(claims) == {"iss", "sub", "aud", "iat", "exp", "jti"}


async def test_the_assertion_lives_at_most_five_minutes_and_is_backdated(tokens, scripted):
    server = scripted(granted())

    await tokens(server, wall=lambda: 1_700_000_000.9).fetch(NEVER)

    claims = claims_of(server.requests[0])
    assert 1_700_000_000 - 30 <= claims["iat"] <= 1_700_000_000 - 10
    assert claims["exp"] == 1_700_000_240
    assert claims["exp"] - claims["iat"] <= 300


async def test_every_assertion_has_a_new_128_bit_jti_also_in_retries(tokens, scripted):
    server = scripted(answer(503), answer(200, b"<html>"), answer(429), granted())
    source = tokens(server)

    for _ in range(20):
        await source.fetch(NEVER)

    ids = [claims_of(request)["jti"] for request in server.requests]
    assert len(ids) == 23
    assert len(set(ids)) == 23
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)


async def test_a_scope_stands_in_the_claims_and_in_the_form(tokens, scripted, settings):
    server = scripted(granted())

    await tokens(server, auth=replace(settings.auth, scope="fhir:development")).fetch(NEVER)

    [request] = server.requests
    assert claims_of(request)["scope"] == "fhir:development"
    assert parse_qs(request.content().decode())["scope"] == ["fhir:development"]


async def test_an_audience_of_its_own_may_be_set(tokens, scripted, settings):
    server = scripted(granted())

    await tokens(server, auth=replace(settings.auth, audience="https://a.example/t")).fetch(NEVER)

    assert claims_of(server.requests[0])["aud"] == "https://a.example/t"


async def test_the_key_is_loaded_once(tokens, scripted, settings):
    server = scripted(granted())
    source = tokens(server)

    await source.fetch(NEVER)
    empty(settings.auth.key_file)
    await source.fetch(NEVER)

    assert len(server.requests) == 2


async def test_a_replaced_key_is_read_after_a_refusal(tokens, scripted, settings, write_key):
    server = scripted(granted(), refused("Public key not found"), granted())
    source = tokens(server)
    await source.fetch(NEVER)

    with pytest.raises(AuthRejectedError):
        await source.fetch(NEVER)
    empty(settings.auth.key_file)

    with pytest.raises(ConfigError, match=r"auth\.key_file"):
        await source.fetch(NEVER)


async def test_a_bad_key_is_found_before_any_network_use(tokens, scripted, settings, write_key):
    server = scripted(granted())
    auth = replace(settings.auth, key_file=str(write_key(b"garbage", name="bad.pem")))

    with pytest.raises(ConfigError):
        await tokens(server, auth=auth).fetch(NEVER)

    assert server.requests == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"client_id": None}, "auth.client_id"),
        ({"client_id": "client-1\n"}, "auth.client_id"),
        ({"key_id": ""}, "auth.key_id"),
        ({"key_file": None}, "auth.key_file"),
        ({"key_env": "KEY"}, "auth.key_env"),
        ({"kind": "legacy"}, "auth.api_key"),
        ({"kind": "legacy", "api_key": "k"}, "auth.secret_file"),
    ],
)
def test_missing_settings_are_found_at_once(change, named, settings, lane, scripted):
    with pytest.raises(ConfigError, match=re.escape(named)):
        token_source(replace(settings, auth=replace(settings.auth, **change)), scripted(), lane=lane)


async def test_the_token_source_gives_the_token_and_asks_once(settings, lane, scripted):
    server = scripted(granted("abc"))
    source = token_source(settings, server, lane=lane)

    assert await source.token(min_life_s=0, deadline=NEVER) == "abc"
    assert await source.token(min_life_s=0, deadline=NEVER) == "abc"
    await source.aclose()

    assert len(server.requests) == 1


# Answers with a token.


@pytest.mark.parametrize(
    ("body", "life"),
    [
        ('{"access_token":"t"}', 300),
        ('{"access_token":"t","expires_in":null}', 300),
        ('{"access_token":"t","expires_in":300}', 300),
        ('{"access_token":"t","expires_in":"300"}', 300),
        ('{"access_token":"t","expires_in":299.5}', 299.5),
        ('{"access_token":"t","expires_in":-1}', 30),
        ('{"access_token":"t","expires_in":0}', 30),
        ('{"access_token":"t","expires_in":NaN}', 30),
        ('{"access_token":"t","expires_in":-Infinity}', 30),
        ('{"access_token":"t","expires_in":true}', 30),
        ('{"access_token":"t","expires_in":[]}', 30),
        ('{"access_token":"t","expires_in":"soon"}', 30),
        ('{"access_token":"t","expires_in":"٣٠٠"}', 30),
        ('{"access_token":"t","expires_in":1e309}', 3600),
        ('{"access_token":"t","expires_in":' + "9" * 400 + "}", 3600),
        ('{"access_token":"t","expires_in":' + "9" * 5000 + "}", None),
        ('{"access_token":"t","expires_in":86400}', 3600),
        ('{"access_token":"t","expires_in":2}', 2),
        ('{"access_token":"t","expires_in":0.001}', 1),
    ],
)
async def test_lifetimes_are_clamped_to_what_can_be_worked_with(body, life, tokens, scripted, clock):
    source = tokens(scripted(answer(200, body.encode())))

    if life is None:  # a number that Python does not even read
        with pytest.raises(AuthUnavailableError):
            await source.fetch(NEVER)
    else:
        assert (await source.fetch(NEVER)).expires_at == clock() + life


@given(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**400)
    | st.floats()
    | st.text()
    | st.lists(st.integers())
)
def test_a_lifetime_is_always_1_to_3600_s(value):
    assert 1 <= life_s(value, longest_s=3600) <= 3600


async def test_life_is_counted_from_before_the_request(tokens, scripted, clock):
    def slow(_) -> Reply:
        clock.now += 20
        return granted()

    began = clock()
    token = await tokens(scripted(slow)).fetch(NEVER)

    assert token.expires_at == began + 300


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER", None])
async def test_bearer_is_told_in_any_case(kind, tokens, scripted):
    body = {"access_token": "t"} | ({"token_type": kind} if kind else {})

    assert (await tokens(scripted(answer(body=body))).fetch(NEVER)).value == "t"


@pytest.mark.parametrize("kind", ["mac", "DPoP", "", 7])
async def test_another_token_type_is_not_used_and_not_tried_again(kind, tokens, scripted):
    server = scripted(granted(token_type=kind))

    with pytest.raises(AuthUnavailableError, match="bearer") as caught:
        await tokens(server).fetch(NEVER)

    assert caught.value.verdict is Verdict.RETRY
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "token", ["a b", "a\r\nX: y", "a\tb", "a\x00", "é", "\ud800", "a\x7f", " zz", "x" * 8193]
)
async def test_a_token_that_could_break_a_header_is_not_used(token, tokens, scripted):
    server = scripted(granted(token))

    with pytest.raises(AuthUnavailableError) as caught:
        await tokens(server).fetch(NEVER)

    assert len(server.requests) == 1
    assert token.strip() not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>busy</html>", b"[]", b"null", b"{}", b'{"access_token":null}', b"\xff\xfe",
     b'{"access_token":""}', b'{"access_token":["t"]}', b"[" * 60_000, b'{"access_token":"t"'],
)  # fmt: skip
async def test_an_answer_without_a_token_is_tried_three_times(body, tokens, scripted):
    server = scripted(answer(200, body))

    with pytest.raises(AuthUnavailableError) as caught:
        await tokens(server).fetch(NEVER)

    assert len(server.requests) == 3
    assert isinstance(caught.value.__cause__, ProtocolError)
    assert caught.value.verdict is Verdict.RETRY
    assert "busy" not in str(caught.value)


@pytest.mark.parametrize("kind", [ProtocolError, ResponseTooLargeError])
async def test_broken_http_is_tried_three_times(kind, tokens, scripted):
    server = scripted(kind("the answer is no HTTP"))

    with pytest.raises(AuthUnavailableError):
        await tokens(server).fetch(NEVER)

    assert len(server.requests) == 3


@given(st.binary(max_size=300) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from(["access_token", "token_type", "expires_in", "error_description"]), inner),
).map(lambda value: json.dumps(value).encode()), st.integers(100, 999))  # fmt: skip
@hypothesis_settings(max_examples=300, deadline=None)
def test_no_answer_whatever_leads_to_an_undeclared_error(content, status):
    """Reading alone, without a loop: the parts that see the server's bytes."""
    from chartsend.auth.oauth import _read_token
    from chartsend.auth.refusals import may_be_the_clock, refusal
    from chartsend.auth.replies import check_status
    from chartsend.errors import TransferError

    reply = Reply(status, {"retry-after": content.decode("latin-1")}, content)
    try:
        check_status(reply, retry_after_cap_s=900)
        if status >= 400:
            may_be_the_clock(reply)
            raise refusal(reply)
        token = _read_token(reply, 0.0)
    except TransferError:
        return
    assert re.fullmatch(r"[!-~]+", token.value)


# Refusals.


@pytest.mark.parametrize(
    ("description", "hint"),
    [
        ("", "signature"),
        ("", "auth.algorithm"),
        ("x-www-form-urlencoded content-type required", "content type"),
        ("Missing grant_type parameter", "token_url"),
        ("The grant_type parameter should equal 'client_credentials'", "grant_type"),
        ("Missing client assertion type", "token_url"),
        ("Invalid client assertion type", "assertion type"),
        ("Missing client assertion", "token_url"),
        ("JWT header kid property is required", "auth.key_id"),
        (
            "Public key not found, check client_id, kid and Redox dashboard settings",
            "auth.client_id and auth.key_id",
        ),
        ("Unexpected aud claim value", "auth.audience"),
        ("Unexpected iss claim value", "auth.client_id"),
        ("Unexpected sub claim value", "auth.client_id"),
        ("Unexpected iat claim value", "clock"),
        ("Unexpected exp claim value", "clock"),
        ("Unexpected jti claim value", "jti"),
        ("Unexpected scope claim value", "auth.scope"),
    ],
)
@pytest.mark.parametrize("status", [400, 401, 403])
async def test_each_documented_refusal_says_what_to_check(description, hint, status, tokens, scripted):
    server = scripted(refused(description, status))

    with pytest.raises(AuthRejectedError, match=re.escape(hint)) as caught:
        await tokens(server).fetch(NEVER)

    assert caught.value.status == status
    assert caught.value.verdict is Verdict.GIVE_UP
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("reply", "hint"),
    [
        (answer(400, {"error": "invalid_client"}), "auth.client_id"),
        (answer(400, {"error": "invalid_scope"}), "auth.scope"),
        (answer(401, b"<html>no</html>"), "auth.client_id"),
        (answer(403, b"<html>blocked</html>"), "firewall"),
        (answer(404, b""), "token_url"),
        (answer(400, {"error": ["x"], "error_description": 7}), "auth.client_id"),
        (refused("Unexpected foo claim value"), "no reason that we know"),
        (refused("  Missing client assertion "), "did not arrive whole"),
    ],
)
async def test_other_refusals_say_what_they_can(reply, hint, tokens, scripted):
    with pytest.raises(AuthRejectedError, match=re.escape(hint)):
        await tokens(scripted(reply)).fetch(NEVER)


async def test_a_refusal_repeats_no_text_of_the_server(tokens, scripted, caplog):
    """The server may echo the assertion, or anything else."""

    def echo(request) -> Reply:
        return refused(f"{CANARY} {assertion_of(request)}\r\n\x1b[31m")

    server = scripted(echo)
    with caplog.at_level(logging.DEBUG), pytest.raises(AuthRejectedError) as caught:
        await tokens(server).fetch(NEVER)

    said = f"{caught.value!r} {caught.value} {caplog.text}"
    assert CANARY not in said
    assert assertion_of(server.requests[0]) not in said
    assert "\x1b" not in said


# Out of order: tried until the deadline.


@pytest.mark.parametrize(
    "failure",
    [answer(500), answer(502), answer(503), answer(504), answer(408), answer(425), answer(429),
     ConnectFailedError("no connection"), NetworkInterruptedError("lost"),
     StallTimeoutError("hangs")],
)  # fmt: skip
async def test_an_outage_is_sat_out(failure, tokens, scripted, naps):
    server = scripted(*[failure] * 40, granted())

    token = await tokens(server).fetch(NEVER)

    assert token.value == "token-1"
    assert len(server.requests) == 41
    assert len(naps.taken) == 40
    assert naps.taken[-1] >= 9.9  # half of 20 s, the longest wait that we choose
    assert max(naps.taken) <= 21


async def test_an_outage_lasts_no_longer_than_the_deadline(settings, lane, scripted):
    server = scripted(granted(), answer(503))
    source = SignedAssertion(settings, server, lane=lane)
    await source.fetch(NEVER)  # with the key loaded, the deadline is that of the requests alone

    with pytest.raises(DeadlineExceededError, match="503") as caught:
        await source.fetch(Deadline.after(0.2))

    assert caught.value.verdict is Verdict.RETRY
    assert len(server.requests) > 1


async def test_retry_after_is_honoured_and_clamped(tokens, scripted, naps):
    server = scripted(
        answer(429, b"", retry_after="120"), answer(503, b"", retry_after="86400"),
        answer(429, b"", retry_after="-1"), granted(),
    )  # fmt: skip

    await tokens(server, draw=lambda: 0.0).fetch(NEVER)

    assert naps.taken[0] == pytest.approx(120, abs=0.5)
    assert naps.taken[1] == pytest.approx(900, abs=0.5)
    assert naps.taken[2] == pytest.approx(1, abs=0.5)


async def test_retry_after_as_a_date_is_relative_to_the_servers_clock(tokens, scripted, naps):
    date, later = formatdate(1_000_000_000, usegmt=True), formatdate(1_000_000_033, usegmt=True)
    server = scripted(answer(503, b"", retry_after=later, date=date), granted())

    await tokens(server, draw=lambda: 0.0).fetch(NEVER)

    assert naps.taken == [pytest.approx(33, abs=0.5)]


async def test_the_pace_is_kept_from_one_caller_to_the_next(tokens, scripted, naps):
    """Callers that come and go must not each begin with a request of their own."""
    server = scripted(granted(), answer(503, b"", retry_after="600"), granted())
    source = tokens(server, draw=lambda: 0.0)
    await source.fetch(NEVER)
    source._pace._sleep = _never_ending  # the first caller waits and gives up
    with pytest.raises(DeadlineExceededError):
        await source.fetch(Deadline.after(0.1))
    source._pace._sleep = naps

    await source.fetch(NEVER)

    assert naps.taken == [pytest.approx(600, abs=1)]
    assert len(server.requests) == 3


async def _never_ending(_: float) -> None:
    import anyio

    await anyio.sleep_forever()


async def test_a_success_ends_the_series(tokens, scripted, naps):
    server = scripted(*[answer(503)] * 10, granted(), answer(500), granted())
    source = tokens(server)
    await source.fetch(NEVER)
    naps.taken.clear()

    await source.fetch(NEVER)

    assert naps.taken == [pytest.approx(0.125, abs=0.01)]


async def test_without_a_deadline_an_outage_is_told_after_an_hour(tokens, scripted, monkeypatch):
    monkeypatch.setattr("chartsend.auth.pacing.PATIENCE_S", 0.2)
    source = tokens(scripted(granted(), answer(503)))
    await source.fetch(NEVER)
    source._pace._sleep = _never_ending

    with pytest.raises(AuthUnavailableError, match="503"):
        await source.fetch(NEVER)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(status, tokens, scripted):
    server = scripted(answer(status, b"", location="https://evil.example/"))

    with pytest.raises(UnexpectedRedirectError) as caught:
        await tokens(server).fetch(NEVER)

    assert len(server.requests) == 1
    assert "evil" not in str(caught.value)


async def test_a_refused_certificate_is_not_tried_again(tokens, scripted):
    server = scripted(TlsError("the certificate was refused"))

    with pytest.raises(TlsError):
        await tokens(server).fetch(NEVER)

    assert len(server.requests) == 1


# The clock.

SERVER_NOW = 1_700_000_000.0


def strict_clock_server(scripted, description: str = ""):
    """Refuses what was not signed by its own clock, as Redox does; its answers have a Date."""

    def judge(request) -> Reply:
        claims = claims_of(request)
        is_good = claims["iat"] <= SERVER_NOW + 10 and SERVER_NOW < claims["exp"] <= SERVER_NOW + 300
        reply = granted() if is_good else refused(description)
        return replace(reply, headers={"date": formatdate(SERVER_NOW, usegmt=True)})

    return scripted(judge)


@pytest.mark.parametrize("off_s", [600, -600, 86_400, -1_000_000_000, 70, 45])
@pytest.mark.parametrize("description", ["", "Unexpected iat claim value"])
async def test_a_wrong_clock_is_adjusted_once_and_remembered(
    off_s, description, tokens, scripted, caplog
):
    server = strict_clock_server(scripted, description)
    source = tokens(server, wall=lambda: SERVER_NOW + off_s)

    assert (await source.fetch(NEVER)).value == "token-1"
    requests_of_first = len(server.requests)
    await source.fetch(NEVER)

    assert requests_of_first == 2
    assert len(server.requests) == 3
    assert f"skew_s={-off_s}" in caplog.text


@pytest.mark.parametrize("off_s", [0, 29, -200])
async def test_a_clock_a_little_off_does_no_harm(off_s, tokens, scripted):
    server = strict_clock_server(scripted)

    await tokens(server, wall=lambda: SERVER_NOW + off_s).fetch(NEVER)

    assert len(server.requests) == 1


async def test_a_clock_that_is_mended_later_is_noticed(tokens, scripted):
    off_s = 600.0
    server = strict_clock_server(scripted)
    source = tokens(server, wall=lambda: SERVER_NOW + off_s)
    await source.fetch(NEVER)

    off_s = 0.0
    await source.fetch(NEVER)

    assert len(server.requests) == 4


@pytest.mark.parametrize(("off_s", "word"), [(600, "ahead of"), (-600, "behind")])
async def test_a_wrong_clock_that_adjusting_does_not_mend_is_told_with_its_offset(
    off_s, word, tokens, scripted
):
    date = formatdate(SERVER_NOW, usegmt=True)
    server = scripted(refused("", date=date))

    with pytest.raises(ClockSkewError, match=f"600 s {word}"):
        await tokens(server, wall=lambda: SERVER_NOW + off_s).fetch(NEVER)

    assert len(server.requests) == 2


async def test_a_refusal_that_names_another_cause_is_not_blamed_on_the_clock(tokens, scripted):
    date = formatdate(SERVER_NOW, usegmt=True)
    server = scripted(refused("JWT header kid property is required", date=date))

    with pytest.raises(AuthRejectedError, match=r"auth\.key_id"):
        await tokens(server, wall=lambda: SERVER_NOW + 600).fetch(NEVER)

    assert len(server.requests) == 1


@pytest.mark.parametrize("date", ["", "yesterday", "Thu, 99 Foo 2023 00:00:00 GMT", "0"])
async def test_a_refusal_without_a_usable_date_is_just_a_refusal(date, tokens, scripted):
    server = scripted(refused("", date=date))

    with pytest.raises(AuthRejectedError):
        await tokens(server, wall=lambda: SERVER_NOW + 600).fetch(NEVER)

    assert len(server.requests) == 1
