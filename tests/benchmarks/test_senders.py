"""Each sender's bodies, as the sink got them, hold the files' bytes; and nobody has less to send."""

from __future__ import annotations

import base64
import email.parser
import hashlib
import json
import shutil
from pathlib import Path

import pytest
from benchmarks.contest import Contestant, run
from benchmarks.job import Job

COUNT = 5
SIZE = 300_001

ALL = [
    ("chartsend", "embed"),
    ("chartsend", "raw"),
    ("chartsend", "multipart"),
    ("chartsend", "notes"),
    ("chartsend", "embed_notes"),
    ("floor_embed", "embed"),
    ("floor_processes", "embed"),
    ("floor_raw", "raw"),
    ("floor_sendfile", "raw"),
    ("naive_aiohttp", "embed"),
    ("naive_httpx", "embed"),
    ("requests_pool", "embed"),
    ("aiohttp_file", "raw"),
    ("aiohttp_multipart_base64", "multipart"),
    ("aiohttp_bytes", "embed"),
    ("aiohttp_bytes", "raw"),
    ("curl", "embed"),
    ("curl", "raw"),
    ("curl_encoding", "embed"),
]
OVER_TLS = (
    "chartsend",
    "floor_embed",
    "floor_processes",
    "floor_raw",
    "naive_httpx",
    "requests_pool",
    "curl",
    "curl_encoding",
)
KIND = {"embed": "message", "raw": "binary", "multipart": "upload"}


def content_of(body: bytes, sender: str, route: str) -> bytes:
    if route == "raw":
        return body
    if route == "multipart":
        head, _, rest = body.partition(b"\r\n\r\n")
        boundary, _, fields = head.partition(b"\r\n")
        assert rest.endswith(b"\r\n" + boundary + b"--\r\n")
        content = rest.removesuffix(b"\r\n" + boundary + b"--\r\n")
        named = email.parser.BytesParser().parsebytes(fields)
        assert named["Content-Disposition"].startswith("form-data")
        return base64.b64decode(content, validate=True) if sender.endswith("base64") else content
    message = json.loads(body)
    if route == "notes":
        return message["Note"]["FileContents"].encode()
    if route == "embed_notes":
        return base64.b64decode(message["Note"]["FileContents"], validate=True)
    resources = [entry["resource"] for entry in message["entry"]]
    found = [each for each in resources if each["resourceType"] == "DocumentReference"]
    return base64.b64decode(found[0]["content"][0]["attachment"]["data"], validate=True)


def sent(keeping, samples, sender, route, *, tls=False, **changes):
    if sender.startswith("curl") and shutil.which("curl") is None:
        pytest.skip("there is no curl")
    sink, folder = keeping(tls=tls)
    files = samples.files(SIZE, 2, text=route == "notes")
    job = Job(
        route=route,
        api_url=sink.url,
        ca_file=sink.ca_file,
        files=files,
        count=COUNT,
        concurrency=2,
        **changes,
    )
    return run(Contestant(sender, f"benchmarks.senders.{sender}", job), sink), files, folder


def check(sample, files, folder, sender, route):
    bodies = [path.read_bytes() for path in folder.glob(f"{KIND.get(route, 'endpoint')}-*")]
    found = [content_of(body, sender, route) for body in bodies if len(body) >= SIZE]
    digests = sorted(hashlib.sha256(each).hexdigest() for each in found)
    contents = [Path(files[number % 2]).read_bytes() for number in range(COUNT)]
    assert digests == sorted(hashlib.sha256(each).hexdigest() for each in contents)
    assert (sample.documents, sample.raw_bytes) == (COUNT, COUNT * SIZE)
    assert sample.seconds > 0
    assert sample.cpu_s > 0
    assert sample.peak_rss_bytes >= sample.idle_rss_bytes > 0
    assert sample.notes["sink_busy"] >= 0


@pytest.mark.parametrize(("sender", "route"), ALL)
def test_what_a_sender_sends_are_the_files(keeping, samples, sender, route):
    sample, files, folder = sent(keeping, samples, sender, route)
    check(sample, files, folder, sender, route)
    if route == "raw" and sender != "curl":
        assert sample.notes["messages"] == COUNT


@pytest.mark.parametrize(("sender", "route"), [each for each in ALL if each[0] in OVER_TLS][::2])
def test_the_same_over_tls_and_hashing(keeping, samples, sender, route):
    sample, files, folder = sent(keeping, samples, sender, route, tls=True, hashes=True)
    check(sample, files, folder, sender, route)


def test_a_batch_with_a_durable_ledger(keeping, samples, tmp_path):
    sample, files, folder = sent(
        keeping, samples, "chartsend", "embed", ledger=str(tmp_path), hashes=True
    )
    check(sample, files, folder, "chartsend", "embed")
    assert any(tmp_path.rglob("*.sqlite*")) or any(tmp_path.rglob("ledger*"))


def test_bodies_made_beforehand(keeping, samples):
    options = {"prepared": "1"}
    sample, files, folder = sent(keeping, samples, "aiohttp_bytes", "embed", options=options)
    check(sample, files, folder, "aiohttp_bytes", "embed")


@pytest.mark.parametrize("sender", ["chartsend", "naive_aiohttp"])
def test_on_uvloop(keeping, samples, sender):
    pytest.importorskip("uvloop")
    sample, files, folder = sent(keeping, samples, sender, "embed", loop="uvloop")
    check(sample, files, folder, sender, "embed")


def test_rivals_wrap_a_file_in_as_many_bytes_as_chartsend(keeping, samples):
    ours = sent(keeping, samples, "chartsend", "embed")[0].notes["envelope_bytes"]
    theirs = sent(keeping, samples, "floor_embed", "embed")[0].notes["envelope_bytes"]
    assert abs(ours - theirs) <= 8


def test_cold_files_and_stalls_of_the_loop(keeping, samples):
    options = {"cold": "1", "stalls": "1"}
    sample, files, folder = sent(keeping, samples, "chartsend", "embed", options=options)
    check(sample, files, folder, "chartsend", "embed")
    assert sample.stalls_ms == sorted(sample.stalls_ms)
    assert len(sample.stalls_ms) == 4
