"""Two results are compared figure by figure, with whether their ranges have anything in common."""

from __future__ import annotations

import copy

import msgspec

from benchmarks import compare

CPU = "cpu/floor: embed 22.5 MB, plain"


def by_figure(found):
    return {(each.key[1], each.key[2], each.key[3].split(",")[0]): each for each in found}


def test_equal_results_have_no_differences(planted):
    same = copy.deepcopy(planted.results)
    assert compare.differences(planted.results, same) == []
    assert compare.text(planted.results, same) == "no figure differs"


def test_a_median_that_moved_within_the_ranges_overlaps(planted):
    before = copy.deepcopy(planted.results)
    group = planted.results.scene("start").groups[0]
    before.scene("start").groups[0].values["import, ms"] = [280.0, 300.0, 350.0]
    group.values["import, ms"] = [270.0, 340.0, 345.0]
    (found,) = compare.differences(before, planted.results)
    assert found.key == ("start", "a fresh process", "", "import, ms")
    assert found.overlaps
    assert f"{found.change:+.1%}" == "+13.3%"


def test_ranges_apart_come_first_and_small_shifts_are_left_out(planted):
    before = copy.deepcopy(planted.results)
    values = planted.results.scene("start").groups[0].values
    before.scene("start").groups[0].values["import, ms"] = [300.0, 310.0, 320.0]
    values["import, ms"] = [300.0, 311.0, 320.0]
    planted.plant(CPU, [2.2, 2.2, 2.3])
    found = compare.differences(before, planted.results)
    assert not found[0].overlaps
    assert all(not each.key[3].startswith("import") for each in found)
    cpu = by_figure(found)["embed 22.5 MB, plain", "chartsend", "CPU"]
    assert cpu.change is not None
    assert round(cpu.change, 2) == 1.0


def test_a_small_shift_with_ranges_apart_is_told(planted):
    before = copy.deepcopy(planted.results)
    before.scene("start").groups[0].values["import, ms"] = [300.0, 300.0, 300.0]
    planted.results.scene("start").groups[0].values["import, ms"] = [301.0, 301.0, 301.0]
    (found,) = compare.differences(before, planted.results)
    assert not found.overlaps


def test_what_only_one_has_is_counted(planted):
    other = copy.deepcopy(planted.results)
    other.scenes = [played for played in other.scenes if played.scene != "start"]
    assert "2 figures are in A only" in compare.text(planted.results, other)
    assert "2 figures are in B only" in compare.text(other, planted.results)


def test_another_machine_is_told(planted):
    other = copy.deepcopy(planted.results)
    other.machine = msgspec.structs.replace(
        other.machine, cpu="Another", versions={"chartsend": "0.2.0"}, load=3.0
    )
    told = compare.text(planted.results, other)
    assert "cpu: Some Processor / Another" in told
    assert "chartsend: 0.1.0 / 0.2.0" in told
    assert "curl: 7.88.1 / None" in told
    assert "load: 0.250 / 3.00" in told


def test_another_load_alone_makes_no_other_kind(planted):
    other = copy.deepcopy(planted.results)
    other.machine = msgspec.structs.replace(other.machine, load=3.0)
    assert compare.text(planted.results, other) == "no figure differs"


def test_from_zero_there_is_no_share(planted):
    before = copy.deepcopy(planted.results)
    before.scene("start").groups[0].values["import, ms"] = [0.0, 0.0, 0.0]
    (found,) = compare.differences(before, planted.results)
    assert found.change is None
    assert "import, ms" in compare.text(before, planted.results)
