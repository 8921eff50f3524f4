"""The file: whose it is, what it survives, and that nothing wrong with it lets a request through."""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import subprocess
import sys
import zlib

import pytest
from hypothesis import given, settings, strategies as st

from chartsend import Settings
from chartsend.aio import Deadline
from chartsend.errors import ConfigError, InsecureConfigError
from chartsend.ports import Operation
from chartsend.transport.quota import Quota, Terms, place, read_state
from chartsend.transport.quota.clock import LONG_AGO_NS, SECOND_NS
from chartsend.transport.quota.pace import Pace
from chartsend.transport.quota.page import MOST_SLOTS, PAGE_BYTES, DamagedError, Page, Slot
from chartsend.transport.quota.ring import Answers, Ring, begun_anew

MESSAGE = Operation.MESSAGE


@pytest.fixture
def file(folder):
    """A function: the one file that there is."""

    def find():
        (found,) = folder.iterdir()
        return found

    return find


@pytest.fixture
async def used_twice(terms, opened, clock, has_room):
    """A quota of 5 per 300 s, of which 2 are used."""
    quota = opened(terms(5), clock=clock)
    assert await has_room(quota)
    assert await has_room(quota)
    return quota


async def must_wait_a_window(quota, clock, has_room):
    """Nothing goes for a whole window, then everything does."""
    clock.pass_s(2)
    assert not await has_room(quota)
    clock.pass_s(297.5)
    assert not await has_room(quota)
    clock.pass_s(1)
    for _ in range(5):
        assert await has_room(quota)
    assert not await has_room(quota)


async def test_file_and_folder_are_for_this_user_only_and_name_no_host(
    terms, opened, has_room, folder, file
):
    was = os.umask(0)
    try:
        assert await has_room(opened(terms(5)))
    finally:
        os.umask(was)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(file().stat().st_mode) == 0o600
    assert "example" not in file().name
    assert b"example" not in file().read_bytes()


def test_one_file_for_each_origin():
    origins = [
        "https://api.redoxengine.com",
        "https://API.redoxengine.com:443",
        "https://api.redoxengine.com:8443",
        "http://127.0.0.1:8080",
    ]
    names = [place.file_name(place.origin_of(url)) for url in origins]
    assert names[0] == names[1]
    assert len(set(names)) == 3


def test_without_a_state_home_it_lies_in_the_home_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for value in ("", "not/absolute"):
        monkeypatch.setenv("XDG_STATE_HOME", value)
        assert place.folder() == tmp_path / ".local" / "state" / "chartsend" / "quota"


async def test_settings_decide_what_holds(folder):
    given = Settings(quota="200/4", quota_backfill_share=0.5, quota_counts=("upload", "message"))
    with Quota.of(given, priority="backfill") as quota:
        seen = quota.state()
        assert (seen.limit, seen.cap, seen.reserved, seen.window_s) == (196, 196, 98, 4)
        token = await quota.take(Operation.TOKEN, Deadline.after(5))
        upload = await quota.take(Operation.UPLOAD, Deadline.after(5))
        assert (token.is_counted, upload.is_counted) == (False, True)
    assert len(list(folder.iterdir())) == 1


async def test_off_makes_no_file(folder, has_room):
    with Quota.of(Settings(quota="off")) as quota:
        assert await has_room(quota)
        assert quota.state().limit is None
    assert read_state(Settings(quota="off")).limit is None
    assert not folder.exists()


@pytest.mark.parametrize("what", ["file", "folder"])
@pytest.mark.parametrize("bits", [0o040, 0o020, 0o004, 0o002])
async def test_what_others_may_use_is_refused(terms, opened, has_room, folder, file, what, bits):
    quota = opened(terms(5))
    assert await has_room(quota)
    target = folder if what == "folder" else file()
    target.chmod(stat.S_IMODE(target.stat().st_mode) | bits)
    with pytest.raises(InsecureConfigError, match="may be used by others"):
        Quota(terms(5))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("what", ["file", "folder"])
