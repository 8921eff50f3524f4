"""Files: what cannot be sent is refused at once and without a request; the rest arrives as it is."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import random
import socket
import time

import pytest
from rig import TO, described, outcome, pattern

from chartsend import Document, Engine
from chartsend.aio import Lane
from chartsend.errors import (
    EmptyFileError,
    InvalidDocumentError,
    NotRegularFileError,
    SourceMissingError,
    SourceUnreadableError,
    TooLargeError,
    TypeMismatchError,
)
from chartsend.settings import Limits
from chartsend.sources import descriptor as descriptor_module
from chartsend.sources.descriptor import Descriptor
from chartsend.sources.file import open_file


def at(path, **fields) -> Document:
    return Document.from_path(str(path), **described(**{"document_id": "doc-1", **fields}))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
async def lane():
    lane = Lane(threads=2, name="chartsend")
    yield lane
    await lane.aclose()


async def refused(engine_for, sandbox, path, kind, **fields):
    """The error of a send that must have caused no document request."""
    async with engine_for(sandbox) as engine:
        began = time.monotonic()
        error = await outcome(engine, at(path, **fields))
        assert isinstance(error, kind), error
        assert time.monotonic() - began < 1.0
        assert error.receipt.attempts == 0
        assert error.receipt.status == "failed"
        assert engine.statistics().requests == 0
        assert engine.statistics().tokens == 0
    assert sandbox.events() == []
    return error


async def test_a_missing_file_is_refused_without_a_request(engine_for, sandbox, tmp_path):
    await refused(engine_for, sandbox, tmp_path / "none.pdf", SourceMissingError)


async def test_a_path_through_a_file_is_missing(engine_for, sandbox, tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7")
    await refused(engine_for, sandbox, tmp_path / "a.pdf" / "b.pdf", SourceMissingError)


async def test_a_dangling_link_is_missing(engine_for, sandbox, tmp_path):
    (tmp_path / "a.pdf").symlink_to(tmp_path / "gone.pdf")
    await refused(engine_for, sandbox, tmp_path / "a.pdf", SourceMissingError)


async def test_a_path_with_nul_is_missing(engine_for, sandbox, tmp_path):
    await refused(engine_for, sandbox, f"{tmp_path}/a\0b.pdf", SourceMissingError)


async def test_a_loop_of_links_is_unreadable(engine_for, sandbox, tmp_path):
    (tmp_path / "a.pdf").symlink_to(tmp_path / "b.pdf")
    (tmp_path / "b.pdf").symlink_to(tmp_path / "a.pdf")
    error = await refused(engine_for, sandbox, tmp_path / "a.pdf", SourceUnreadableError)
    assert "ELOOP" in error.message


async def test_a_name_longer_than_names_can_be_is_unreadable(engine_for, sandbox, tmp_path):
    await refused(engine_for, sandbox, tmp_path / ("n" * 300 + ".pdf"), SourceUnreadableError)


async def test_a_file_without_permission_is_unreadable(lane, tmp_path):
    path = tmp_path / "secret.pdf"
    path.write_bytes(b"%PDF-1.7")
    path.chmod(0)
    for folder in [tmp_path, *tmp_path.parents][:3]:
        folder.chmod(0o755)
    was = os.geteuid()
    if was == 0:  # root reads everything
        os.seteuid(65534)
    try:
        with pytest.raises(SourceUnreadableError, match="EACCES") as caught:
            await open_file(str(path), lane=lane, read_s=1)
    finally:
        if was == 0:
            os.seteuid(was)
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("kind", ["directory", "fifo", "socket", "/dev/zero", "/dev/null", "/dev/tty"])
async def test_what_is_no_regular_file_is_refused_without_blocking(engine_for, sandbox, tmp_path, kind):
    path = tmp_path / "odd.pdf"
    server = socket.socket(socket.AF_UNIX)
    match kind:
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "socket":
            server.bind(str(path))
        case _:
            path = kind
    with server:
        await refused(engine_for, sandbox, path, NotRegularFileError)


async def test_an_empty_file_is_refused(engine_for, sandbox, tmp_path):
    (tmp_path / "a.pdf").touch()
    await refused(engine_for, sandbox, tmp_path / "a.pdf", EmptyFileError)


@pytest.mark.parametrize("api", ["fhir", "data-model"])
@pytest.mark.parametrize("method", ["upload", "embed"])
async def test_an_empty_file_is_sent_where_it_is_allowed(engine_for, raw, tmp_path, api, method):
    (tmp_path / "a.pdf").touch()
    async with engine_for(raw, limits=Limits(allow_empty=True)) as engine:
        receipt = await outcome(engine, at(tmp_path / "a.pdf"), api=api, method=method)
    assert receipt.status == "accepted", receipt
    assert (receipt.bytes, receipt.sha256) == (0, sha256(b""))
    assert all(r["committed"] for r in raw.requests("upload") + raw.requests("message"))
    if (api, method) == ("fhir", "upload"):
        assert raw.requests("upload")[0]["length"] == 0


async def test_a_program_named_pdf_is_refused(engine_for, sandbox, tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(200))
    await refused(engine_for, sandbox, tmp_path / "a.pdf", TypeMismatchError)


async def test_a_file_of_one_byte_too_many_is_refused(engine_for, sandbox, tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7")
    os.truncate(tmp_path / "a.pdf", 30_000_001)
    error = await refused(engine_for, sandbox, tmp_path / "a.pdf", TooLargeError)
    assert "30,000,000" in error.message


async def test_a_document_with_two_sources_is_refused(engine_for, sandbox):
    document = Document.from_bytes(b"x", title="a.txt", path="/dev/null", **described(document_id="d"))
    async with engine_for(sandbox) as engine:
        assert isinstance(await outcome(engine, document), InvalidDocumentError)


async def test_a_sparse_file_arrives(engine_for, sandbox, tmp_path):
    path = tmp_path / "a.pdf"
    path.write_bytes(b"%PDF-1.7")
    os.truncate(path, 30_000_000)
    async with engine_for(sandbox) as engine:
        receipt = await engine.send(at(path), to=TO, method="upload")
    (event,) = sandbox.events("message")
    assert event["sha256"] == receipt.sha256 == sha256(path.read_bytes())


@pytest.mark.parametrize("folder", ["disk", "/dev/shm"])
async def test_a_file_arrives_from_a_cold_cache_and_from_tmpfs(engine_for, sandbox, tmp_path, folder):
    path = tmp_path / "a.pdf" if folder == "disk" else f"{folder}/chartsend-{os.getpid()}.pdf"
    data = pattern(5_000_000)
    with open(path, "wb") as file:
        file.write(data)
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    try:
        async with engine_for(sandbox) as engine:
            receipt = await engine.send(at(path), to=TO, method="upload")
    finally:
        os.unlink(path)
    assert sandbox.events("message")[0]["sha256"] == receipt.sha256 == sha256(data)


@pytest.mark.parametrize("refusal", [errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
async def test_a_kernel_that_will_not_read_without_waiting_costs_nothing_but_threads(
    engine_for, sandbox, tmp_path, monkeypatch, refusal
):
    real, refusals = os.preadv, 0

    def preadv(fd, buffers, offset, flags=0):
        nonlocal refusals
        if flags:
            refusals += 1
            raise OSError(refusal, "no")
        return real(fd, buffers, offset)

    monkeypatch.setattr(descriptor_module.os, "preadv", preadv)
    (tmp_path / "a.pdf").write_bytes(data := pattern(1_000_000))
    async with engine_for(sandbox) as engine:
        await engine.send(at(tmp_path / "a.pdf"), to=TO, method="upload")
    assert sandbox.events("message")[0]["sha256"] == sha256(data)
    assert refusals > 1 if refusal == errno.EAGAIN else refusals == 1


async def test_short_reads_change_nothing(engine_for, sandbox, tmp_path, monkeypatch):
    # The seam is the blocking read: no file system at hand gives short reads in the middle.
    draw = random.Random(3)
    real, calls = Descriptor.read, 0

    def read(self, buffer, offset):
        nonlocal calls
        calls += 1
        return real(self, buffer[: draw.randint(1, 5000)], offset)

    monkeypatch.setattr(Descriptor, "read", read)
    monkeypatch.setattr(descriptor_module, "_NOWAIT", 0)
    (tmp_path / "a.pdf").write_bytes(data := pattern(500_000))
    async with engine_for(sandbox) as engine:
        await engine.send(at(tmp_path / "a.pdf"), to=TO, method="embed")
    assert calls > 100
    assert sandbox.events("message")[0]["sha256"] == sha256(data)


@pytest.mark.parametrize("method", ["upload", "embed"])
@pytest.mark.parametrize("failing", [1, 2, 5, 11])
async def test_a_disk_that_fails_ends_the_send_and_nothing_arrives(
    engine_for, sandbox, tmp_path, monkeypatch, method, failing
):
    real, calls = Descriptor.read, 0

    def read(self, buffer, offset):
        nonlocal calls
        calls += 1
        if calls == failing:
            raise OSError(errno.EIO, "the disk has gone")
        return real(self, buffer[:60_000], offset)  # many reads, whatever the chunk

    monkeypatch.setattr(Descriptor, "read", read)
    monkeypatch.setattr(descriptor_module, "_NOWAIT", 0)
    (tmp_path / "a.pdf").write_bytes(pattern(1_050_000))
    async with engine_for(sandbox) as engine:
        error = await outcome(engine, at(tmp_path / "a.pdf"), method=method)
    assert isinstance(error, SourceUnreadableError)
    assert "EIO" in error.message
    assert error.receipt.attempts == 1
    assert sandbox.events("message") == sandbox.events("blob") == []


ODD_NAMES = {
    "newline": b"marla\nquillfeather.pdf",
    "carriage return": b"marla\r\nX-Injected: yes.pdf",
    "not utf-8": b"marla-\xff\xfe.pdf",
    "255 bytes": b"m" * 251 + b".pdf",
    "right to left": "marla\u202e\u05d0fdp.pdf".encode(),
    "quotes": b'marla"; filename="x.pdf',
    "blanks": b" marla .pdf",
    "line separator": "marla\u2028b.pdf".encode(),
    "emoji": "marla\U0001f600.pdf".encode(),
}


@pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES.keys())
@pytest.mark.parametrize("api", ["fhir", "data-model"])
async def test_odd_names_arrive_and_show_nowhere(
    engine_for, sandbox, tmp_path, caplog, capfd, name, api
):
    path = os.fsencode(tmp_path) + b"/" + name
    with open(path, "wb") as file:
        file.write(data := pattern(300_000))
    caplog.set_level(logging.DEBUG)
    sandbox.fault(do="status", on="blob", status=500)
    async with engine_for(sandbox) as engine:
        receipt = await engine.send(at(os.fsdecode(path)), to=TO, api=api, method="upload")
    assert sandbox.events("message")[0]["sha256"] == sha256(data)
    out, err = capfd.readouterr()
    for text in (caplog.text, out, err):
        assert "marla" not in text
        assert "mmmmm" not in text
    assert b"accepted" in receipt.to_json()


@pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES.keys())
async def test_an_error_never_shows_the_name(engine_for, sandbox, tmp_path, caplog, name):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/marla-none/" + name)
    caplog.set_level(logging.DEBUG)
    async with engine_for(sandbox) as engine:
        error = await outcome(engine, at(path))
    assert isinstance(error, SourceMissingError)
    assert "marla" not in str(error) + repr(error) + caplog.text
    assert b"source_missing" in error.receipt.to_json()


async def test_an_engine_that_was_left_is_closed(settings_for, sandbox, tmp_path):
    engine = Engine(settings_for(sandbox))
    async with engine:
        pass
    with pytest.raises(RuntimeError, match="not open"):
        await engine.send(at(tmp_path / "a.pdf"), to=TO)
