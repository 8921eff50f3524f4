"""Ctrl-C, SIGTERM, a reader who goes away, and a real terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import termios
import time

import pytest
from seen import children_of


def sending(sandbox, scans, given, *options):
    destination = ("--to", sandbox.info.destination)
    return ("--profile", sandbox.info.profile, "send", scans, *destination, *given, *options)


@pytest.fixture
def many(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for n in range(60):
        (folder / f"{n:03}.pdf").write_bytes(b"%%PDF-1.4 %d" % n)
    return folder


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_the_intake_and_waits_for_what_is_under_way(
    start, seen, sandbox, many, given, number, code
):
    sandbox.fault(on="message", do="delay", seconds=1.5, times=None)
    process = start(*sending(sandbox, many, given, "--json", "--concurrency", "3"))
    seen("message", 3)

    process.send_signal(number)
    out, err = process.communicate(timeout=30)

    assert process.returncode == code
    receipts = [json.loads(line) for line in out.splitlines()]
    assert {r["status"] for r in receipts} == {"accepted"}
    assert 3 <= len(receipts) < 20
    sent = {e["document_id"] for e in sandbox.events() if e["kind"] == "message"}
    assert {r["document_id"] for r in receipts} == sent
    assert b"what is under way gets 10 s" in err
    assert b"Stopped before the end: what has no receipt was not sent." in err


@pytest.mark.slow
def test_what_does_not_settle_in_time_is_shown_as_in_doubt(start, seen, sandbox, scans, given):
    sandbox.fault(on="message", do="swallow", then="silence", times=None)
    process = start(*sending(sandbox, scans / "consent.pdf", given, "--json"))
    seen("message", 1)

    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=40)

    assert process.returncode == 130
    assert 9 < time.monotonic() - started < 15
    [receipt] = map(json.loads, out.splitlines())
    assert receipt["status"] == "in_doubt"
    assert receipt["document_id"].encode() in err


def test_a_second_signal_stops_at_once_and_still_says_what_is_in_doubt(
    start, seen, sandbox, scans, given
):
    sandbox.fault(on="message", do="swallow", then="silence", times=None)
    process = start(*sending(sandbox, scans / "consent.pdf", given, "--json"))
    seen("message", 1)

    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert b"stopping" in process.stderr.readline()
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert time.monotonic() - started < 3
    [receipt] = map(json.loads, out.splitlines())
    assert receipt["status"] == "in_doubt"
    assert b"In doubt, perhaps in the chart" in err


def test_ctrl_c_before_anything_runs_leaves_in_silence(start, scans):
    process = start("send", scans, "--to", "x", "--sandbox")

    while not children_of(process.pid):  # our code runs, and starts the private sandbox
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert out == b""
    assert b"an error of its own" not in err


def test_a_reader_who_goes_away_ends_the_run_cleanly(start, sandbox, many, given):
    sandbox.fault(on="message", do="delay", seconds=0.2, times=None)
    process = start(*sending(sandbox, many, given, "--json", "--concurrency", "2"))
    assert process.stdout is not None
    first = process.stdout.readline()
    process.stdout.close()

    assert process.stderr is not None
    err = process.stderr.read()
    code = process.wait(timeout=30)

    assert json.loads(first)["status"] == "accepted"
    assert code == 1
    assert b"nobody reads the receipts any more" in err
    assert b"Traceback" not in err
    assert b"an error of its own" not in err
    assert b"BrokenPipe" not in err
    sent = [e for e in sandbox.events() if e["kind"] == "message"]
    assert len(sent) < 30


def test_a_full_disk_behind_stdout_ends_the_run_and_names_what_was_sent(start, sandbox, many, given):
    with open("/dev/full", "wb") as full:
        process = start(*sending(sandbox, many, given, "--concurrency", "2"), stdout=full)
    _, err = process.communicate(timeout=30)

    assert process.returncode == 1
    assert b"the receipts cannot be written any more (No space left on device)" in err
    sent = [e["document_id"] for e in sandbox.events() if e["kind"] == "message"]
    assert 0 < len(sent) < 30
    for ident in sent:
        assert f"document {ident}: accepted; its receipt could not be written".encode() in err


def test_without_a_stdout_nothing_is_sent(start, sandbox, scans, given):
    process = start(*sending(sandbox, scans, given), preexec_fn=lambda: os.close(1))

    _, err = process.communicate(timeout=30)

    assert process.returncode == 2
    assert b"stdout is closed" in err
    assert sandbox.events() == []


def test_without_a_stderr_the_receipts_stay_clean(start, sandbox, scans, given):
    process = start(*sending(sandbox, scans, given, "--json"), preexec_fn=lambda: os.close(2))

    out, _ = process.communicate(timeout=30)

    assert process.returncode == 0
    assert len([json.loads(line) for line in out.splitlines()]) == 3


def test_a_slow_reader_does_not_hold_up_the_transfers(start, seen, sandbox, scans, given, tmp_path):
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    folder = tmp_path / "more"
    folder.mkdir()
    for n in range(40):
        (folder / f"{n}.pdf").write_bytes(b"%%PDF-1.4 %d" % n)
    process = start(*sending(sandbox, folder, given, "--json", "--concurrency", "8"), stdout=writer)
    os.close(writer)
    seen("message", 16)  # the pipe has room for 8 receipts

    with os.fdopen(reader, "rb") as out:
        receipts = [json.loads(line) for line in out]

    assert process.wait(timeout=30) == 0
    assert len(receipts) == 40


def test_a_full_pipe_that_nobody_reads_does_not_keep_it_from_ending(start, seen, sandbox, many, given):
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    process = start(*sending(sandbox, many, given, "--json", "--concurrency", "4"), stdout=writer)
    os.close(writer)
    seen("message", 12)

    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert b"stopping" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    code = process.wait(timeout=30)

    os.close(reader)
    assert code == 130


class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, argv, env, cwd):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:  # pragma: no cover  # in the child
            os.chdir(cwd)
            os.execvpe(argv[0], argv, env)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.seen = b""

    def read_until(self, what=None, timeout_s=40.0):
        """Until something was shown; None: until the end. Gives the exit code at the end."""
        until = time.monotonic() + timeout_s
        while what is None or what not in self.seen:
            if not select.select([self.fd], [], [], max(0.0, until - time.monotonic()))[0]:
                raise AssertionError(f"not shown in time: {what!r}; seen: {self.seen!r}")
            try:
                data = os.read(self.fd, 65536)
            except OSError:  # Linux: the other side has gone
                data = b""
            if not data:
                break
            self.seen += data
        return None if what is not None else os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def terminal(command, environ, tmp_path):
    opened = []

    def run(*arguments):
        env = environ | {"TERM": "xterm-256color"}
        env.pop("COLUMNS", None)
        opened.append(Terminal([*command, *map(str, arguments)], env, tmp_path))
        return opened[-1]

    yield run
    for each in opened:
        os.close(each.fd)


def test_in_a_terminal_receipts_stand_above_a_live_line(terminal, sandbox, scans, given):
    sandbox.fault(on="message", do="delay", seconds=1.0, times=None)

    shown = terminal(*sending(sandbox, scans, given))
    code = shown.read_until()

    assert code == 0
    text = shown.seen
    assert text.count(b"\x1b[32maccepted\x1b[0m") == 3
    assert b"3 under way" in text
    assert text.rstrip().rpartition(b"\x1b[?25h")[1], "the cursor is shown again"
    assert b"3 files in " in text


def test_in_a_pipe_there_is_no_escape_sequence(start, sandbox, scans, given):
    process = start(*sending(sandbox, scans, given))

    out, err = process.communicate(timeout=30)

    assert process.returncode == 0
    assert b"\x1b" not in out + err
    assert b"\r" not in out + err


def test_ctrl_c_in_a_terminal_lets_the_private_sandbox_outlive_the_sends(terminal, tmp_path):
    folder = tmp_path / "more"
    folder.mkdir()
    for n in range(3000):  # more than are sent before the key is heard, however busy the machine is
        (folder / f"{n:04}.pdf").write_bytes(b"%%PDF-1.4 %d" % n)

    shown = terminal("send", "more", "--to", "x", "--sandbox")
    shown.read_until(b"starting")
    os.write(shown.fd, b"\x03")
    code = shown.read_until()

    assert code == 130
    assert b"an error of its own" not in shown.seen
    # Each was accepted, or had not been started.
    assert b"connect_failed" not in shown.seen
    assert b"failed  " not in shown.seen