async def test_what_belongs_to_somebody_else_is_refused(terms, opened, has_room, folder, file, what):
    quota = opened(terms(5))
    assert await has_room(quota)
    os.chown(folder if what == "folder" else file(), 12345, -1)
    with pytest.raises(InsecureConfigError, match="another user"):
        Quota(terms(5))


@pytest.mark.parametrize("what", ["file", "folder"])
async def test_a_link_is_not_followed(terms, opened, has_room, folder, file, tmp_path, what):
    opened(terms(5)).close()
    target = folder if what == "folder" else file()
    moved = tmp_path / "moved"
    target.rename(moved)
    target.symlink_to(moved)
    with pytest.raises(InsecureConfigError, match="symbolic link"):
        Quota(terms(5))
    with pytest.raises(InsecureConfigError, match="symbolic link"):
        Ring.open_to_read(terms(5).origin)


@pytest.mark.parametrize("kind", ["fifo", "directory"])
async def test_what_is_no_file_is_refused_and_holds_nobody_up(terms, folder, file, opened, kind):
    opened(terms(5)).close()
    path = file()
    path.unlink()
    os.mkfifo(path, 0o600) if kind == "fifo" else path.mkdir(0o700)
    with pytest.raises(ConfigError, match="quota's file"):
        Quota(terms(5))


@pytest.mark.parametrize("where", ["a file", "nowhere"])
async def test_a_state_folder_that_cannot_be_made_is_a_clear_error(terms, monkeypatch, tmp_path, where):
    base = tmp_path / "blocked"
    base.write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/self/nowhere" if where == "nowhere" else str(base))
    with pytest.raises(ConfigError, match=r"XDG_STATE_HOME.*quota = \"off\"") as caught:
        Quota(terms(5))
    assert str(tmp_path) not in str(caught.value)


async def test_a_restart_forgets_nothing(used_twice, terms, opened, clock, has_room):
    used_twice.close()
    again = opened(terms(5), clock=clock)
    assert again.state().used == 2
    for _ in range(3):
        assert await has_room(again)
    assert not await has_room(again)
    clock.pass_s(300)
    assert await has_room(again)


async def test_damage_at_any_byte_of_the_page_is_noticed_and_counts_as_a_used_window(
    used_twice, terms, opened, clock, has_room, file, caplog
):
    whole = file().read_bytes()
    size_bytes = Page.decode(whole).size_bytes
    assert size_bytes > 100
    for at in range(size_bytes):
        for flip in (0x01, 0x80):
            raw = bytearray(whole)
            raw[at] ^= flip
            file().write_bytes(raw)
            caplog.clear()
            with Quota(terms(5), clock=clock) as quota:
                assert quota.state().used == 5
                assert not await has_room(quota), (at, flip)
                assert "begun anew" in caplog.text, (at, flip)
                assert quota.state().used == 5
                assert quota.state().free_in_s == 300


async def test_damage_while_it_is_in_use_is_mended_by_whoever_comes_first(
    used_twice, terms, opened, clock, has_room, file
):
    other = opened(terms(5), clock=clock)
    assert await has_room(other)
    with file().open("r+b") as raw:
        raw.seek(40)
        raw.write(b"\xff" * 8)
    assert not await has_room(used_twice)
    assert not await has_room(other)
    await must_wait_a_window(other, clock, has_room)


@pytest.mark.parametrize("size_bytes", [0, 1, 15, 16, 100, 103, 120, 4095, 4096, 4100, 4111])
async def test_a_file_that_was_cut_counts_as_a_used_window(
    used_twice, clock, has_room, file, size_bytes, caplog
):
    for _ in range(3):
        assert await has_room(used_twice)
    os.truncate(file(), size_bytes)
    assert not await has_room(used_twice)
    assert not await has_room(used_twice)
    if size_bytes < 4100:  # the oldest of the five times is gone, or the page
        assert "begun anew" in caplog.text
    await must_wait_a_window(used_twice, clock, has_room)


