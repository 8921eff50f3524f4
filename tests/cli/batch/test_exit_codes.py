"""The exit code of a batch, from its counts and what stopped it."""

from __future__ import annotations

import pytest

from chartsend.batch.status import Rows
from chartsend.cli.exits import of_batch, of_code, of_error
from chartsend.errors import (
    AuthRejectedError,
    ClockSkewError,
    ConfigError,
    ForbiddenError,
    LedgerError,
    LedgerFullError,
    LedgerLockedError,
    ManifestError,
    TlsError,
)


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (Rows(), 4),
        (Rows(done=3), 0),
        (Rows(done=3, failed=1), 1),
        (Rows(done=3, rejected=1), 1),
        (Rows(rejected=1), 1),
        (Rows(done=3, in_doubt=1), 3),
        (Rows(failed=1, in_doubt=1), 1),
        (Rows(done=3, pending=1), 6),
        (Rows(failed=3, rejected=1, in_doubt=1, pending=1), 6),
    ],
    ids=str,
)
def test_counts_decide(rows, code):
    assert of_batch(rows) == code


@pytest.mark.parametrize("kind", [AuthRejectedError, ClockSkewError, ForbiddenError, TlsError])
def test_what_every_row_would_meet_is_fatal(kind):
    assert of_batch(Rows(failed=3, pending=9), fatal=kind("x")) == 7


@pytest.mark.parametrize("signal", [130, 143])
def test_a_signal_comes_first(signal):
    everything = Rows(done=1, failed=1, in_doubt=1, rejected=1, pending=1)

    assert of_batch(everything, signal=signal, fatal=AuthRejectedError("x")) == signal


def test_a_setting_that_is_wrong_for_every_row_leaves_them_pending():
    assert of_batch(Rows(pending=9), fatal=ConfigError("x")) == 6


def test_lost_events_are_no_success():
    assert of_batch(Rows(done=3), unwritten=True) == 1


@pytest.mark.parametrize("kind", [LedgerError, LedgerFullError, LedgerLockedError])
def test_a_ledger_that_fails_is_mended_and_run_again(kind):
    assert of_error(kind("x")) == 6
    assert of_code(kind.code) == 6


def test_a_manifest_that_cannot_be_used_is_a_wrong_call():
    assert of_error(ManifestError("x")) == 2
