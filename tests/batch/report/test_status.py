"""How far a batch is: from counters alone, whoever runs it, however large it is."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass

import msgspec
import pytest

from chartsend.batch import facts as f
from chartsend.batch.row import State
from chartsend.batch.sqlite import SqliteLedger
from chartsend.batch.status import QuotaSeen, Rows, read_status, running_pid, status_of
from chartsend.cli.batch.status import in_one_line, lines_of
from chartsend.errors import LedgerError

from .conftest import OWNER, receipt


async def test_every_row_is_counted_once_in_the_words_for_people(mixed):
    found = read_status(mixed.ledger)

    assert found.rows == Rows(done=1, failed=1, in_doubt=1, rejected=1, pending=2)
    assert found.rows.total == 6
    assert found.rows.settled == 4
    assert found.rows.success_ratio == 0.25
    assert found.planned
    assert found.percent == 60.0


async def test_rows_in_every_pending_state_are_pending_and_what_was_cut_off_is_in_doubt(made):
    await made.add(5).plan()
    ledger = await SqliteLedger.open(made.ledger, create=False)
    await ledger.claim(OWNER, 4, 1000)
    await ledger.uploading(1, OWNER, attempts=1)
    await ledger.uploading(2, OWNER, attempts=1)
    await ledger.uploaded(2, OWNER, reference_url="u", source_id=None, sha256=None, now_ms=1)
    await ledger.referencing(3, OWNER, attempts=1, sha256=None, message_hash=b"h", message_ms=1)
    await ledger.retry_at(4, OWNER, next_try_ms=9, attempts=1, error_code="stall_timeout")
    await ledger.aclose()

    with closing(made.reader()) as reader:
        going_on = status_of(reader, running_pid=1)
    found = read_status(made.ledger)

    assert (going_on.rows, going_on.cut_off) == (Rows(pending=5), 0)
    assert going_on.requests_left == 4  # the uploaded one is embedded in the plan, and needs no upload
    assert (found.rows, found.cut_off) == (Rows(pending=4, in_doubt=1), 1)
    assert any(
        "in doubt" in line and "1 of them since a run was killed" in line for line in lines_of(found)
    )
    assert found.waiting == 1
    assert going_on.rows.success_ratio is None


async def test_totals_are_those_that_runs_have_counted(mixed):
    await mixed.settle(
        totals={"requests": 12, "tokens": 2, "retries": 3, "status.200": 7, "status.429": 2}
    )

    found = read_status(mixed.ledger)

    assert (found.requests, found.tokens, found.retries, found.rate_limited) == (12, 2, 3, 2)


async def test_bytes_are_those_of_accepted_rows(made):
    await made.add(3).plan()
    await made.settle(receipt(1, size_bytes=700), receipt(2, "failed"), receipt(3, size_bytes=40))

    assert read_status(made.ledger).bytes == 740


async def test_the_time_left_is_the_later_of_quota_and_speed(made):
    await made.add(4).plan()
    with closing(made.reader()) as reader:
        plan = f.read_plan(reader.facts())
    ledger = await SqliteLedger.open(made.ledger, create=False)
    by_quota = {"hours": plan.requests / 0.1 / 3600}  # one request in ten seconds
    await ledger.note({f.PLAN: f.packed({**_fields(plan), **by_quota})})
    await ledger.aclose()

    assert read_status(made.ledger).eta_s == pytest.approx(40)
    await made.settle(receipt(1), totals={"wall_ms": 60_000})
    assert read_status(made.ledger).eta_s == pytest.approx(180)  # three rows, a minute each
    await made.settle(receipt(2), receipt(3), receipt(4))
    assert read_status(made.ledger).eta_s == 0


@dataclass(frozen=True)
class Seen:
    """A quota as it is at some moment."""

    limit: int | None = 100
    used: int = 40
    window_s: float = 10.0
    paused_s: float = 2.5

    def seconds_for(self, requests: int, *, backfill: bool = False) -> float:
        assert backfill
        return 7.0 * requests


async def test_the_quota_as_it_is_now_is_passed_on_and_decides_the_time_left(made):
    await made.add(3).plan()

    found = read_status(made.ledger, quota=Seen())
    without = read_status(made.ledger, quota=Seen(limit=None))

    assert found.quota == QuotaSeen(limit=100, used=40, window_s=10.0, paused_s=2.5)
    assert found.eta_s == 21
    assert without.eta_s is None
    assert any("40 of 100 requests" in line and "paused for 2.50 s" in line for line in lines_of(found))
    assert not any("quota" in line for line in lines_of(without))


def _fields(plan):
    return {name: getattr(plan, name) for name in plan.__struct_fields__}


async def test_no_time_is_told_while_neither_quota_nor_speed_is_known(made):
    await made.add(2).plan()

    assert read_status(made.ledger).eta_s is None


async def test_it_costs_the_same_however_many_rows_there_are(mixed):
    statements = []
    with closing(mixed.reader()) as reader:
        reader._connection.set_trace_callback(statements.append)
        status_of(reader, running_pid=None)

    assert statements
    for statement in statements:
        assert "FROM counters" in statement or "FROM facts" in statement, statement


async def test_a_batch_that_is_not_planned_to_its_end_says_so(made):
    await made.add(2).plan()
    ledger = await SqliteLedger.open(made.ledger, create=False)
    await ledger.note({f.PLAN: None})
    await ledger.aclose()

    found = read_status(made.ledger)

    assert not found.planned
    assert found.requests_left == 0


def test_without_a_ledger_there_is_a_clear_error(made, command):
    made.add(1).write()

    with pytest.raises(LedgerError, match="no ledger here yet"):
        read_status(made.ledger)
    done = command("batch", "status", made.manifest)
    assert done.code == 2
    assert "no ledger here yet" in done.err
    assert "MANIFEST.chartsend beside the manifest" in done.err


@pytest.mark.parametrize("verb", ["status", "list", "resolve", "report", "verify", "purge"])
def test_a_manifest_that_was_mistyped_is_wrong_usage_and_no_name_is_told(made, command, verb):
    done = command("batch", verb, made.folder / "mistyped.jsonl")

    assert done.code == 2
    assert "there is no manifest" in done.err
    assert "mistyped" not in done.err


def test_a_ledger_that_was_mistyped_is_wrong_usage(made, command):
    made.add(1).write()

    done = command("batch", "status", made.manifest, "--ledger", made.folder / "mistyped")

    assert done.code == 2
    assert "no ledger in the directory that --ledger names" in done.err


async def test_the_process_that_works_with_it_is_named_until_it_ends(mixed, holder):
    assert running_pid(mixed.ledger) is None
    process = holder(mixed.ledger)
    assert running_pid(mixed.ledger) == process.pid
    assert read_status(mixed.ledger).running_pid == process.pid
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert running_pid(mixed.ledger) is None


async def test_looking_does_not_keep_anybody_from_working_with_it(mixed, holder):
    with closing(mixed.reader()):
        read_status(mixed.ledger)
        process = holder(mixed.ledger)
        read_status(mixed.ledger)
    process.stdin.close()
    assert process.wait(60) == 0


async def test_a_lock_file_of_any_content_is_no_lock(mixed):
    for content in (b"", b"17", b'{"pid": 1}', b"\xff" * 100, b'{"pid": "x"}', b"[" * 2000):
        (mixed.ledger / "lock").write_bytes(content)
        assert running_pid(mixed.ledger) is None, content


async def test_the_command_says_it_in_lines_and_as_json(mixed, command):
    for_people = command("batch", "status", mixed.manifest)
    for_programs = command("batch", "status", mixed.manifest, "--json")

    assert for_people.code == for_programs.code == 0
    assert "60.00 %" in for_people.out
    assert "nobody runs it" in for_people.out
    assert for_programs.json["rows"] == {
        "done": 1,
        "failed": 1,
        "in_doubt": 1,
        "rejected": 1,
        "pending": 2,
    }
    assert for_people.err == for_programs.err == ""


async def test_the_ledger_may_lie_elsewhere(made, command, tmp_path):
    await made.add(1).plan()
    made.ledger.rename(tmp_path / "elsewhere")

    done = command("batch", "status", made.manifest, "--ledger", tmp_path / "elsewhere", "--json")

    assert done.json["rows"]["pending"] == 1


async def test_watching_ends_when_nobody_runs_it_any_more(mixed, holder, command):
    alone = command("batch", "status", mixed.manifest, "--watch")
    assert len(alone.out.splitlines()) == 1

    process = holder(mixed.ledger)
    watching = subprocess.Popen(
        [sys.executable, "-m", "chartsend", "batch", "status", mixed.manifest, "--watch", "--json"],
        stdout=subprocess.PIPE,
        env=command.environ,
    )
    try:
        assert json.loads(watching.stdout.readline())["running_pid"] == process.pid
        process.stdin.close()
        process.wait(60)
        rest, _ = watching.communicate(timeout=60)
        assert watching.returncode == 0
        assert json.loads(rest.splitlines()[-1])["running_pid"] is None
    finally:
        watching.kill()
        watching.wait()


async def test_states_of_the_ledger_and_words_for_people_cover_each_other(mixed):
    with closing(mixed.reader()) as reader:
        counts = reader.counts()

    assert set(counts) == set(State)
    assert sum(counts.values()) == read_status(mixed.ledger).rows.total


async def test_the_command_shows_the_quota_of_the_profile_and_needs_none(made, command):
    await made.add(1).plan()
    profile = made.folder / "profile.toml"
    profile.write_text('environment = "Development"\nquota = "1000/20"\n')

    with_profile = command("--profile", profile, "batch", "status", made.manifest, "--json")
    off = command("--profile", _off(profile), "batch", "status", made.manifest, "--json")
    without = command("--profile", "not-there", "batch", "status", made.manifest, "--json")

    assert with_profile.json["quota"] == {"limit": 980, "used": 0, "window_s": 20.0, "paused_s": 0.0}
    assert off.json["quota"]["limit"] is None
    assert without.code == 0
    assert without.json["quota"] is None


async def test_of_a_quota_that_is_not_known_to_be_the_batch_s_nothing_is_said(made, command):
    await made.add(1).plan()
    elsewhere = made.folder / "elsewhere.toml"
    elsewhere.write_text('environment = "Production"\n')
    same = made.folder / "same.toml"
    same.write_text('environment = "Development"\n')

    without = command("batch", "status", made.manifest)
    of_another = command("--profile", elsewhere, "batch", "status", made.manifest)
    of_this_one = command("--profile", same, "batch", "status", made.manifest)

    assert "quota" not in without.out + of_another.out
    assert "0 of 9,800 requests in 5 min 00 s are used (98% of 10,000, since clocks differ)" in (
        of_this_one.out
    )


async def test_after_a_killed_run_requests_are_at_least_so_many(mixed):
    await mixed.settle(totals={"requests": 12, "tokens": 1, "runs": 2, "runs_ended": 1})

    with closing(mixed.reader()) as reader:
        killed, going_on = (status_of(reader, running_pid=pid) for pid in (None, 7))

    assert (killed.runs_killed, going_on.runs_killed) == (1, 0)
    lines = list(lines_of(killed))
    assert any(line.startswith("at least 12 requests, ") and "; 1 token" in line for line in lines)
    assert any(line.startswith("1 run was cut off") for line in lines)
    assert not any("at least" in line or "cut off" in line for line in lines_of(going_on))


async def test_what_was_already_sent_is_no_rejected_row_for_people(made):
    await made.add(3).plan()
    ledger = await SqliteLedger.open(made.ledger, create=False)
    with closing(made.reader()) as reader:
        plan = f.read_plan(reader.facts())
    rejected = {"rejected": {"already_sent": 2, "source_missing": 1}}
    await ledger.note({f.PLAN: f.packed({**_fields(plan), **rejected})})
    await ledger.aclose()

    found = read_status(made.ledger)
    shown = msgspec.structs.replace(found, rows=Rows(rejected=3))

    lines = [" ".join(line.split()) for line in lines_of(shown)]
    assert "rejected 1" in lines
    assert "already sent 2 by an earlier batch: nothing to do" in lines
    assert "1 rejected · 2 already sent" in in_one_line(shown)


async def test_no_time_is_told_that_is_none(made):
    await made.add(1).plan()

    found = read_status(made.ledger, quota=Instant())

    assert found.eta_s == 0
    assert not any("at least" in line for line in lines_of(found))
    assert any("1 request to go" in line for line in lines_of(found))


class Instant(Seen):
    """A quota that makes nobody wait."""

    def seconds_for(self, requests: int, *, backfill: bool = False) -> float:
        return 0.0


def _off(profile):
    off = profile.with_name("off.toml")
    off.write_text('environment = "Development"\nquota = "off"\n')
    return off