async def test_a_time_that_is_not_yet_is_damage(used_twice, clock, has_room, file, caplog):
    for _ in range(3):
        assert await has_room(used_twice)
    with file().open("r+b") as raw:
        raw.seek(PAGE_BYTES)
        raw.write(struct.pack("<q", clock.now_ns + 10**15))
    assert not await has_room(used_twice)
    assert "begun anew" in caplog.text
    await must_wait_a_window(used_twice, clock, has_room)


def of_version(raw: bytes, version: int) -> bytes:
    """The same page as another version would write it, its checksum right."""
    changed = bytearray(raw)
    struct.pack_into("<H", changed, 8, version)
    rest = changed[16 : Page.decode(raw).size_bytes]
    struct.pack_into("<I", changed, 12, zlib.crc32(rest, zlib.crc32(changed[:12])))
    return bytes(changed)


async def test_a_file_of_another_version_is_replaced_as_if_a_window_had_been_used(
    used_twice, terms, opened, clock, has_room, file, caplog
):
    used_twice.close()
    file().write_bytes(of_version(file().read_bytes(), 2))
    again = opened(terms(5), clock=clock)
    assert again.state().used == 5
    assert not await has_room(again)
    assert "another version" in caplog.text
    await must_wait_a_window(again, clock, has_room)


async def test_another_version_at_the_same_time_is_an_error_and_no_tug_of_war(
    used_twice, has_room, file
):
    file().write_bytes(of_version(file().read_bytes(), 2))
    with pytest.raises(ConfigError, match="another version"):
        await has_room(used_twice)


def set_boot(path, boot):
    """Write into the file that its times are on the clock of another boot."""
    page = Page.decode(path.read_bytes())
    page.boot = boot
    with path.open("r+b") as out:
        out.write(page.encode())


async def test_after_a_reboot_only_what_may_still_count_counts(
    used_twice, terms, opened, clock, has_room, file
):
    turn = await used_twice.take(MESSAGE, Deadline.after(5))
    used_twice.refused(turn, limit=4, asked_s=0.0)
    opened.crash(used_twice)
    set_boot(file(), b"the boot before.")
    clock.now_ns = 100 * SECOND_NS  # since the machine was started
    again = opened(terms(5), clock=clock)
    assert again.state().cap == 3  # what the server said, and half the rate, still hold
    assert again.state().limit == 1
    assert not await has_room(again)
    assert again.state().limit == 1
    clock.pass_s(299.9)
    assert again.state().limit == 2
    assert await has_room(again)
    assert not await has_room(again)
    clock.pass_s(0.1)  # one died in flight, which was noticed 300 s ago
    assert await has_room(again)


async def test_what_was_answered_before_a_reboot_is_at_least_as_old_as_the_boot(
    used_twice, terms, opened, clock, has_room, file
):
    opened.crash(used_twice)
    set_boot(file(), b"the boot before.")
    clock.now_ns = 299 * SECOND_NS
    again = opened(terms(5), clock=clock)
    assert not await has_room(again)
    clock.pass_s(1)
    for _ in range(5):
        assert await has_room(again)
    assert not await has_room(again)


async def test_another_machine_at_the_same_time_is_an_error(used_twice, has_room, file):
    set_boot(file(), b"another machine!")
    with pytest.raises(ConfigError, match="another machine"):
        await has_room(used_twice)


async def test_a_file_that_is_deleted_while_it_is_used_is_begun_anew_by_all(
    used_twice, terms, opened, clock, has_room, file
):
    other = opened(terms(5), clock=clock)
    assert await has_room(other)
    file().unlink()
    clock.pass_s(1.5)
    assert not await has_room(used_twice)
    assert not await has_room(other)
    assert file().exists()
    await must_wait_a_window(other, clock, has_room)
    assert not await has_room(used_twice)


async def test_who_notices_late_that_the_file_was_deleted_makes_nobody_forget_what_is_in_flight(
    terms, opened, clock, has_room, file
):
    early, late = opened(terms(3), clock=clock), opened(terms(3), clock=clock)
    assert await has_room(late)
    turns = [await early.take(MESSAGE, Deadline.after(5)) for _ in range(2)]
    file().unlink()
    clock.pass_s(1.5)
    assert not await has_room(early)
    assert not await has_room(late)
    clock.pass_s(300)
    assert late.state().in_flight == 2
    assert await has_room(late)
    assert not await has_room(late)
    for turn in turns:
        early.answered(turn)


