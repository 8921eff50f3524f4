"""What an earlier run says of a document."""

from __future__ import annotations

import pytest

from chartsend.cli.accepted import EarlierRun
from chartsend.errors import ConfigError


def line(ident, status):
    return b'{"document_id":"%s","source":"a.pdf","status":"%s","bytes":1}\n' % (ident, status)


def test_accepted_and_in_doubt_are_known_and_failed_are_not():
    run = EarlierRun.read(
        [line(b"1", b"accepted"), line(b"2", b"in_doubt"), line(b"3", b"failed"), b"\n"]
    )

    assert [run.status(i) for i in "1234"] == ["accepted", "in_doubt", None, None]


def test_a_document_that_was_accepted_once_stays_accepted():
    lines = [line(b"1", b"in_doubt"), line(b"1", b"accepted"), line(b"1", b"failed")]

    assert EarlierRun.read(lines).status("1") == "accepted"
    assert EarlierRun.read(lines[::-1]).status("1") == "accepted"


def test_a_later_failure_does_not_settle_a_doubt():
    lines = [line(b"1", b"in_doubt"), line(b"1", b"failed")]

    assert EarlierRun.read(lines).status("1") == "in_doubt"


@pytest.mark.parametrize(
    "bad",
    [
        b'{"document_id":"2","stat',
        b"accepted  a.pdf",
        b"[]",
        b'{"document_id":"1","status":"done"}',
        b"\xff",
    ],
)
def test_a_line_that_is_no_receipt_is_refused_by_its_number(bad):
    with pytest.raises(ConfigError, match="line 3 is not a receipt"):
        EarlierRun.read([line(b"1", b"accepted"), b"\n", bad])
