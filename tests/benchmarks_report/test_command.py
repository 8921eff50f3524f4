"""The command leaves with what happened: measured and met, short of a goal, misused."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
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


NONE_MEASURED = "none of the goals that hold on any machine was measured"


def test_a_check_of_nothing_leaves_with_1(planted, tmp_path):
    planted.results.scenes = [played for played in planted.results.scenes if played.scene == "start"]
    done = run("check", results.create(planted.results, tmp_path))
    assert done.returncode == 1
    assert NONE_MEASURED in done.stdout


def test_a_run_that_checks_nothing_leaves_with_1(tmp_path):
    asked = ("--quick", "--only", "start", "--rounds", "1", "--out", tmp_path)
    done = run("--check", *asked)
    assert done.returncode == 1, done.stderr
    assert NONE_MEASURED in done.stdout
    assert "the figures are doubtful: 1 round instead of 3 or more" in done.stderr
    assert run(*asked).returncode == 0


def test_a_check_of_a_run_that_was_broken_off_leaves_with_1(planted, tmp_path):
    planted.results.finished = False
    done = run("check", results.create(planted.results, tmp_path))
    assert done.returncode == 1
    assert "broken off: scenes are missing" in done.stdout


def test_doubts_are_told_and_change_no_verdict(planted, tmp_path):
    assert "doubtful" not in run("check", results.create(planted.results, tmp_path)).stderr
    planted.results.rounds = 2
    planted.results.machine = msgspec.structs.replace(planted.results.machine, load=1.5)
    done = run("check", results.create(planted.results, tmp_path))
    assert done.returncode == 0
    assert done.stderr == (
        "the figures are doubtful: 2 rounds instead of 3 or more,"
        " and a load average of 1.5 on 4 cores at the start\n"
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--only", "sandbox"), "--only sandbox needs --against sandbox"),
        (("--only", "big", "--only", "sandbox"), "--only sandbox needs --against sandbox"),
        (("--only", "big", "--against", "sandbox"), "--against sandbox has only: sandbox\n"),
        (("--only", "nothing"), "there is no scene nothing; --against sink has the scenes: big, "),
    ],
)
def test_scenes_of_the_chosen_server_are_offered(arguments, told):
    done = run(*arguments)
    assert done.returncode == 2
    assert told in done.stderr


@pytest.mark.parametrize("option", ["--out", "--files"])
@pytest.mark.parametrize("folder", ["/proc/nowhere", "README.md"])
def test_a_folder_that_will_not_do_is_told_in_one_line(option, folder):
    done = run("--quick", option, folder)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{folder}: no ")
    assert done.stderr.count("\n") == 1


def test_a_folder_for_files_is_not_made(tmp_path):
    done = run("--quick", "--files", tmp_path / "new")
    assert done.returncode == 2
    assert not (tmp_path / "new").exists()


def test_a_report_that_cannot_be_written_leaves_with_2(planted, tmp_path):
    path = results.create(planted.results, tmp_path)
    path.with_suffix(".md").mkdir()
    done = run("report", path)
    assert done.returncode == 2
    assert "no report can be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_being_stopped_while_modules_are_imported_leaves_with_130():
    program = (
        "import os, runpy, signal, sys\n"
        "class Stopping:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name == 'msgspec':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Stopping)\n"
        "runpy.run_module('benchmarks', run_name='__main__', alter_sys=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (130, "stopped\n")


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
    assert found.finished
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
    found = results.read(path)
    assert [played.scene for played in found.scenes] == ["quota"]
    assert not found.finished
    assert f"python -m benchmarks report {shlex.quote(str(path))}\n" in told
