"""The order oracle itself, on logs made by hand, good and bad; and then on a real one."""

from __future__ import annotations

import base64
import hashlib
import random

import order
import pytest
import tracing
from evidence import gather
from judge import judge
from scenery import SEVERAL_CHUNKS_BYTES, make
from watching import watched

FILE = b"%PDF-1.4\n\x00\x01 a file"
WAL = "9</tmp/x/ledger.db-wal>"
SOCKET = "12<TCP:[127.0.0.1:40001->127.0.0.1:8080]>"
AROUND = b'{"Meta":{},"Contents":""}'
BODY = AROUND[:-2] + base64.b64encode(FILE) + AROUND[-2:]
HEAD = f"POST /endpoint HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
INTENT = hashlib.sha256(b"key" + hashlib.sha256(AROUND).hexdigest().encode()).digest()[:16]


def intent_of(sha256: str) -> bytes:
    return hashlib.sha256(b"key" + sha256.encode()).digest()[:16]


def quoted(data: bytes) -> str:
    """As strace writes a string: some bytes by name, some in octal."""
    names = {10: "\\n", 13: "\\r", 9: "\\t", 34: '\\"', 92: "\\\\", 0: "\\0"}
    text = []
    for place, code in enumerate(data):
        follower = data[place + 1 : place + 2]
        octal = f"\\{code:03o}" if follower.isdigit() else f"\\{code:o}"
        plain = chr(code) if 32 <= code < 127 else octal
        known = names.get(code)
        text.append(plain if known is None or (code == 0 and follower.isdigit()) else known)
    return '"' + "".join(text) + '"'


def log(*lines: str) -> list[str]:
    parts = (line.split(" ", 1) for line in lines)
    return [f"{task} 17.{place:06d} {rest}" for place, (task, rest) in enumerate(parts)]


def write(data: bytes, task: int = 2) -> str:
    return f"{task} pwrite64({WAL}, {quoted(data)}, {len(data)}, 32) = {len(data)}"


def sync(task: int = 2, result: str = "0") -> str:
    return f"{task} fdatasync({WAL}) = {result}"


def send(data: bytes, count: int | None = None, socket: str = SOCKET) -> str:
    sent = len(data) if count is None else count
    return f"1 sendto({socket}, {quoted(data)}, {len(data)}, 0, NULL, 0) = {sent}"


INTENDED = write(b"a page \x00\xff\x07" + INTENT + b"7 and more of it")

GATHERED = (
    f"1 sendmsg({SOCKET}, {{msg_name=NULL, msg_iov=[{{iov_base={quoted(HEAD)}, iov_len=1}},"
    f" {{iov_base={quoted(BODY)}, iov_len=1}}], msg_iovlen=2}}, 0) = {len(HEAD + BODY)}"
)


def check(*lines: str) -> order.Findings:
    return order.check(order.parse(log(*lines)), files=[FILE], intent_of=intent_of)


