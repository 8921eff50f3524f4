"""The command leaves with what happened: measured and met, short of a goal, misused."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import goals, results

ROOT = Path(__file__).parents[2]
CPU = "cpu/floor: embed 22.5 MB, plain"


def run(*arguments, within_s=120):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )


def test_goals_that_are_met_leave_with_0(planted, tmp_path):
    done = run("check", results.create(planted.results, tmp_path))
    assert done.returncode == 0, done.stderr
    assert "not met" not in done.stdout
    assert done.stdout.count(" yes") == len(planted.results.goals)


def test_a_planted_shortfall_leaves_with_1_and_is_named(planted, tmp_path):
    planted.plant(CPU, [1.2, 1.2, 1.2])
    done = run("check", results.create(planted.results, tmp_path))
    assert done.returncode == 1
    assert "not met: embed, 22.5 MB files, plain: CPU s/GB ÷ floor (goal ≤ 1.1)" in done.stdout


def test_a_shortfall_of_what_depends_on_the_machine_is_only_shown(planted, tmp_path):
    planted.plant("start: import", [900.0, 900.0, 900.0])
    done = run("check", results.create(planted.results, tmp_path))
    assert done.returncode == 0
    assert any("import" in line and line.endswith("no") for line in done.stdout.splitlines())


def test_a_scene_that_broke_off_leaves_with_1(planted, tmp_path):
    planted.results.scene("big").failed = True
    done = run("check", results.create(planted.results, tmp_path))
    assert done.returncode == 1
    assert "failed: big" in done.stdout


def test_two_results_are_compared(planted, tmp_path):
    a = results.create(planted.results, tmp_path)
    planted.plant(CPU, [2.2, 2.2, 2.2])
    done = run("compare", a, results.create(planted.results, tmp_path))
    assert done.returncode == 0
    (line,) = (line for line in done.stdout.splitlines() if "CPU, s/GB" in line)
    assert line.split()[-2:] == ["+100.0%", "apart"]


def test_a_report_is_written_again_from_the_file(planted, tmp_path):
    path = results.create(planted.results, tmp_path)
    done = run("report", path)
    assert done.returncode == 0, done.stderr
    assert path.with_suffix(".md").read_text(encoding="utf-8").startswith("# Benchmarks of 2026-01-31")


@pytest.mark.parametrize("arguments", [("check",), ("--only", "nothing"), ("--rounds", "0")])
def test_misuse_leaves_with_2(arguments):
    assert run(*arguments).returncode == 2


def test_a_file_that_is_no_result_leaves_with_2(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("{}")
    done = run("check", path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_scene_of_the_other_server_is_not_run_silently():
    assert run("--against", "sandbox", "--only", "big").returncode == 2


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_quick_form_measures_every_figure_it_owes(tmp_path):
    """How good the figures are is not asked: only that they are there, and that the exit code fits."""
    done = run("--quick", "--check", "--rounds", 1, "--out", tmp_path, within_s=840)
    (path,) = tmp_path.glob("*.json")
    found = results.read(path)
    assert not any(played.failed for played in found.scenes), done.stderr
    owed = [judged for judged in found.goals if judged.key in goals.due_of(found)]
    assert owed
    assert all(len(judged.values) == 1 for judged in owed)
    assert done.returncode == (0 if all(judged.is_met for judged in owed) else 1)
    assert path.with_suffix(".md").exists()
    assert len(list(tmp_path.glob("*.svg"))) == len(found.scenes) == 2


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_real_sandbox_may_stand_in_for_the_sink(tmp_path):
    done = run("--against", "sandbox", "--rounds", 1, "--out", tmp_path, within_s=840)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.json")
    found = results.read(path)
    assert found.against == "sandbox"
    (played,) = found.scenes
    assert all(len(samples) == 1 for group in played.groups for samples in group.samples.values())
    assert len(played.groups[0].samples) == 4


def test_a_run_that_is_broken_off_keeps_the_scenes_it_has_played(tmp_path):
    asked = ("--only", "quota", "--only", "start", "--rounds", "1", "--out", str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks", *asked], cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as process:
        begun = (line for line in iter(process.stderr.readline, "") if "  == " in line)
        next(begun)
        next(begun)  # the second begins when the first has been written
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "stopped" in told
    assert "Traceback" not in told
    (path,) = tmp_path.glob("*.json")
    assert [played.scene for played in results.read(path).scenes] == ["quota"]
