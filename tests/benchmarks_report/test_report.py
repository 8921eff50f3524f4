"""The report holds every figure, its plots are valid, and the same results give the same files."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from benchmarks.results import Played
from benchmarks.scenes import AGAINST_SANDBOX, SCENES, start
from benchmarks.tables import number, size, spread_of

from benchmarks import goals, report, results

CPU = "cpu/floor: embed 22.5 MB, plain"


@pytest.fixture
def written(planted, tmp_path):
    """A function: the report of the planted results, as text."""

    def write():
        path = results.create(planted.results, tmp_path)
        return report.write(planted.results, path).read_text(encoding="utf-8")

    return write


def lines_of(text, start):
    return [line for line in text.splitlines() if line.startswith(start)]


def test_the_head_tells_the_machine(written):
    text = written()
    assert text.startswith("# Benchmarks of 2026-01-31\n")
    head = text.split("## Goals")[0]
    for fact in (
        "Some Processor, 4 cores",
        "Linux 6.1",
        "CPython 3.11.2",
        "curl 7.88.1",
        "ext4",
        "0.25",
    ):
        assert fact in head


def test_one_round_is_not_told_as_several(planted, written):
    assert "3 rounds," in written()
    planted.results.rounds = 1
    assert "1 round," in written()


def test_a_run_that_was_broken_off_says_so_in_its_head(planted, written):
    assert "broken off" not in written()
    planted.results.finished = False
    assert "broken off: scenes are missing" in written().split("## Goals")[0]


def test_the_start_scene_tells_how_many_processes_there_were_at_least():
    scene = next(scene for scene in SCENES if scene.name == "start")
    assert f"at least {start.LEAST_RUNS} processes each" in scene.how


def test_the_goals_come_first_with_median_range_and_verdict(planted, written):
    planted.plant(CPU, [1.2, 1.3, 1.4])
    text = written()
    assert re.findall(r"^## (.*)", text, re.MULTILINE)[0] == "Goals"
    (line,) = lines_of(text, "| embed, 22.5 MB files, plain: CPU")
    assert (
        line
        == "| embed, 22.5 MB files, plain: CPU s/GB ÷ floor \\* | ≤ 1.1 | 1.30 | 1.20…1.40 | **no** |"
    )
    (met,) = lines_of(text, "| `chartsend --help`")
    assert met.endswith("| 400 | 400…400 | yes |")


def test_a_goal_without_figure_is_not_measured(planted, written):
    planted.results.scenes = [each for each in planted.results.scenes if each.scene != "cold"]
    planted.results.goals = goals.judge(planted.results)
    (line,) = lines_of(written(), "| event-loop stalls")
    assert line.endswith("| - | - | not measured |")


def test_every_scene_has_a_section_with_how_table_and_plot(planted, written, tmp_path):
    text = written()
    for played in planted.results.scenes:
        scene = next(scene for scene in SCENES if scene.name == played.scene)
        section = text.split(f"## {scene.title}\n")[1].split("\n## ")[0]
        assert scene.how in section
        assert "| ---" in section
        (name,) = re.findall(r"!\[.*\]\((.*)\)", section)
        assert ET.parse(tmp_path / name).getroot().tag.endswith("svg")


def test_every_contestant_has_its_line(planted, written):
    text = written()
    for played in planted.results.scenes:
        for group in played.groups:
            for contestant in group.samples:
                assert any(contestant in line for line in lines_of(text, f"| {group.series} |"))
            for name, values in group.values.items():
                assert f"| {group.series} | {name} | {spread_of(values)} |" in text


def test_the_same_results_give_the_same_files(planted, tmp_path):
    path = results.create(planted.results, tmp_path)

    def content():
        report.write(results.read(path), path)
        return {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    first = content()
    assert content() == first
    assert sum(name.endswith(".svg") for name in first) == len(planted.results.scenes)
    assert not any(b"<dc:date>" in drawing for drawing in first.values())


def test_a_full_sink_is_told_where_it_was_full(planted, written):
    assert "†" not in written()
    (group, *_) = planted.results.scene("big").groups
    group.samples["chartsend"][1].notes["sink_busy"] = 0.9
    text = written()
    assert [line for line in text.splitlines() if "chartsend †" in line]
    assert not [line for line in text.splitlines() if "floor †" in line]
    assert report.SINK_NOTE in text


def test_what_was_left_out_or_broke_off_is_told(planted, written):
    planted.results.scenes.append(Played(scene="cores", remarks=["Not measured: one event loop."]))
    planted.results.scenes.append(Played(scene="sizes", failed=True))
    text = written()
    assert "Not measured: one event loop." in text
    assert "**Broken off:**" in text.split("## From 1 KB")[1]


def test_no_path_of_the_machine_is_in_the_report(written, tmp_path):
    assert str(tmp_path) not in written()


def test_every_scene_says_in_two_or_three_sentences_how():
    for scene in SCENES + AGAINST_SANDBOX:
        assert 2 <= len(re.findall(r"[.](?: |$)", scene.how)) <= 3, scene.name


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.1234, "0.123"),
        (1.239, "1.24"),
        (12.34, "12.3"),
        (1234.4, "1,234"),
        (-0.5, "-0.500"),
        (0.000123, "0.000123"),
    ],
)
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


def test_sizes_are_powers_of_ten():
    assert [size(each) for each in (5, 1000, 100_000, 22_500_000)] == [
        "5 B",
        "1 KB",
        "100 KB",
        "22.5 MB",
    ]
