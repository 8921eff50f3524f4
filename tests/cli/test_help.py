"""Help that teaches and is fast, suggestions for typing errors, and completion."""

from __future__ import annotations

import subprocess
import sys
import time

import click
import pytest

from chartsend.cli.main import VERBS, chartsend as group


def test_help_shows_every_verb_and_examples(chartsend):
    done = chartsend("--help")

    assert done.code == 0
    assert all(verb in done.out for verb in ("send", "delete", "sandbox", "doctor", "config", "key"))
    assert "Examples:" in done.out
    assert "chartsend send consent.pdf --to memorial-ehr --sandbox" in done.out
    assert "Exit codes:" in done.out
    assert "_CHARTSEND_COMPLETE=bash_source" in done.out


def test_without_a_verb_the_help_is_shown_and_it_is_wrong_usage(chartsend):
    done = chartsend()

    assert done.code == 2
    assert "Usage: chartsend [OPTIONS] VERB ..." in done.err


@pytest.mark.parametrize("verb", ["send", "delete", "doctor"])
def test_a_verbs_help_has_an_example(chartsend, verb):
    done = chartsend(verb, "--help")

    assert done.code == 0
    assert "Example" in done.out
    assert f"chartsend --profile staging {verb}" in done.out


def test_help_imports_nothing_heavy(environ):
    script = (
        "import sys; from chartsend.cli.main import chartsend\n"
        "try: chartsend.main(['--help'], prog_name='chartsend')\n"
        "finally: print('|'.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, check=True)
    loaded = set(done.stderr.decode().strip().split("|"))

    assert "click" in loaded
    heavy = {"aiohttp", "rich", "msgspec", "anyio", "asyncio", "jwt", "cryptography", "typed_settings"}
    assert not loaded & heavy
    assert not [name for name in loaded if name.startswith(("chartsend.sandbox", "chartsend.engine"))]


@pytest.mark.parametrize("verb", ["send", "delete", "doctor", "config"])
def test_a_verbs_help_does_not_import_the_engine(environ, verb):
    script = (
        "import sys; from chartsend.cli.main import chartsend\n"
        f"try: chartsend.main([{verb!r}, '--help'], prog_name='chartsend')\n"
        "finally: print('|'.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, check=True)
    loaded = set(done.stderr.decode().strip().split("|"))

    assert not loaded & {"aiohttp", "rich", "chartsend.engine", "chartsend.sandbox", "typed_settings"}


def test_help_answers_within_the_time_that_feels_immediate(command, environ):
    def seconds():
        started = time.monotonic()
        subprocess.run([*command, "--help"], env=environ, capture_output=True, check=True)
        return time.monotonic() - started

    assert min(seconds() for _ in range(5)) < 0.4


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_can_be_imported_and_says_what_it_does(name):
    command = group.get_command(click.Context(group), name)

    assert command is not None
    assert command.name == name
    assert command.get_short_help_str(), "a verb has a first line of help"


def test_the_version_is_that_of_the_distribution(chartsend):
    assert chartsend("--version").out == "chartsend 0.1.0\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["snd", "x"], "'send'"),
        (["doktor"], "'doctor'"),
        (["--profil", "x", "doctor"], "--profile"),
        (["send", "x", "--too", "y"], "--to"),
        (["send", "x", "--to", "y", "--patiant", "1:MR"], "--patient"),
        (["send", "--to", "y"], "PATH..."),
        (["send", "x"], "--to"),
        (["send", "x", "--to", "y", "--deadline", "30MB"], "10m"),
        (["send", "x", "--to", "y", "--deadline", "0"], "more than 0"),
        (["send", "x", "--to", "y", "--embed-up-to", "200K"], "KB"),
        (["send", "x", "--to", "y", "--concurrency", "0"], "--concurrency"),
        (["send", "x", "--to", "y", "--concurrency", "1000000000"], "--concurrency"),
        (["send", "x", "--to", "y", "--api", "soap"], "data-model"),
        (["send", "x", "--to", "y", "--birth-date", "9.3.1971"], "1971-03-09"),
        (["send", "x", "--to", "y", "--patient", ":MR"], "0000991234:MR"),
        (["send", "x", "--to", "y", "--patient-name", "Maria de la Cruz"], "Last, First"),
        (["--environment", "production", "doctor"], "Production"),
        (["delete", "x", "--to", "y", "--model", "results"], "notes"),
        (["delete", "x", "--to", "y", "--model", "notes", "--order", "1"], "--order"),
        (["--log-level", "all", "doctor"], "debug"),
    ],
)
def test_wrong_usage_is_explained_and_exits_with_2(chartsend, arguments, said):
    done = chartsend(*arguments)

    assert done.code == 2
    assert said in done.err
    assert done.out == ""
    assert "Traceback" not in done.err


def complete(chartsend, words, **more):
    env = {
        "_CHARTSEND_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    done = chartsend(env=env | more)
    assert done.code == 0
    return [line.partition(",")[2] for line in done.out.splitlines() if line]


def test_the_completion_script_is_for_this_command(chartsend):
    done = chartsend(env={"_CHARTSEND_COMPLETE": "bash_source"})

    assert done.code == 0
    assert "complete -o nosort -F _chartsend_completion chartsend" in done.out


def test_verbs_and_options_are_completed(chartsend):
    assert complete(chartsend, "chartsend s") == ["send", "sandbox"]
    assert complete(chartsend, "chartsend --pro") == ["--profile"]
    assert "--skip-accepted" in complete(chartsend, "chartsend send --s")
    assert complete(chartsend, "chartsend send x --method ") == ["auto", "upload", "embed"]


def test_profiles_and_destinations_are_completed(chartsend, environ, tmp_path):
    config = tmp_path / "home" / ".config" / "chartsend" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[staging.destinations.memorial-ehr]\nslug = "m"\n[production]\n')

    assert complete(chartsend, "chartsend --profile s") == ["staging"]
    words = "chartsend --profile staging send x --to m"
    assert complete(chartsend, words) == ["memorial-ehr"]


def test_completion_survives_a_broken_profile(chartsend, tmp_path):
    config = tmp_path / "home" / ".config" / "chartsend" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("broken = ")

    assert complete(chartsend, "chartsend --profile staging send x --to m") == []
    assert complete(chartsend, "chartsend --profile s") == ["s"]
