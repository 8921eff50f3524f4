"""What is counted beside the rows: added once, whatever a run does, and read back as it was."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from chartsend.batch import totals as t
from chartsend.engine import Statistics
from chartsend.histogram import Histogram
from chartsend.transport.meter import Meter

from .conftest import receipt


def statistics(requests: int, meter: Meter) -> Statistics:
    return Statistics(
        requests=requests,
        tokens=requests // 10,
        retries=requests // 7,
        sends_in_flight=0,
        buffer_bytes_in_use=0,
        parked_calls=0,
        meter=meter.copy(),
    )


def test_what_is_added_in_parts_is_the_whole_to_the_millisecond():
    draw = random.Random(3)
    spending, meter, added = t.Spending(slots=4), Meter(), Counter()
    for step in range(200):
        meter.statuses[draw.choice([200, 201, 503, 0])] += 1
        meter.server_times.add(draw.uniform(1, 5000))
        meter.quota_s += draw.uniform(0, 0.0019)  # often less than what is kept at all
        meter.server_s += draw.uniform(0, 3)
        added.update(spending.since(statistics(step + 1, meter)))
    added.update(spending.since(statistics(200, meter), is_last=True))

    assert added[t.REQUESTS] == 200
    assert added[t.TOKENS] == 20
    assert added[t.RETRIES] == 200 // 7
    assert added[t.RUNS] == added[t.ENDED] == 1
    assert added["quota_ms"] == round(meter.quota_s * 1000)
    assert added["server_ms"] == round(meter.server_s * 1000)
    assert t.numbered(added, t.STATUS) == dict(sorted(meter.statuses.items()))
    assert t.histogram(added, t.ANSWER_MS).counts == meter.server_times.counts


def test_a_run_that_did_not_end_has_begun_and_not_ended():
    added = t.Spending(slots=1).since(statistics(0, Meter()))

    assert added[t.RUNS] == 1
    assert t.ENDED not in added


def test_nothing_new_adds_no_zeros():
    spending = t.Spending(slots=1)
    spending.since(statistics(5, Meter()))

    more = spending.since(statistics(5, Meter()))

    assert set(more) <= {"wall_ms", "cpu_ms", "capacity_ms"}
    assert all(more.values())


def test_slots_are_busy_while_their_blocks_run_also_when_these_fail():
    spending, meter = t.Spending(slots=2), Meter()
    with pytest.raises(ZeroDivisionError), spending.busy():
        spending.since(statistics(1, meter))
        _ = 1 / 0
    idle = spending.since(statistics(2, meter))

    assert spending._busy == 0
    assert spending.since(statistics(3, meter)).get("slot_ms", 0) <= 1
    assert idle.get("capacity_ms", 0) >= idle.get("slot_ms", 0)


def test_only_an_accepted_receipt_adds_and_its_time_only_when_the_server_said_so():
    bucket = next(iter(_one(40).counts))

    assert t.of_receipt(receipt(1)) == {"bytes": 1000, f"send_ms.{bucket}": 1}
    assert t.of_receipt(receipt(1, decided_by="query", milliseconds=0)) == {"bytes": 1000}
    assert t.of_receipt(receipt(1, decided_by="person", milliseconds=0)) == {"bytes": 1000}
    assert t.of_receipt(receipt(1, "failed")) == {}
    assert t.of_receipt(receipt(1, "in_doubt")) == {}
    assert t.of_receipt(receipt(1, size_bytes=None)) == {f"send_ms.{bucket}": 1}


def _one(ms: float) -> Histogram:
    counted = Histogram()
    counted.add(ms)
    return counted


def test_activity_is_read_back_as_it_was_added():
    kept = {"wall_ms": 1500, "slot_ms": 12_000, "server_ms": 1, "other": 7}

    assert t.Activity.of(kept) == t.Activity(wall_s=1.5, slot_s=12.0, server_s=0.001)


def test_numbered_totals_come_in_the_order_of_their_numbers():
    assert list(t.numbered({"status.503": 1, "status.0": 2, "status.200": 3, "x": 9}, t.STATUS)) == [
        0,
        200,
        503,
    ]
