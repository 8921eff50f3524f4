"""Answers that are no HTTP, or too much of it: a clean error, no hang, no reuse of the connection."""

from __future__ import annotations

import asyncio
import random
import time

import pytest
from rig import document, outcome, pattern

from chartsend.errors import TransferError

SMALL = pattern(2000)
BODY = '{"Meta":{"Logs":[{"ID":"x"}]}}'


def head(*lines: str, status: str = "HTTP/1.1 200 OK") -> str:
    return "\r\n".join([status, *lines, "", ""])


LENGTH = f"Content-Length: {len(BODY)}"
MALFORMED = {
    "two different lengths": head(LENGTH, "Content-Length: 3") + BODY,
    "a longer length": head(f"Content-Length: {len(BODY) + 5}") + BODY,
    "a negative length": head("Content-Length: -1") + BODY,
    "a plus before the length": head(f"Content-Length: +{len(BODY)}") + BODY,
    "a length that is no number": head("Content-Length: many") + BODY,
    "a huge length": head("Content-Length: " + "9" * 30) + BODY,
    "length and chunked": head(LENGTH, "Transfer-Encoding: chunked") + BODY,
    "bad chunk size": head("Transfer-Encoding: chunked") + "zz\r\n" + BODY,
    "chunk cut": head("Transfer-Encoding: chunked") + "ff\r\n" + BODY,
    "NUL in a header": head(LENGTH, "X-A: a\0b") + BODY,
    "CR in a header": head(LENGTH, "X-A: a\rb") + BODY,
    "header without a colon": head(LENGTH, "no colon here") + BODY,
    "blank before the colon": head("Content-Length : 3", "X-B: c") + BODY,
    "garbage": "\x16\x03\x01\x02\x00\x01\x00garbage\r\n\r\n",
    "no version": head(LENGTH, status="200 OK") + BODY,
    "another version": head(LENGTH, status="HTTP/2 200") + BODY,
    "ICY": head(LENGTH, status="ICY 200 OK") + BODY,
    "two digits": head(LENGTH, status="HTTP/1.1 20 OK") + BODY,
    "four digits": head(LENGTH, status="HTTP/1.1 2000 OK") + BODY,
    "letters as status": head(LENGTH, status="HTTP/1.1 abc OK") + BODY,
    "5,000 headers": head(LENGTH, *(f"X-{n}: y" for n in range(5000))) + BODY,
    "a header of 20 KB": head(LENGTH, "X-A: " + "a" * 20_000) + BODY,
    "a status line of 20 KB": head(LENGTH, status="HTTP/1.1 200 " + "O" * 20_000) + BODY,
    "100 kB of no line": "H" * 100_000,
    "an endless head": "HTTP/1.1 200 OK\r\n" + "X: y\r\n" * 3000,
    "a body of 200 kB": head("Content-Length: 200000", "Content-Type: application/json") + " " * 200_000,
    "a body of 10 MB without length": head() + " " * 10_000_000,
    "switching protocols": head(
        "Upgrade: websocket", "Connection: Upgrade", status="HTTP/1.1 101 Switching"
    ),
    "nothing but line ends": "\r\n" * 1000,
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_malformed_answer_leaves_a_message_in_doubt_and_an_upload_is_tried_again(
    raw, engine_for, text
):
    bad = [["read", None], ["commit"], ["send", text], ["fin"], ["drain"]]
    raw.plan("message", bad)
    async with engine_for(raw) as engine:
        error = await outcome(engine, document(SMALL), method="embed")
        assert isinstance(error, TransferError), error
        assert (error.code, error.receipt.status) == ("outcome_unknown", "in_doubt")
        assert len(raw.requests("message")) == 1
        raw.clear()
        raw.plan("upload", bad)
        receipt = await outcome(engine, document(SMALL), method="upload")
        assert getattr(receipt, "status", receipt) == "accepted"
        first, second = raw.requests("upload")
        assert first["conn"] != second["conn"]
    assert raw.commits() == 1


HARMLESS = {
    "line feeds only": head(LENGTH).replace("\r\n", "\n") + BODY,
    "leading line ends": "\r\n\r\n" + head(LENGTH) + BODY,
    "no reason": head(LENGTH, status="HTTP/1.1 200 ") + BODY,
    "an unasked 100": head(status="HTTP/1.1 100 Continue") + head(LENGTH) + BODY,
    "two unasked 100": head(status="HTTP/1.1 100 Continue") * 2 + head(LENGTH) + BODY,
    "early hints": head("Link: <x>", status="HTTP/1.1 103 Early Hints") + head(LENGTH) + BODY,
    "chunked": head("Transfer-Encoding: chunked") + f"{len(BODY):x}\r\n{BODY}\r\n0\r\n\r\n",
    "chunked with a trailer": head("Transfer-Encoding: chunked")
    + f"{len(BODY):x};a=b\r\n{BODY}\r\n0\r\nX-T: y\r\n\r\n",
    "no length, ended by FIN": head() + BODY,
    "unknown transfer encoding": head("Transfer-Encoding: rot13") + BODY,
    "NUL in the reason": head(LENGTH, status="HTTP/1.1 200 O\0K") + BODY,
    "1.0": head(LENGTH, status="HTTP/1.0 200 OK") + BODY,
    "the same length twice": head(LENGTH, LENGTH) + BODY,
    "127 headers": head(LENGTH, *(f"X-{n}: y" for n in range(120))) + BODY,
}


@pytest.mark.parametrize("text", HARMLESS.values(), ids=HARMLESS.keys())
@pytest.mark.parametrize("pace", ["at once", "byte by byte"])
async def test_an_odd_answer_is_read_or_leaves_a_clean_error(raw, engine_for, text, pace):
    step = ["send", text] if pace == "at once" else ["drip", text[:400], 0.0002]
    if pace != "at once" and len(text) > 400:
        pytest.skip("too long to drip")
    raw.plan("message", [["read", None], ["commit"], step, ["fin"], ["drain"]])
    async with engine_for(raw) as engine:
        result = await outcome(engine, document(SMALL), method="embed")
    assert getattr(result, "status", None) == "accepted" or result.code == "outcome_unknown"
    assert len(raw.requests("message")) == 1


@pytest.mark.parametrize("name", ["an unasked 100", "two unasked 100", "early hints", "chunked", "1.0"])
async def test_these_odd_answers_are_read(raw, engine_for, name):
    raw.plan("message", [["read", None], ["commit"], ["send", HARMLESS[name]], ["fin"], ["drain"]])
    async with engine_for(raw) as engine:
        receipt = await outcome(engine, document(SMALL), method="embed")
    assert getattr(receipt, "status", receipt) == "accepted"
    assert receipt.log_ids == ("x",)


@pytest.mark.parametrize("after", [0, 500_000])
@pytest.mark.parametrize(
    "interim",
    [
        head(status="HTTP/1.1 100 Continue"),
        head(status="HTTP/1.1 100 Continue") * 3,
        head("Link: <x>", status="HTTP/1.1 103 Early Hints"),
    ],
    ids=["100", "three", "103"],
)
@pytest.mark.parametrize("size", [2000, 3_000_000])
async def test_an_interim_answer_while_the_body_goes_out_changes_nothing(
    raw, engine_for, after, interim, size
):
    raw.plan("message", [["read", after], ["send", interim], ["read", None], ["commit"], ["ok"]])
    async with engine_for(raw) as engine:
        receipt = await outcome(engine, document(pattern(size)), method="embed", deadline_s=5)
    assert getattr(receipt, "status", receipt) == "accepted"
    assert raw.commits() == 1


@pytest.mark.parametrize("after", [0, 500_000])
@pytest.mark.parametrize("line", ["HTTP/1.0 100 Continue", "HTTP/1.1 100 Continue\r\nConnection: close"])
@pytest.mark.parametrize("size", [2000, 3_000_000])
async def test_an_interim_answer_that_ends_the_connection_never_hangs(
    raw, engine_for, after, line, size
):
    raw.plan(
        "message",
        *[[["read", after], ["send", head(status=line)], ["read", None], ["commit"], ["ok"]]] * 3,
    )
    async with engine_for(raw) as engine:
        began = time.monotonic()
        result = await outcome(engine, document(pattern(size)), method="embed", deadline_s=8)
        assert time.monotonic() - began < 3
    assert result.code == "outcome_unknown" if isinstance(result, Exception) else raw.commits() == 1
    assert raw.commits() <= 1


async def test_a_417_is_an_unexpected_status(raw, engine_for):
    text = head("Content-Length: 0", status="HTTP/1.1 417 Expectation Failed")
    raw.plan("message", [["read", None], ["send", text]])
    async with engine_for(raw) as engine:
        error = await outcome(engine, document(SMALL), method="embed")
    assert error.code == "unexpected_status"
    assert "expect" not in raw.requests("message")[0]["head"].lower()


@pytest.mark.parametrize(
    "text", ["HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nbody", head(LENGTH) + BODY + BODY]
)
async def test_bytes_after_an_answer_never_answer_the_next_request(raw, engine_for, text):
    raw.plan("message", [["read", None], ["commit"], ["send", text], ["sleep", 0.05]])
    async with engine_for(raw) as engine:
        await outcome(engine, document(SMALL), method="embed")
        raw.plan(
            "message", [["read", None], ["send", head("Content-Length: 0", status="HTTP/1.1 422 No")]]
        )
        error = await outcome(engine, document(SMALL, document_id="doc-2"), method="embed")
    assert error.code == "invalid"  # what the server said of this one
    first, second = raw.requests("message")
    assert first["conn"] != second["conn"]


async def test_a_late_second_answer_never_answers_the_next_message(raw, engine_for):
    raw.plan("message", [["read", None], ["commit"], ["ok"], ["sleep", 0.05], ["ok"]])
    async with engine_for(raw) as engine:
        assert (await outcome(engine, document(SMALL), method="embed")).status == "accepted"
        await asyncio.sleep(0.15)  # the second answer now lies in the pooled connection
        refusal = head("Content-Length: 0", status="HTTP/1.1 422 No")
        raw.plan("message", *[[["read", None], ["send", refusal]]] * 3)
        error = await outcome(engine, document(SMALL, document_id="doc-2"), method="embed")
    assert error.code == "invalid"  # nothing had been sent, so a fresh connection could ask again


def mutant(draw: random.Random) -> str:
    """A good answer with one to eight random changes."""
    text = list(head("Content-Type: application/fhir+json", LENGTH) + BODY)
    for _ in range(draw.randint(1, 8)):
        at = draw.randrange(len(text))
        match draw.randrange(4):
            case 0:
                text[at] = chr(draw.randrange(256))
            case 1:
                del text[at]
            case 2:
                text.insert(at, draw.choice(["\r\n", "\0", ":", " ", "\xff", "{", "9" * 20]))
            case 3:
                text[at:at] = text[: draw.randrange(60)]
    return "".join(text)


async def test_a_hundred_random_answers_raise_nothing_but_our_errors(raw, engine_for):
    draw = random.Random(11)
    async with engine_for(raw) as engine:
        for number in range(100):
            raw.plan("message", [["read", None], ["commit"], ["send", mutant(draw)], ["fin"], ["drain"]])
            result = await outcome(
                engine, document(SMALL, document_id=f"d{number}"), to=f"to-{number}", method="embed"
            )
            assert isinstance(result, TransferError) or result.status == "accepted"
            # The server answered after the whole body, so silence about it is never an option.
            if isinstance(result, TransferError) and result.status is None:
                assert result.receipt.status == "in_doubt", (number, result)
            assert len(raw.requests("message")) == number + 1, number
