"""Help that teaches and is fast, suggestions for typing errors, completion; and leaving when stuck."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest

from chartsend.cli.batch import VERBS, batch as group


def test_the_groups_help_shows_every_verb_and_a_nights_work(chartsend):
    done = chartsend("batch", "--help")

    assert done.code == 0
    for verb in ("plan", "run", "status", "list", "resolve", "report", "verify", "purge"):
        assert f"  {verb} " in done.out
    assert "A night's work:" in done.out


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_can_be_imported_and_says_what_it_does(name):
    command = group.get_command(click.Context(group), name)

    assert command is not None
    assert command.get_short_help_str()


@pytest.mark.parametrize("verb", [None, "plan", "run"])
def test_help_does_not_import_the_engine(environ, verb):
    arguments = ["batch", *([verb] if verb else []), "--help"]
    script = (
        "import sys; from chartsend.cli.main import chartsend\n"
        f"try: chartsend.main({arguments!r}, prog_name='chartsend')\n"
        "finally: print('|'.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, check=True)
    loaded = set(done.stderr.decode().strip().split("|"))

    heavy = {"aiohttp", "rich", "anyio", "sqlite3", "chartsend.engine", "chartsend.sandbox"}
    assert not loaded & heavy
    assert not [name for name in loaded if name.startswith("chartsend.batch")]


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_a_verbs_help_has_examples(chartsend, verb):
    done = chartsend("batch", verb, "--help")

    assert "Examples:" in done.out
    assert f"chartsend --profile staging batch {verb} tonight.jsonl" in done.out
    assert "--sandbox" in done.out


def test_plan_and_run_have_the_same_options():
    plan, run = (group.get_command(click.Context(group), name) for name in ("plan", "run"))
    assert plan is not None
    assert run is not None

    def names(command):
        return {each.name: (each.opts, each.type.name, each.default) for each in command.params}

    assert names(run).keys() - names(plan).keys() == {"dry_run"}
    assert names(plan).items() <= names(run).items()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pln", "x"], "'plan'"),
        (["run"], "MANIFEST"),
        (["run", "x", "--retry-faild"], "--retry-failed"),
    ],
)
def test_wrong_usage_is_explained_and_exits_with_2(chartsend, arguments, said):
    done = chartsend("batch", *arguments)

    assert done.code == 2
    assert said in done.err
    assert done.out == ""


def complete(chartsend, words):
    env = {
        "_CHARTSEND_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = chartsend(env=env)
    assert done.code == 0
    return [line.partition(",")[2] for line in done.out.splitlines() if line]


def test_verbs_and_options_are_completed(chartsend):
    assert complete(chartsend, "chartsend batch p") == ["plan", "purge"]
    assert complete(chartsend, "chartsend batch run --retry") == ["--retry-failed"]
    assert complete(chartsend, "chartsend batch run x --on-unknown ") == ["hold", "verify", "resend"]


def test_a_call_that_hangs_does_not_keep_the_process(environ):
    script = """
import os, sys, anyio
from chartsend.aio import Lane, Shared
from chartsend.cli.batch.watch import leave_if_stuck

async def main():
    lane = Lane(threads=1)
    with anyio.move_on_after(0.2):
        await lane.run(Shared(lambda: None), os.read, os.pipe()[0], 1)
    await lane.aclose()

anyio.run(main)
print("told")
leave_if_stuck(6)
print("never")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, timeout=60, check=False
    )

    assert done.returncode == 6
    assert done.stdout == b"told\n"


def test_a_process_in_which_nothing_hangs_ends_as_usual(environ):
    script = "from chartsend.cli.batch.watch import leave_if_stuck\nleave_if_stuck(6)\nprint('on')"
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, check=True)

    assert done.stdout == b"on\n"


def test_an_id_without_its_type_is_explained(chartsend):
    helped = " ".join(chartsend("batch", "run", "--help").out.split())
    refused = chartsend("batch", "run", "tonight.jsonl", "--patient", ":MR")

    assert "--patient ID[:TYPE]" in helped
    assert "Without TYPE the value is sent alone" in helped
    assert refused.code == 2
    assert "write it as ID:TYPE, such as 0000991234:MR, or as ID alone" in " ".join(refused.err.split())