async def test_what_died_in_flight_counts_from_its_discovery(terms, opened, clock, has_room):
    gone, here = opened(terms(3), clock=clock), opened(terms(3), clock=clock)
    for _ in range(3):
        await gone.take(MESSAGE, Deadline.after(5))
    opened.crash(gone)
    clock.pass_s(1000)
    assert here.state().in_flight == 3
    assert not await has_room(here)
    assert (here.state().in_flight, here.state().used) == (0, 3)
    clock.pass_s(299)
    assert not await has_room(here)
    clock.pass_s(1)
    for _ in range(3):
        assert await has_room(here)


async def test_who_dies_while_it_is_looked_for_counts_from_its_death(
    terms, opened, clock, has_room, monkeypatch
):
    """The time at which the dead are counted is taken after they were seen to be dead."""
    gone, here = opened(terms(3), clock=clock), opened(terms(3), clock=clock)
    for _ in range(3):
        await gone.take(MESSAGE, Deadline.after(5))
    look = Ring.is_abandoned

    def long_look(*which):
        clock.pass_s(10)
        if gone is not None:
            opened.crash(gone)
        return look(*which)

    monkeypatch.setattr(Ring, "is_abandoned", long_look)
    assert not await has_room(here)
    gone = None
    assert here.state().in_flight == 0
    clock.pass_s(299.9)
    assert not await has_room(here)
    clock.pass_s(0.1)
    assert await has_room(here)


