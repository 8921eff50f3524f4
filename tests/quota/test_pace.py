"""What refusals (429) do: a pause, half the rate and its return, probes, the limit that is named."""

from __future__ import annotations

import logging

import pytest

from chartsend.ports import Operation
from chartsend.transport.quota.pace import Pace
from chartsend.transport.quota.terms import Terms

S = 1_000_000_000
COUNTS = frozenset({Operation.MESSAGE})
TERMS = Terms(10_000, 300 * S, "https://api.example:443", counts=COUNTS)


def limit(pace, at_s):
    return TERMS.limit(pace, int(at_s * S))


def refused(pace, at_s, *, dispatched_s=None):
    return pace.refused(int((at_s if dispatched_s is None else dispatched_s) * S), int(at_s * S))


def test_a_client_that_was_never_refused_uses_98_percent():
    assert limit(Pace(), 0) == TERMS.cap(Pace(), 0) == 9800
    assert TERMS.limit_of(Pace(), 0, "backfill") == 8820


def test_the_first_refusal_halves_the_rate_and_it_comes_back_by_one_percent_in_ten_clean_seconds():
    pace = Pace()
    refused(pace, 100)
    assert limit(pace, 100) == 4900
    assert limit(pace, 109.9) == 4900
    assert limit(pace, 110) == 4998
    assert limit(pace, 350) == 7350
    assert limit(pace, 599.9) == 9702
    assert limit(pace, 600) == limit(pace, 100_000) == 9800


def test_the_rate_comes_back_from_the_end_of_the_pause_only():
    pace = Pace()
    refused(pace, 100)
    pace.pause(160 * S)
    assert limit(pace, 169) == 4900
    assert limit(pace, 170) == 4998


def test_refusals_of_one_burst_halve_the_rate_once():
    pace = Pace()
    assert refused(pace, 100, dispatched_s=99)
    for n in range(15):
        assert not refused(pace, 100 + n / 100, dispatched_s=99.5)
    assert limit(pace, 100) == 4900
    assert (pace.refusals, pace.streak) == (16, 1)


def test_a_refusal_of_a_later_episode_halves_what_has_come_back():
    pace = Pace()
    refused(pace, 100)
    pace.answered_cleanly(102 * S)
    refused(pace, 350)
    assert limit(pace, 350) == 3675  # half of 75 %


def test_however_often_it_is_refused_some_rate_stays():
    pace = Pace()
    for n in range(20):
        refused(pace, 1000 + 20 * n)
        pace.answered_cleanly((1001 + 20 * n) * S)
    assert limit(pace, 1000 + 20 * 19) == 490
    tiny = Terms(1, S, "", counts=COUNTS)
    assert tiny.limit(pace, 1400 * S) == tiny.limit_of(pace, 1400 * S, "backfill") == 1
    with_tokens = Terms(5, S, "")  # a token and what needs it always have a place each
    assert with_tokens.limit(pace, 1400 * S) == 2
    assert with_tokens.limit_of(pace, 1400 * S, "backfill") == 1


def test_while_it_is_refused_one_request_at_a_time_asks_and_ever_more_rarely():
    pace = Pace()
    now_s, gaps = 100.0, []
    refused(pace, now_s)
    for _ in range(6):
        opens_s = pace.open_at_ns() / S
        gaps.append(opens_s - now_s)
        now_s = opens_s
        pace.dispatched(int(now_s * S))
        assert pace.open_at_ns() > now_s * S  # the others wait for what becomes of this one
        refused(pace, now_s)
    assert gaps == [1, 2, 4, 5, 5, 5]


def test_a_storm_of_refusals_for_ten_minutes_meets_a_probe_in_five_seconds():
    pace = Pace()
    refused(pace, 0)
    probes, now_s = 0, 0.0
    while (now_s := pace.open_at_ns() / S) < 600:
        pace.dispatched(int(now_s * S))
        probes += 1
        refused(pace, now_s + 0.05, dispatched_s=now_s)
    assert probes <= 600 / 5 + 2  # two more at first, for a refusal by chance


