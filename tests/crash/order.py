"""What a system call log proves: no message was complete before its intent was on the disk.

The one rule: only the order of calls counts, as the kernel was entered and left: an intent is durable
when an `fdatasync` of the ledger's log that began after the `pwrite64` of that intent had ended, ended
well before the call began that released the last byte of the message.

Made for `strace -f -yy -ttt -s 9999999 -o FILE`. Which bytes are the intent of a message is not asked
of the program that is watched: they are computed from the message that was seen to leave.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

SYNCS: Final = frozenset({"fdatasync", "fsync"})
SENDS: Final = frozenset({"sendto", "sendmsg", "write", "writev"})
MESSAGE: Final = re.compile(r"POST (?:/endpoint|/fhir/\S*/\$[a-z]+-create) HTTP/1\.1\r\n")

_LINE: Final = re.compile(r"(?P<task>\d+) +(?P<at>\d+\.\d+) (?P<rest>.*)", re.DOTALL)
_RESUMED: Final = re.compile(r"<\.\.\. (?P<name>\w+) resumed>(?P<rest>.*)", re.DOTALL)
_CALLED: Final = re.compile(r"(?P<name>\w+)\((?P<rest>.*)", re.DOTALL)
_RESULT: Final = re.compile(r"\) += (?P<result>-?\d+|\?)[^\"]*$")
_DESCRIPTOR: Final = re.compile(r"(?P<fd>\d+)<(?P<what>TCP(?:v6)?:\[[^]]*\]|[^>]*)>")
_STRING: Final = re.compile(r'"((?:[^"\\]|\\.)*)"(\.\.\.)?')
_ESCAPE: Final = re.compile(rb"\\([0-7]{1,3}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_NAMED: Final = dict(zip(b"ntrvfab", b"\n\t\r\v\f\a\b", strict=True))
_UNFINISHED: Final = " <unfinished ...>"


class BadLogError(ValueError):
    """The log cannot be read as one: then it proves nothing."""


@dataclass(slots=True)
class Call:
    """One system call of one thread.

    Attributes:
        task: The thread.
        name: Of the call.
        what: What its first argument, a descriptor, stands for.
        data: The bytes it was given.
        entered: Place in the log where the kernel was entered.
        left: Place where it was left; None if it never was.
        result: What it returned; None if it did not.
    """

    task: int
    name: str
    what: str
    data: bytes
    entered: int
    left: int | None = None
    result: int | None = None


@dataclass(slots=True)
class Request:
    """One HTTP request as it left.

    Attributes:
        head: Up to the empty line.
        body: As much as left.
        declared_bytes: Its Content-Length.
        last: The call that carried its last byte; None if that never left.
    """

    head: str
    body: bytearray
    declared_bytes: int
    last: Call | None = None

    @property
    def is_message(self) -> bool:
        """Whether it puts a document into a chart."""
        return MESSAGE.match(self.head) is not None


@dataclass(frozen=True, slots=True)
class Findings:
    """What a log shows.

    Attributes:
        messages: Messages whose last byte left.
        wrong: Those that left too early, and why.
    """

    messages: int
    wrong: list[str] = field(default_factory=list)


def parse(lines: Iterable[str]) -> list[Call]:
    """The calls of a log, in the order in which the kernel was entered.

    Raises:
        BadLogError: A string was cut, or a call resumes that never began.
    """
    calls: list[Call] = []
    open_calls: dict[int, tuple[str, str, int]] = {}
    for place, line in enumerate(lines):
        match = _LINE.match(line.rstrip("\n"))
        if match is None:
            raise BadLogError(f"line {place + 1} is no line of `strace -f -ttt`")
        task, rest = int(match["task"]), match["rest"]
        if rest.startswith(("+++", "---", "strace:")):
            continue
        entered, left = place, place
        resumed = _RESUMED.match(rest)
        if resumed is not None:
            name, begun, entered = open_calls.pop(task, ("", "", -1))
            if name != resumed["name"]:
                raise BadLogError(f"line {place + 1} resumes a call that did not begin")
            rest = begun + resumed["rest"]
        elif rest.endswith(_UNFINISHED):
            called = _CALLED.match(rest)
            if called is not None:
                open_calls[task] = (called["name"], rest.removesuffix(_UNFINISHED), place)
            continue
        calls.append(_call(task, rest, entered, left))
    calls += [_call(task, begun, entered, None) for task, (_, begun, entered) in open_calls.items()]
    return sorted(calls, key=lambda call: call.entered)


def _call(task: int, text: str, entered: int, left: int | None) -> Call:
    called = _CALLED.match(text)
    if called is None:
        raise BadLogError(f"line {entered + 1} holds no call")
    descriptor = _DESCRIPTOR.match(called["rest"])
    pieces = []
    for string, is_cut in _STRING.findall(called["rest"]):
        if is_cut:
            raise BadLogError(f"line {entered + 1} has a string that was cut: strace needs a larger -s")
        pieces.append(unescaped(string))
    result = None if left is None else _RESULT.search(text)
    number = None if result is None or result["result"] == "?" else int(result["result"])
    return Call(
        task=task,
        name=called["name"],
        what="" if descriptor is None else f"{descriptor['fd']} {descriptor['what']}",
        data=b"".join(pieces),
        entered=entered,
        left=left if number is not None else None,
        result=number,
    )


def unescaped(string: str) -> bytes:
    """The bytes that strace wrote as a C string."""

    def byte(match: re.Match[bytes]) -> bytes:
        code = match[1]
        if code[:1] in b"01234567":
            return bytes([int(code, 8)])
        if code[:1] == b"x":
            return bytes([int(code[1:], 16)])
        return bytes([_NAMED.get(code[0], code[0])])

    return _ESCAPE.sub(byte, string.encode("latin-1"))


def requests(calls: Sequence[Call]) -> list[Request]:
    """The HTTP requests that left, connection by connection."""
    streams: dict[str, list[tuple[bytes, Call]]] = {}
    for call in calls:
        if call.name in SENDS and ":[" in call.what:
            # A call that did not return may have sent all that it was given.
            count = len(call.data) if call.result is None else max(0, call.result)
            streams.setdefault(call.what, []).append((call.data[:count], call))
    return [request for pieces in streams.values() for request in _requests(pieces)]


def _requests(pieces: Sequence[tuple[bytes, Call]]) -> Iterator[Request]:
    head = bytearray()
    request: Request | None = None
    for data, call in pieces:
        rest = data
        while rest:
            if request is None:
                head += rest
                end = head.find(b"\r\n\r\n")
                if end < 0:
                    break
                rest = bytes(head[end + 4 :])
                request = _begun(bytes(head[: end + 4]))
                head.clear()
            missing = request.declared_bytes - len(request.body)
            request.body += rest[:missing]
            rest = rest[missing:]
            if len(request.body) == request.declared_bytes:
                request.last = call
                yield request
                request = None
    if request is not None:
        yield request


def _begun(head: bytes) -> Request:
    text = head.decode("latin-1")
    length = re.search(r"\r\ncontent-length: *(\d+)", text, re.IGNORECASE)
    return Request(text, bytearray(), int(length[1]) if length else 0)


def check(
    calls: Sequence[Call],
    *,
    files: Iterable[bytes],
    intent_of: Callable[[str], bytes],
    log: str = "ledger.db-wal",
) -> Findings:
    """Hold every complete message against the intents that were on the disk before it.

    Args:
        calls: Of one process, from before its first request.
        files: What was embedded in messages: a message's hash is taken without it.
        intent_of: The bytes in the ledger's log that are the intent of a message, from the sha256
            (hex) of the message with its hole empty.
        log: How the name of the ledger's log ends.
    """
    on_log = [call for call in calls if call.what.endswith(log)]
    writes = [call for call in on_log if call.name == "pwrite64"]
    syncs = [call for call in on_log if call.name in SYNCS and call.result == 0]
    encoded = [base64.b64encode(content) for content in files]
    found = Findings(0)
    complete = [each for each in requests(calls) if each.is_message and each.last is not None]
    for number, request in enumerate(complete, 1):
        around = bytes(request.body)
        for text in encoded:
            around = around.replace(text, b"")
        intent = intent_of(hashlib.sha256(around).hexdigest())
        reason = _too_early(request.last, [call for call in writes if intent in call.data], syncs)
        if reason is not None:
            found.wrong.append(f"message {number}: {reason}")
    return Findings(len(complete), found.wrong)


def _too_early(last: Call | None, intents: Sequence[Call], syncs: Sequence[Call]) -> str | None:
    """Why the last byte left too early; None when it did not."""
    assert last is not None
    if not intents:
        return "its intent was never written"
    written = [call.left for call in intents if call.left is not None and call.left < last.entered]
    if not written:
        return "its last byte left before its intent was written"
    first = min(written)
    covering = [sync for sync in syncs if sync.entered > first]
    if not covering:
        return "its intent was written, and the disk was never asked to keep it"
    if not any(sync.left is not None and sync.left < last.entered for sync in covering):
        return "its last byte left before the disk had confirmed its intent"
    return None