async def test_a_fork_that_lives_on_does_not_keep_its_parent_alive(terms, opened, clock, has_room):
    """A child holds its parent's locks; the parent's process id and start time tell the truth."""
    program = f"""
import asyncio, os, signal, sys, time
from chartsend.aio import Deadline
from chartsend.ports import Operation
from chartsend.transport.quota import Quota, Terms
quota = Quota(Terms(*{(terms(3).requests, terms(3).window_ns, terms(3).origin)!r}))
async def take():
    for _ in range(3):
        await quota.take(Operation.TOKEN, Deadline.after(5))
asyncio.run(take())
child = os.fork()
if child:
    print(child, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
sys.stdout.close()
os.close(1)
time.sleep(600)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, timeout=60, check=False
    )
    child = int(done.stdout)
    try:
        here = opened(terms(3))
        assert here.state().in_flight == 3
        assert not await has_room(here)
        assert here.state().in_flight == 0
    finally:
        os.kill(child, 9)


async def test_who_lives_is_left_alone(terms, opened, clock, has_room):
    busy, here = opened(terms(3), clock=clock), opened(terms(3), clock=clock)
    turns = [await busy.take(MESSAGE, Deadline.after(5)) for _ in range(3)]
    for _ in range(5):
        clock.pass_s(1000)
        assert not await has_room(here)
        assert here.state().in_flight == 3
    for turn in turns:
        busy.answered(turn)
    assert here.state().in_flight == 0


async def test_too_many_engines_are_told_so_and_places_are_used_again(terms, opened, clock, has_room):
    quotas = [opened(terms(1000), clock=clock) for _ in range(MOST_SLOTS)]
    for quota in quotas:
        assert await has_room(quota)
    extra = opened(terms(1000), clock=clock)
    with pytest.raises(ConfigError, match=f"more than {MOST_SLOTS}"):
        await has_room(extra)
    quotas[7].close()
    assert await has_room(extra)


async def test_a_full_disk_lets_nothing_go_and_forgets_nothing(
    terms, opened, clock, has_room, folder, file, caplog
):
    """The limit on a file's size stands for the disk's end: the page can be written, no time more."""
    import resource
    import signal

    quota = opened(terms(5), clock=clock)
    turn = await quota.take(MESSAGE, Deadline.after(5))
    was = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (PAGE_BYTES, was[1]))
    try:
        quota.answered(turn)
        clock.pass_s(1000)
        assert quota.state().in_flight == 1
        assert not await has_room(quota)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, was)
        signal.signal(signal.SIGXFSZ, ignored)
    assert caplog.text.count("cannot be used (File too large)") == 1
    assert await has_room(quota)
    assert (quota.state().used, quota.state().in_flight) == (2, 0)
    assert "can be used again" in caplog.text


async def test_looking_changes_nothing_and_needs_no_lock(used_twice, terms, file, clock):
    before = file().read_bytes()
    with file().open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        seen = used_twice.state()
        other = read_state(Settings(api_url=None))
    assert (seen.limit, seen.used, seen.in_flight) == (5, 2, 0)
    assert other.used == 0  # of another origin, whose file was not made
    assert file().read_bytes() == before


async def test_another_process_sees_the_same(folder):
    given = Settings(quota="200/300")
    with Quota.of(given) as quota:
        turns = [await quota.take(MESSAGE, Deadline.after(5)) for _ in range(7)]
        quota.answered(turns[0])
        program = (
            "from chartsend import Settings; from chartsend.transport.quota import read_state;"
            "seen = read_state(Settings(quota='200/300'));"
            "print(seen.used, seen.in_flight, seen.limit, seen.reserved)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        assert done.stdout.split() == ["7", "6", "196", "20"]
        for turn in turns[1:]:
            quota.answered(turn)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 9)), max_size=60),
    st.integers(1, 9),
    st.integers(1, 6),
)
@settings(max_examples=100, deadline=None)
def test_the_ring_goes_round_and_gives_back_what_was_written(tmp_path_factory, pushes, capacity, limit):
    path = tmp_path_factory.mktemp("ring") / "file"
    ring = Ring(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), capacity=capacity)
    try:
        page, written, now_ns = begun_anew(), [], 0
        for count, pause_ns in pushes:
            now_ns += pause_ns
            ring.push(page, now_ns, count)
            ring.save(page)
            written += [now_ns] * count
            found = Answers(ring, ring.load(), now_ns)
            kept = written[-capacity:]
            assert found.count == len(kept)
            assert [found.newest_ns(rank) for rank in range(1, len(kept) + 1)] == kept[::-1]
            if len(written) <= capacity:
                assert found.newest_ns(len(written) + 1) == LONG_AGO_NS
    finally:
        ring.close()


@given(
    st.lists(st.integers(0, 2**62), min_size=5, max_size=5),
    st.lists(st.integers(0, 2**31), min_size=5, max_size=5),
    st.integers(0, MOST_SLOTS - 1),
    st.binary(min_size=16, max_size=16),
)
def test_a_page_is_read_as_it_was_written(times, numbers, slot, boot):
    pace = Pace(*times[:3], numbers[0], numbers[1], times[3], numbers[2], numbers[3], times[4])
    slots = [Slot()] * slot + [Slot(token=1 + times[0], pid=numbers[4], in_flight=numbers[3])]
    page = Page(boot, times[0], -times[1], pace, slots)
    assert len(page.encode()) <= PAGE_BYTES
    assert Page.decode(page.encode().ljust(PAGE_BYTES, b"\xff")) == page


@given(st.binary(max_size=300))
def test_what_is_no_page_is_damage(raw):
    with pytest.raises(DamagedError):
        Page.decode(raw)


def test_a_setting_beyond_what_the_ring_holds_is_refused():
    assert Terms.of(Settings(quota="1000000/300")) is not None
    with pytest.raises(ConfigError, match="1,000,000"):
        Settings(quota="1000001/300")


def test_a_quota_without_room_for_a_token_and_a_document_is_refused():
    assert Terms.of(Settings(quota="3/300")) is not None
    assert Terms.of(Settings(quota="1/300", quota_counts=("message",))) is not None
    with pytest.raises(ConfigError, match="at least 3"):
        Terms.of(Settings(quota="2/300"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"quota_backfill_share": 0.09},
        {"quota_backfill_share": 1.01},
        {"quota_backfill_share": float("nan")},
        {"quota_counts": ()},
        {"quota_counts": ("upload", "downloads")},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Settings(**wrong)