def test_a_clean_answer_ends_the_probing_but_only_of_a_request_that_went_after_the_refusal():
    pace = Pace()
    refused(pace, 100)
    assert not pace.answered_cleanly(99 * S)
    pace.dispatched(101 * S)
    assert pace.open_at_ns() > 101 * S
    assert pace.answered_cleanly(101 * S)
    assert pace.open_at_ns() < 101 * S
    assert not pace.answered_cleanly(102 * S)


def test_a_longer_pause_is_not_shortened():
    pace = Pace()
    pace.pause(500 * S)
    pace.pause(400 * S)
    assert pace.open_at_ns() == 500 * S


@pytest.mark.parametrize("named", [5000, 20_000])
def test_a_limit_that_the_server_names_replaces_the_setting_up_and_down_for_a_day(named):
    pace = Pace()
    pace.learn(named, 10_000, 100 * S)
    assert limit(pace, 101) == named * 98 // 100
    assert limit(pace, 100 + 86_399) == named * 98 // 100
    assert limit(pace, 100 + 86_400) == 9800


def test_a_limit_that_was_named_for_another_setting_does_not_hold():
    pace = Pace()
    pace.learn(5000, 10_000, 100 * S)
    assert Terms(8000, 300 * S, "").cap(pace, 101 * S) == 7840


async def test_all_of_it_is_shared_through_the_file(opened, clock, has_room):
    first, second = opened(TERMS, clock=clock), opened(TERMS, clock=clock)
    with_other_setting = opened(Terms(8000, 300 * S, TERMS.origin, counts=COUNTS), clock=clock)
    turn = await first.take(*anything())

    first.refused(turn, limit=5000, asked_s=30.0)
    first.answered(turn)

    assert second.state().cap == 4900
    assert second.state().limit == 2450
    assert with_other_setting.state().cap == 7840
    assert second.state().refusals == 1
    assert (first.refusals, second.refusals) == (1, 0)
    assert 30 <= second.state().paused_s <= 33
    assert not await has_room(second)
    clock.pass_s(33)
    assert await has_room(second)  # the probe; its clean answer opens the way
    assert await has_room(first)
    clock.pass_s(600)
    assert first.state().limit == 4900


async def test_probes_of_all_processes_together_are_one_at_a_time(opened, clock, has_room):
    quotas = [opened(TERMS, clock=clock) for _ in range(3)]
    turn = await quotas[0].take(*anything())
    quotas[0].refused(turn, limit=None, asked_s=0.0)
    quotas[0].answered(turn)
    clock.pass_s(1.2)

    assert await has_room(quotas[1], is_clean=False)
    assert not await has_room(quotas[2])
    assert not await has_room(quotas[0])


async def test_a_pause_holds_and_is_probed_also_where_the_quota_is_off(opened, clock, has_room, folder):
    quota = opened(None, clock=clock)
    assert await has_room(quota)
    quota.pause(10)
    assert not await has_room(quota)
    assert quota.state().paused_s >= 10
    assert quota.state().limit is None
    clock.pass_s(11)
    assert await has_room(quota)
    turn = await quota.take(*anything())
    quota.refused(turn, limit=5000, asked_s=None)
    quota.answered(turn)
    clock.pass_s(1.2)
    assert await has_room(quota, is_clean=False)
    assert not await has_room(quota)
    assert not folder.exists()


async def test_a_burst_of_refusals_is_told_once(opened, clock, caplog):
    quota = opened(TERMS, clock=clock)
    turns = [await quota.take(*anything()) for _ in range(5)]
    clock.pass_s(0.1)
    with caplog.at_level(logging.INFO, "chartsend"):
        for turn in turns:
            quota.refused(turn, limit=None, asked_s=None)
            quota.answered(turn)
        clock.pass_s(2)
        turn = await quota.take(*anything())
        quota.answered(turn, is_clean=True)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_a_limit_beyond_all_measure_is_taken_as_far_as_it_goes(opened, clock):
    quota = opened(TERMS, clock=clock)
    turn = await quota.take(*anything())
    quota.refused(turn, limit=10**11, asked_s=0.0)
    quota.answered(turn)
    assert quota.state().cap == 980_000


def anything():
    from chartsend.aio import Deadline

    return Operation.MESSAGE, Deadline.after(5)
