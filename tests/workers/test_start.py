"""How a worker is started: what others can see of it, and what its surroundings cannot do to it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rig import TO, described, outcome
from seen import pids_of

from chartsend import Document, Engine, Timeouts, errors, workers_for
from chartsend.settings import Auth
from chartsend.workers import count, start

JOB = Path(__file__).with_name("program.py")


async def test_no_secret_stands_in_arguments_or_environment(sandbox, settings_for, make_document):
    plain = settings_for(sandbox)
    key = Path(plain.auth.key_file).read_text() if plain.auth.key_file else ""
    async with Engine(plain, workers=2) as engine:
        await engine.send(make_document("one"), to=TO)
        token = (await engine._open.parts.tokens.lease(min_life_s=0, deadline=far())).value
        secrets = [token, plain.auth.client_id, plain.source_id, plain.api_url, TO]
        secrets += [line for line in key.splitlines() if len(line) > 40]
        for pid in pids_of(engine):
            for name in ("cmdline", "environ"):
                shown = Path(f"/proc/{pid}/{name}").read_bytes()
                if name == "environ":
                    own = {f"{key}={value}".encode() for key, value in os.environ.items()}
                    # readline, which pytest imports, sets these two past `os.environ`.
                    told = {each.partition(b"=")[0] for each in shown.split(b"\0") if each not in own}
                    assert told <= {b"", b"LINES", b"COLUMNS"}
                for secret in secrets:
                    assert not secret or secret.encode() not in shown


def far():
    from chartsend.aio import Deadline

    return Deadline(float("inf"))


async def test_begin_and_token_have_no_repr_of_their_secrets(sandbox, settings_for):
    from chartsend.auth import Token
    from chartsend.workers.wire import Begin, Granted, Rejected

    settings = settings_for(sandbox, auth=Auth(client_id="client-secret-x", key_id="k"))
    begin = Begin("1", settings, "realtime", 3, 1, 1, has_journal=True, log_level=20)
    shown = repr([begin, Granted(1, Token("secret-token", 1.0)), Rejected("secret-token")])
    assert "secret" not in shown


async def test_modules_in_the_working_directory_are_not_run(
    sandbox, settings_for, make_document, tmp_path, monkeypatch
):
    """`python -c` puts the working directory first: a folder of documents may hold anything."""
    folder = tmp_path / "documents"
    folder.mkdir()
    for name in ("anyio", "socket", "chartsend", "pickle", "logging"):
        (folder / f"{name}.py").write_text(f"open({str(folder / 'was-run')!r}, 'w').close()\n")
    document = make_document("one")
    monkeypatch.chdir(folder)
    async with Engine(settings_for(sandbox, timeouts=Timeouts()), workers=2) as engine:
        assert (await engine.send(document, to=TO)).status == "accepted"
        assert engine._open.parts.statistics().requests == 0
    assert not (folder / "was-run").exists()


@pytest.mark.parametrize("executable", [None, ""])
async def test_an_embedded_interpreter_is_told_what_to_do(
    sandbox, settings_for, monkeypatch, executable
):
    monkeypatch.setattr(sys, "executable", executable)
    with pytest.raises(errors.WorkerLostError, match="workers=1"):
        async with Engine(settings_for(sandbox), workers=2):
            pass


async def test_a_program_of_its_own_is_not_started_again(sandbox, settings_for, monkeypatch):
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    with pytest.raises(errors.WorkerLostError, match="workers=1"):
        async with Engine(settings_for(sandbox), workers=2):
            pass


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
async def test_closed_standard_streams_do_no_harm(sandbox, make_document, tmp_path, closed):
    """What then has number 0, 1 or 2 is the line, or a file that is sent."""
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, asyncio\n"
        f"sys.path.insert(0, {str(JOB.parent)!r})\n"
        "import program\n"
        "told = open(sys.argv[1], 'w')\n"
        "program.say = lambda **what: print(what, file=told, flush=True)\n"
        "asyncio.run(program.main(*sys.argv[2:]))\n"
    )
    documents = [make_document(f"{n}", b"%PDF-1.7\n" + b"x" * 300_000) for n in range(6)]
    told = tmp_path / "told"
    command = [
        sys.executable,
        program,
        told,
        sandbox.info.profile,
        "2",
        "go on",
        sandbox.info.destination,
    ]
    command += [each.path for each in documents]
    shell = " ".join(f"'{each}'" for each in command)
    done = await run_shell(f"exec {shell} {closed}")
    assert done == 0
    assert told.read_text().count("'accepted'") == 6
    sent = {e["document_id"]: e["bytes"] for e in sandbox.events("message")}
    assert sent == {f"doc-{n}": 300_009 for n in range(6)}


async def run_shell(command):
    import asyncio

    process = await asyncio.create_subprocess_shell(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return await process.wait()


async def test_modules_of_the_parents_path_are_found(sandbox, settings_for, make_document, tmp_path):
    """Also when only the running program knows where chartsend and its libraries lie."""
    program = tmp_path / "program.py"
    program.write_text(
        f"import sys\nsys.path[:] = {sys.path!r}\n"
        f"sys.path.insert(0, {str(JOB.parent)!r})\n"
        "import asyncio, program\nasyncio.run(program.main(*sys.argv[1:]))\n"
    )
    done = await run_shell(
        f"exec '{sys.executable}' -I -S '{program}' '{sandbox.info.profile}' 2 'go on'"
        f" {sandbox.info.destination} '{make_document('one').path}'"
    )
    assert done == 0
    assert [e["document_id"] for e in sandbox.events("message")] == ["doc-0"]


async def test_an_engine_on_uvloop_has_workers_too(sandbox, make_document, tmp_path):
    pytest.importorskip("uvloop")
    program = tmp_path / "program.py"
    program.write_text(
        f"import sys\nsys.path.insert(0, {str(JOB.parent)!r})\n"
        "import program, uvloop\nuvloop.run(program.main(*sys.argv[1:]))\n"
    )
    done = await run_shell(
        f"exec timeout 60 '{sys.executable}' '{program}' '{sandbox.info.profile}' 2 'go on'"
        f" {sandbox.info.destination} '{make_document('one').path}'"
    )
    assert done == 0
    assert [e["document_id"] for e in sandbox.events("message")] == ["doc-0"]


async def test_a_relative_path_means_the_same_there(sandbox, team, make_document, tmp_path, monkeypatch):
    """A worker stays where the engine was when it started; the engine may have gone elsewhere."""
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "here" / "same.pdf").write_bytes(b"%PDF-1.7\nof one patient")
    (tmp_path / "there" / "same.pdf").write_bytes(b"%PDF-1.7\nof another patient, elsewhere")
    monkeypatch.chdir(tmp_path / "here")
    async with team(sandbox) as engine:
        first = Document.from_path("same.pdf", **described(document_id="here"))
        assert (await engine.send(first, to=TO, method="embed")).status == "accepted"
        monkeypatch.chdir(tmp_path / "there")
        second = Document.from_path("same.pdf", **described(document_id="there"))
        assert (await engine.send(second, to=TO, method="embed")).status == "accepted"
    sent = {e["document_id"]: e["bytes"] for e in sandbox.events("message")}
    assert sent == {"here": 23, "there": 38}


@pytest.mark.parametrize("folder", ["/proc/self/fd", "/dev/fd", "/proc/thread-self/fd"])
async def test_a_path_that_names_a_descriptor_of_this_process_is_sent_from_here(
    sandbox, team, make_document, folder
):
    with open(make_document("held", b"%PDF-1.7\nheld").path, "rb") as file:
        async with team(sandbox) as engine:
            document = Document.from_path(f"{folder}/{file.fileno()}", **described(document_id="held"))
            here = await outcome(engine, document, method="embed")
            own = engine._open.parts.statistics().requests
    if not isinstance(here, errors.TransferError):  # what a path may be is for `sources` to say
        assert own == 1
        assert [e["bytes"] for e in sandbox.events("message")] == [13]
    else:
        assert not isinstance(here, errors.SourceMissingError)


# ---- how many


@pytest.fixture
def many_cores(monkeypatch):
    monkeypatch.setattr(count, "cores", lambda: 16)


@pytest.mark.parametrize("hash_", [True, False])
@pytest.mark.parametrize("quota", ["off", "10000/300", "1/1000", "1000000/1", "2000/20"])
def test_workers_are_one_to_as_many_as_cores_and_grow_with_the_work(
    sandbox, settings_for, many_cores, quota, hash_
):
    settings = settings_for(sandbox, quota=quota, hash=hash_, concurrency=64)
    amounts = [0, 1, 10, 1_000, 100_000, 10_000_000]
    sizes = [0, 1, 1_000, 10**6, 10**8, 3.5e12, 10**18]
    for backfill in (False, True):
        assert 1 <= workers_for(settings, backfill=backfill) <= 16
        for documents in amounts:
            grown = [
                workers_for(settings, documents=documents, mean_bytes=size, backfill=backfill)
                for size in sizes
            ]
            assert grown == sorted(grown)
            assert all(1 <= each <= 16 for each in grown)
        for mean in (1, 1_000, 10**6, 3 * 10**7):
            grown = [
                workers_for(settings, documents=n, mean_bytes=mean, backfill=backfill) for n in amounts
            ]
            assert grown == sorted(grown)
        whole, part = (
            workers_for(settings, documents=10**6, mean_bytes=10**6, backfill=each)
            for each in (False, True)
        )
        assert part <= whole


def test_no_more_workers_than_slots(sandbox, settings_for, many_cores):
    settings = settings_for(sandbox, quota="off", concurrency=3)
    assert workers_for(settings, documents=10**9, mean_bytes=10**6) == 3


def test_cores_are_at_least_one_and_no_more_than_there_are():
    assert 1 <= count.cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [("max 100000", float("inf")), ("150000 100000", 1.5), ("", float("inf")), ("x y", float("inf"))],
)
def test_a_containers_limit_counts(monkeypatch, tmp_path, text, allowed):
    import builtins

    file = tmp_path / "cpu.max"
    file.write_text(text)
    real = builtins.open
    monkeypatch.setattr(count, "open", lambda *_, **kw: real(file, **kw), raising=False)
    assert count._allowed() == allowed


def test_the_child_is_tied_before_its_slow_imports():
    program = start._PROGRAM
    assert program.index("tie_to({pid})") < program.index("workers.child")