@pytest.mark.parametrize(
    "lines",
    [
        (INTENDED, sync(), send(HEAD + BODY)),
        (INTENDED, sync(), send(HEAD), send(BODY)),
        (send(HEAD), send(BODY[:-1]), INTENDED, sync(), send(BODY[-1:])),
        (INTENDED, write(b"another row"), sync(), send(HEAD + BODY)),
        (INTENDED, sync(result="-1 EIO (Input/output error)"), sync(), send(HEAD + BODY)),
        # The kernel took less than it was given: the rest leaves later.
        (send(HEAD + BODY, len(HEAD) + 3), INTENDED, sync(), send(BODY[3:])),
        (send(HEAD + BODY, -1), INTENDED, sync(), send(HEAD + BODY)),
        # In a thread of its own, at the same time as others.
        (
            INTENDED,
            f"2 fdatasync({WAL} <unfinished ...>",
            send(HEAD),
            "2 <... fdatasync resumed>) = 0",
            send(BODY),
        ),
        (
            f"2 pwrite64({WAL}, {quoted(b'..' + INTENT)}, 18, 0 <unfinished ...>",
            send(HEAD),
            "2 <... pwrite64 resumed>) = 18",
            sync(),
            send(BODY),
        ),
        (
            INTENDED,
            sync(),
            GATHERED,
        ),
    ],
)
def test_a_message_that_leaves_after_its_intent_is_durable(lines):
    assert check(*lines) == order.Findings(1, [])


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ((send(HEAD + BODY),), "its intent was never written"),
        ((write(b"another page"), sync(), send(HEAD + BODY)), "its intent was never written"),
        ((INTENDED, send(HEAD + BODY)), "the disk was never asked to keep it"),
        ((sync(), INTENDED, send(HEAD + BODY)), "the disk was never asked to keep it"),
        ((INTENDED, send(HEAD + BODY), sync()), "before the disk had confirmed"),
        ((send(HEAD + BODY), INTENDED, sync()), "before its intent was written"),
        ((send(HEAD), send(BODY), INTENDED, sync()), "before its intent was written"),
        ((INTENDED, sync(result="-1 EIO (I)"), send(HEAD + BODY)), "never asked to keep it"),
        ((INTENDED.replace("-wal", ""), sync(), send(HEAD + BODY)), "its intent was never written"),
        ((INTENDED, sync().replace("-wal", ""), send(HEAD + BODY)), "never asked to keep it"),
        # Begun before the intent had been written, it need not cover it.
        (
            (
                f"3 fdatasync({WAL} <unfinished ...>",
                INTENDED,
                "3 <... fdatasync resumed>) = 0",
                send(HEAD + BODY),
            ),
            "never asked to keep it",
        ),
        # Not ended when the message left.
        (
            (
                INTENDED,
                f"2 fdatasync({WAL} <unfinished ...>",
                send(HEAD + BODY),
                "2 <... fdatasync resumed>) = 0",
            ),
            "before the disk had confirmed",
        ),
        # Killed inside the call: nobody knows whether it left.
        (
            (
                send(HEAD + BODY)
                .replace(") =", " <unfinished ...>")
                .removesuffix(f" {len(HEAD + BODY)}"),
            ),
            "never written",
        ),
    ],
)
def test_a_message_that_leaves_too_early(lines, reason):
    found = check(*lines)
    assert found.messages == 1
    assert len(found.wrong) == 1
    assert reason in found.wrong[0]


def test_connections_are_kept_apart_and_several_requests_on_one():
    other = SOCKET.replace("40001", "40002")
    found = check(
        send(HEAD + BODY[:5]),
        send(HEAD + BODY[:-1], socket=other),
        INTENDED,
        sync(),
        send(BODY[5:] + HEAD + BODY),
        send(b"GET / HTTP/1.1\r\n\r\n"),
        send(BODY[-1:], socket=other),
    )
    assert found == order.Findings(3, [])


def test_only_whole_messages_count():
    upload = HEAD.replace(b"/endpoint", b"/upload")
    token = HEAD.replace(b"/endpoint", b"/v2/auth/token")
    other = SOCKET.replace("40001", "40002")
    assert check(send(HEAD + BODY[:-1]), send(upload + BODY, socket=other)).messages == 0
    assert check(send(token + BODY)).messages == 0
    operation = b"/fhir/R4/x/Development/DocumentReference/$documentreference-create"
    fhir = HEAD.replace(b"/endpoint", operation)
    assert check(send(fhir + BODY)).messages == 1


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "1 17.0 <... fdatasync resumed>) = 0",
        f'1 17.0 sendto({SOCKET}, "POST /endp"..., 900, 0, NULL, 0) = 900',
    ],
)
def test_a_log_that_cannot_be_read_proves_nothing(line):
    with pytest.raises(order.BadLogError):
        order.parse([line])


def test_strings_are_read_as_strace_writes_them():
    data = bytes(range(256)) + b'0123"\\n'
    assert order.unescaped(quoted(data)[1:-1]) == data
    assert order.unescaped("".join(f"\\x{code:02x}" for code in data)) == data


@pytest.mark.timeout(300)
@pytest.mark.skipif(tracing.obstacle() is not None, reason=str(tracing.obstacle()))
def test_no_message_leaves_before_its_intent_is_on_the_disk(nursery, busy_sandbox, folder):
    scene = make(folder / "batch", f"order-{folder.name}", random.Random(6), rows=24)
    assert any(row.size_bytes > SEVERAL_CHUNKS_BYTES and row.method == "embed" for row in scene.rows)
    seen = len(busy_sandbox.events())
    # An answer that refuses: every attempt has its own intent.
    refusal = {"do": "status", "status": 503, "headers": {"Retry-After": "0"}}
    busy_sandbox.fault(on="message", every=7, times=2, **refusal)
    life, found = watched(nursery, scene, busy_sandbox, folder / "log", concurrency=6)
    assert life.is_over
    assert found.wrong == []
    assert found.messages == 24 + 2
    evidence = gather(scene, busy_sandbox.events(seen), told=life.settled, slots=6, is_over=True)
    assert judge(evidence) == []
    assert evidence.counts["done"] == 24
