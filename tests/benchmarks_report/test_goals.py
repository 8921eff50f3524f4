"""Goals are judged by the median of ratios of one round each, and what is not measured is not met."""

from __future__ import annotations

import itertools

import pytest
from benchmarks.job import Sample
from benchmarks.results import Group, Played
from benchmarks.scenes import SCENES

from benchmarks import goals

CPU = "cpu/floor: embed 22.5 MB, plain"
ANYWHERE = [goal.key for goal in goals.GOALS if goal.anywhere]


def run_of(cpu_s=1.0, seconds=1.0):
    return Sample(
        seconds=seconds, cpu_s=cpu_s, documents=1, raw_bytes=10**9, idle_rss_bytes=0, peak_rss_bytes=0
    )


def test_every_goal_is_met_by_figures_within_its_bounds(planted):
    assert {judged.key: judged.is_met for judged in planted.results.goals} == dict.fromkeys(
        [goal.key for goal in goals.GOALS], True
    )
    assert goals.short_of(planted.results) == []


@pytest.mark.parametrize("key", ANYWHERE)
def test_a_shortfall_of_whatever_holds_anywhere_is_found(planted, key):
    goal = next(goal for goal in goals.GOALS if goal.key == key)
    worse = goal.most * 1.2 if goal.most is not None else goal.least / 1.2
    planted.plant(key, [worse] * 3)
    assert key in [judged.key for judged in goals.short_of(planted.results)]


@pytest.mark.parametrize(("low", "met"), [(0.94, False), (0.95, True), (1.05, True), (1.06, False)])
def test_a_goal_with_two_bounds_holds_between_them(planted, low, met):
    planted.plant("rss 1 MB/29 MB: plain, stalled", [low] * 3)
    # A resident set is a whole number of bytes, so the bounds themselves are not hit exactly.
    found = planted.judged("rss 1 MB/29 MB: plain, stalled")
    assert found.values == pytest.approx([low] * 3)
    assert found.is_met is met or low in {0.95, 1.05}


def test_the_median_decides_not_one_bad_round(planted):
    planted.plant(CPU, [1.0, 5.0, 1.05])
    assert planted.judged(CPU).is_met is True
    planted.plant(CPU, [5.0, 1.0, 5.0])
    assert planted.judged(CPU).is_met is False


def test_ratios_are_taken_round_by_round():
    group = Group(
        series="s", samples={"a": [run_of(1.0), run_of(9.0)], "b": [run_of(1.0), run_of(10.0)]}
    )
    ratio = goals.Ratio("scene", "s", "cpu_s_per_gb", "a", "b")
    assert ratio.values(group) == pytest.approx([1.0, 0.9])


@pytest.mark.parametrize("b", [[], [run_of()], [run_of(), run_of(0.0)]])
def test_there_is_no_ratio_of_rounds_that_do_not_pair_or_to_nothing(b):
    group = Group(series="s", samples={"a": [run_of(), run_of()], "b": b})
    assert goals.Ratio("scene", "s", "cpu_s_per_gb", "a", "b").values(group) == []


def test_the_worst_ratio_is_the_highest_of_each_round():
    samples = {
        "1 worker": [run_of(1.0), run_of(2.0)],
        "2 workers": [run_of(1.5), run_of(2.0)],
        "3 workers": [run_of(1.2), run_of(2.6)],
    }
    worst = goals.WorstRatio("scene", "s", "cpu_s_per_gb", "1 worker")
    assert worst.values(Group(series="s", samples=samples)) == pytest.approx([1.5, 1.3])
    assert worst.values(Group(series="s", samples={"1 worker": [run_of()]})) == []


def test_a_due_goal_without_a_figure_falls_short(planted):
    for played in planted.results.scenes:
        if played.scene == "big":
            played.groups.clear()
    planted.results.goals = goals.judge(planted.results)
    short = {judged.key: judged.is_met for judged in goals.short_of(planted.results)}
    assert short[CPU] is None
    assert all(goal.figure.scene == "big" for goal in goals.GOALS if goal.key in short)


def test_work_that_was_not_done_has_no_figure():
    stalled = Sample(
        seconds=3.0, cpu_s=1.0, documents=0, raw_bytes=0, idle_rss_bytes=0, peak_rss_bytes=1024 * 1024
    )
    group = Group(series="s", samples={"a": [stalled]})
    assert group.figure("cpu_s_per_gb", "a") == group.figure("mb_per_s", "a") == []
    assert group.figure("documents_per_s", "a") == group.figure("stall_p999_ms", "a") == []
    assert group.figure("rss_mib", "a") == [1.0]


def test_a_quick_run_owes_what_it_measures(planted):
    planted.results.quick = True
    due = goals.due_of(planted.results)
    assert due == {goal.key for goal in goals.GOALS if goal.quick}
    assert due < set(ANYWHERE)


def test_a_run_of_one_scene_owes_the_goals_of_that_scene(planted):
    planted.results.scenes = [Played(scene="memory")]
    due = goals.due_of(planted.results)
    assert due
    assert all(goal.figure.scene == "memory" for goal in goals.GOALS if goal.key in due)


def test_goals_have_names_of_their_own_and_scenes_that_exist():
    keys = [goal.key for goal in goals.GOALS]
    assert len(keys) == len(set(keys))
    assert {goal.figure.scene for goal in goals.GOALS} <= {scene.name for scene in SCENES}


def test_what_is_quick_holds_anywhere_and_its_scene_is_quick():
    quick = {scene.name for scene in SCENES if scene.is_quick}
    for goal in goals.GOALS:
        assert not goal.quick or (goal.anywhere and goal.figure.scene in quick)


def test_bounds_are_told_in_words():
    words = {goal.key: goal.bound for goal in goals.GOALS}
    assert words[CPU] == "≤ 1.1"
    assert words["rss: TLS"] == "≤ 239.2 MiB"
    assert words["rss 1 MB/29 MB: TLS, stalled"] == "0.95 … 1.05"
    assert all(goal.least is None or goal.most is None or goal.least < goal.most for goal in goals.GOALS)
    assert not any(itertools.chain(goal.least is None and goal.most is None for goal in goals.GOALS))
