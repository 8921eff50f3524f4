"""The bottleneck that is named is the one that the seconds show, with the number that shows it."""

from __future__ import annotations

import pytest

from chartsend.batch.advice import advise
from chartsend.batch.totals import Activity

QUIET = {"wall_s": 100.0, "cpu_s": 10.0, "capacity_s": 1600.0, "slot_s": 1500.0}


def activity(**seconds) -> Activity:
    return Activity(**(QUIET | seconds))


@pytest.mark.parametrize(
    ("seconds", "bottleneck", "share"),
    [
        ({"quota_s": 900.0, "server_s": 500.0}, "quota", 0.6),
        ({"quota_s": 100.0, "server_s": 1200.0}, "destination", 0.8),
        ({"connection_s": 100.0, "sending_s": 1000.0, "server_s": 300.0}, "network", 1100 / 1500),
        ({"sending_s": 1400.0, "source_s": 1000.0, "journal_s": 100.0}, "disk", 1100 / 1500),
        ({"sending_s": 1400.0, "source_s": 100.0, "journal_s": 900.0}, "disk", 1000 / 1500),
        ({"cpu_s": 97.0, "quota_s": 900.0}, "cpu", 0.97),
        ({"slot_s": 400.0, "server_s": 390.0}, "rows", 0.75),
    ],
)
def test_the_largest_part_of_the_slots_time_is_named_with_its_share(seconds, bottleneck, share):
    found = advise(activity(**seconds))

    assert found.bottleneck == bottleneck
    assert found.share == pytest.approx(share, abs=1e-4)
    assert f"{share:.0%}" in found.because
    assert found.change


def test_waits_between_attempts_are_the_destination_s_when_requests_were_repeated():
    found = advise(activity(server_s=100.0), troubles=7)

    assert found.bottleneck == "destination"
    assert "between attempts" in found.because


def test_waits_that_nothing_else_explains_are_the_ledger_s_or_a_busy_process_s():
    assert advise(activity(server_s=100.0)).bottleneck == "disk"
    assert advise(activity(server_s=100.0, cpu_s=60.0)).bottleneck == "cpu"


@pytest.mark.parametrize(
    "little", [Activity(), activity(slot_s=0.5), activity(wall_s=0.0)], ids=["none", "short", "no time"]
)
def test_too_little_time_gives_no_advice(little):
    assert advise(little) is None


def test_parts_that_overlap_never_make_more_than_the_whole():
    found = advise(activity(server_s=2000.0))

    assert found.share == 1.0
