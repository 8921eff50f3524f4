"""One table from outcomes to exit codes."""

from __future__ import annotations

import pytest

from chartsend.cli import exits
from chartsend.cli.exits import Outcome, of_code, of_error, stops_the_run
from chartsend.document import Receipt, ReceiptError
from chartsend.errors import (
    AuthRejectedError,
    ConfigError,
    ConnectFailedError,
    InvalidDocumentError,
    NetworkInterruptedError,
    OutcomeUnknownError,
    Verdict,
)


def receipt(status, code=None, message=""):
    return Receipt(
        document_id="d",
        source="s",
        bytes=1,
        sha256=None,
        api="fhir",
        method="embed",
        model="document-reference",
        status=status,
        error=ReceiptError(code, message) if code else None,
    )


OK = receipt("accepted")
DOUBT = receipt("in_doubt", "outcome_unknown")
BAD = receipt("failed", "invalid_document")
LATER = receipt("failed", "server_unavailable")
CONFIG = receipt("failed", "config")
FATAL = receipt("failed", "auth_rejected")


def code_of(*receipts, **fields):
    outcome = Outcome(**fields)
    for each in receipts:
        outcome.add(each)
    return outcome.exit_code()


@pytest.mark.parametrize(
    ("receipts", "code"),
    [
        ([OK, OK], 0),
        ([OK, BAD], 1),
        ([BAD, LATER], 1),
        ([OK, LATER], 1),
        ([CONFIG, BAD, DOUBT], 2),
        ([OK, DOUBT], 3),
        ([DOUBT, BAD], 1),
        ([DOUBT, LATER], 1),
        ([], 4),
        ([LATER, LATER], 5),
        ([FATAL, CONFIG, BAD, DOUBT, OK], 7),
    ],
    ids=str,
)
def test_several_outcomes_have_the_code_of_the_gravest(receipts, code):
    assert code_of(*receipts) == code


@pytest.mark.parametrize("signal", [130, 143])
def test_a_signal_comes_before_everything(signal):
    assert code_of(OK, signal=signal) == signal
    assert code_of(FATAL, DOUBT, signal=signal) == signal


def test_what_was_accepted_before_counts_as_found():
    assert code_of(skipped=3) == 0
    assert code_of(planned=3) == 0


def test_a_run_that_stopped_early_is_no_success():
    assert code_of(OK, stopped=True) == 1


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("config", 2),
        ("insecure_config", 2),
        ("auth_rejected", 7),
        ("clock_skew", 7),
        ("tls", 7),
        ("forbidden", 7),
        ("outcome_unknown", 3),
        ("connect_failed", 5),
        ("rate_limited", 5),
        ("auth_unavailable", 5),
        ("source_changed", 5),
        ("deadline_exceeded", 5),
        ("stall_timeout", 5),
        ("retry_budget_exhausted", 5),
        ("invalid_document", 1),
        ("source_missing", 1),
        ("too_large", 1),
        ("not_found", 1),
        ("a_code_of_a_later_version", 1),
    ],
)
def test_each_error_code_has_one_exit_code(code, exit_code):
    assert of_code(code) == exit_code


def test_a_firewalls_403_concerns_one_document_only():
    assert of_code("forbidden", "the server answered 403: a firewall's page") == 1


def test_an_error_goes_by_its_own_verdict():
    assert of_error(ConfigError("x")) == 2
    assert of_error(AuthRejectedError("x")) == 7
    assert of_error(ConnectFailedError("x")) == 5
    assert of_error(OutcomeUnknownError("x")) == 3
    assert of_error(InvalidDocumentError("x")) == 1
    assert of_error(NetworkInterruptedError("x", verdict=Verdict.GIVE_UP)) == 1


def test_only_what_all_documents_share_stops_a_run():
    assert all(stops_the_run(code) for code in ("auth_rejected", "tls", "clock_skew", "config"))
    assert not any(stops_the_run(code) for code in ("forbidden", "not_found", "invalid_document"))


def test_every_code_has_a_meaning():
    assert set(exits.MEANINGS) == {0, 1, 2, 3, 4, 5, 6, 7, 130, 143}


def test_a_receipt_that_could_not_be_written_is_no_success():
    assert code_of(OK, unwritten=1) == 1
    assert code_of(LATER, unwritten=1) == 1
    assert code_of(DOUBT, unwritten=1) == 1
    assert code_of(CONFIG, unwritten=1) == 2
    assert code_of(OK, unwritten=1, signal=143) == 143
