"""Ctrl-C, SIGTERM, a terminal that closes, a reader who goes away: the ledger is valid either way."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time

import pytest

FOREVER = {"times": None}
HELD = {"on": "message", "do": "delay", "seconds": 600, "when": "before", **FOREVER}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_takes_no_more_rows_and_waits_for_what_is_under_way(
    start, arguments, batch, made, sandbox, seen, messages, number, code
):
    job = made(40)
    sandbox.faults([HELD])
    process = start(*arguments("run", job.manifest, "--json", "--concurrency", "3"))
    seen("message", 3)

    process.send_signal(number)
    assert process.stderr is not None
    while b"Stopping" not in process.stderr.readline():
        pass
    sandbox.clear_faults()
    out, err = process.communicate(timeout=60)

    assert process.returncode == code
    events = [json.loads(line) for line in out.splitlines()]
    rows = [event for event in events if event["event"] == "row"]
    assert {row["status"] for row in rows} == {"accepted"}
    assert 3 <= len(rows) < 40
    assert sorted(row["document_id"] for row in rows) == sorted(messages())
    assert events[-1]["exit_code"] == code
    assert events[-1]["rows"]["pending"] == 40 - len(rows)
    assert b"The same command goes on." in err
    again = batch("run", job.manifest)
    assert again.code == 0, again.err
    assert len(messages()) == len(set(messages())) == 40


@pytest.mark.slow
def test_what_does_not_settle_in_time_is_in_doubt_and_has_its_event(
    start, arguments, made, sandbox, seen
):
    job = made(1)
    sandbox.fault(on="message", do="swallow", then="silence", **FOREVER)
    process = start(*arguments("run", job.manifest, "--json"))
    seen("message", 1)

    started = time.monotonic()
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 143
    assert time.monotonic() - started > 9
    events = [json.loads(line) for line in out.splitlines()]
    [row] = [event for event in events if event["event"] == "row"]
    assert (row["row"], row["status"]) == (1, "in_doubt")
    assert events[-1]["rows"]["in_doubt"] == 1
    assert b"`chartsend batch resolve MANIFEST`" in err


@pytest.mark.parametrize("workers", [1, 2])
def test_a_second_signal_acts_at_once_and_the_ledger_stays_valid(
    start, arguments, batch, chartsend, made, sandbox, seen, messages, workers
):
    job = made(20)
    sandbox.faults([HELD])
    process = start(*arguments("run", job.manifest, "--concurrency", "4", "--workers", str(workers)))
    seen("message", 3)

    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while b"Stopping" not in process.stderr.readline():
        pass
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)

    assert process.returncode == 130
    assert time.monotonic() - started < 8, "it did not wait for the 10 s"
    sandbox.clear_faults()
    status = json.loads(chartsend("batch", "status", job.manifest, "--json").out)
    assert (status["runs_killed"], status["running_pid"]) == (0, None), "its record was closed"
    assert status["requests"] >= 3
    assert "cut off" not in chartsend("batch", "report", job.manifest).out
    again = batch("run", job.manifest, "--json")
    rows = json.loads(again.out.splitlines()[-1])["rows"]
    assert rows["pending"] == rows["failed"] == 0
    assert rows["done"] + rows["in_doubt"] == 20
    assert len(messages()) == len(set(messages()))


def test_killed_it_goes_on(start, arguments, batch, chartsend, made, sandbox, seen, messages):
    job = made(20)
    sandbox.faults([HELD])
    process = start(*arguments("run", job.manifest, "--concurrency", "4", "--canaries", "0"))
    seen("message", 4)

    process.kill()
    process.wait(30)
    sandbox.clear_faults()
    status = json.loads(chartsend("batch", "status", job.manifest, "--json").out)
    listed = chartsend("batch", "resolve", job.manifest)
    report = chartsend("batch", "report", job.manifest).out
    again = batch("run", job.manifest, "--json")

    assert 1 <= status["rows"]["in_doubt"] == status["cut_off"] <= 4
    assert status["rows"]["in_doubt"] + status["rows"]["pending"] == 20
    assert (status["runs_killed"], status["running_pid"]) == (1, None)
    assert listed.code == 3
    assert listed.out.count("in doubt, sent at ") == status["cut_off"]
    assert "requests: at least " in report
    assert again.code == 3, again.err
    events = [json.loads(line) for line in again.out.splitlines()]
    rows = events[-1]["rows"]
    assert rows["done"] + rows["in_doubt"] == 20
    assert 1 <= rows["in_doubt"] <= 4
    told = [event["row"] for event in events if event["event"] == "row"]
    assert sorted(told) == list(range(1, 21)), "those that were taken over have their events too"
    began, _, ended = again.err.partition("20 rows after ")
    assert "Taken over from a run that was cut off: " in began, "said at the beginning"
    assert "Taken over" not in ended
    assert len(messages()) == len(set(messages()))


@pytest.mark.slow
def test_a_terminal_that_closes_stops_it_in_an_orderly_way(
    terminal, arguments, batch, made, sandbox, seen, messages
):
    job = made(40)
    sandbox.faults([HELD])
    shown = terminal(*arguments("run", job.manifest, "--concurrency", "3"))
    shown.read_until(b"to go")
    seen("message", 3)

    shown.close()

    assert shown.wait() == 143, "not killed by the signal: what was under way got its 10 s"
    sandbox.clear_faults()
    again = batch("run", job.manifest, "--json")
    rows = json.loads(again.out.splitlines()[-1])["rows"]
    assert "Taken over" not in again.err
    assert rows["done"] + rows["in_doubt"] == 40
    assert rows["in_doubt"] <= 3
    assert len(messages()) == len(set(messages()))


def test_what_the_caller_had_ignored_stays_ignored(start, arguments, made, sandbox, seen, messages):
    job = made(6)
    sandbox.faults([HELD])

    def as_nohup_does():
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = start(*arguments("run", job.manifest, "--concurrency", "2"), preexec_fn=as_nohup_does)
    seen("message", 2)
    process.send_signal(signal.SIGHUP)
    sandbox.clear_faults()

    assert process.wait(60) == 0
    assert len(messages()) == 6


def test_a_reader_of_events_who_goes_away_ends_the_run_cleanly(start, arguments, batch, made, messages):
    job = made(300)
    process = start(*arguments("run", job.manifest, "--json", "--concurrency", "2"))
    assert process.stdout is not None
    first = process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()

    assert process.wait(60) == 6, err
    assert json.loads(first)["event"] == "plan"
    assert b"nobody reads the lines on stdout any more" in err
    assert b"Traceback" not in err
    assert b"an error of its own" not in err
    assert len(messages()) < 300
    assert batch("run", job.manifest).code == 0
    assert len(messages()) == len(set(messages())) == 300


def test_a_full_pipe_that_nobody_reads_does_not_keep_it_from_ending(
    start, arguments, batch, made, seen, messages
):
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    job = made(60)
    process = start(*arguments("run", job.manifest, "--json", "--concurrency", "4"), stdout=writer)
    os.close(writer)
    seen("message", 8)

    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while b"Stopping" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    code = process.wait(timeout=60)

    os.close(reader)
    assert code == 130
    assert batch("run", job.manifest).code in {0, 3}
    assert len(messages()) == len(set(messages()))


def test_without_a_stdout_nothing_is_sent(start, arguments, made, sandbox):
    process = start(*arguments("run", made(2).manifest), preexec_fn=lambda: os.close(1))

    _, err = process.communicate(timeout=60)

    assert process.returncode == 2
    assert b"stdout is closed" in err
    assert sandbox.events() == []


def test_without_a_stderr_it_runs_all_the_same(start, arguments, made, messages):
    process = start(*arguments("run", made(3).manifest, "--json"), preexec_fn=lambda: os.close(2))

    out, _ = process.communicate(timeout=60)

    assert process.returncode == 0
    assert [json.loads(line)["event"] for line in out.splitlines()] == ["plan", *["row"] * 3, "end"]
    assert len(messages()) == 3


def test_in_a_terminal_there_is_a_live_display(terminal, arguments, made, sandbox):
    job = made(12)
    sandbox.faults([HELD])
    shown = terminal(*arguments("run", job.manifest))
    shown.read_until(b"12 to go")
    sandbox.clear_faults()
    code = shown.read_until()

    assert code == 0
    text = shown.seen
    assert b"0 of 12 done" in text
    assert b"0.0 rows/s" not in text, "a rate that is not known yet is left out"
    assert text.rstrip().rpartition(b"\x1b[?25h")[1], "the cursor is shown again"
    assert b"12 rows after " in text


def test_events_on_a_terminal_do_not_run_into_a_display(terminal, arguments, made):
    shown = terminal(*arguments("run", made(3).manifest, "--json"))
    code = shown.read_until()

    assert code == 0
    assert b"\x1b" not in shown.seen
    lines = [line for line in shown.seen.split(b"\r\n") if line.startswith(b"{")]
    assert [json.loads(line)["event"] for line in lines] == ["plan", *["row"] * 3, "end"]


def test_ctrl_c_in_a_terminal_asks_first(terminal, arguments, made, sandbox, seen, messages):
    job = made(12)
    sandbox.faults([HELD])
    shown = terminal(*arguments("run", job.manifest, "--concurrency", "3"))
    shown.read_until(b"to go")
    seen("message", 3)
    os.write(shown.fd, b"\x03")
    shown.read_until(b"Stopping: what is under way gets 10 s")
    sandbox.clear_faults()

    assert shown.read_until() == 130
    assert 3 <= len(messages()) < 12
    assert b"an error of its own" not in shown.seen
    assert b"stopping: stopped" not in shown.seen


def test_in_a_pipe_there_is_no_escape_sequence(start, arguments, made):
    process = start(*arguments("run", made(3).manifest))

    out, err = process.communicate(timeout=60)

    assert process.returncode == 0
    assert b"\x1b" not in out + err
    assert b"\r" not in out + err


@pytest.mark.slow
def test_a_long_run_is_told_of_every_ten_seconds(start, arguments, made, sandbox):
    job = made(6)
    sandbox.faults([HELD])
    process = start(*arguments("run", job.manifest, "--json"))
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(process.stdout.readline())["event"] == "plan"
    progress = json.loads(process.stdout.readline())
    while b"to go" not in (line := process.stderr.readline()):
        assert line, "told before the end"
    sandbox.clear_faults()
    out, _ = process.communicate(timeout=60)

    assert progress["event"] == "progress"
    assert progress["rows"] == {"done": 0, "failed": 0, "in_doubt": 0, "rejected": 0, "pending": 6}
    assert (progress["requests_left"], progress["stopping"]) == (6, None)
    assert json.loads(out.splitlines()[-1])["rows"]["done"] == 6
