"""What a test may script. A fault says where it strikes, how often, and what then happens.

`POST /_sandbox/faults` takes one object or a list of them and gives `{"ids": [...]}`; `GET` shows them
with how often each was seen and fired; `DELETE` clears all of them and lets every stalled connection
go on. A fault object has, besides `do` and what that kind needs:

* `on`: `blob`, `message`, `token`, `search`, `any` (all four), `connect` (a connection is accepted),
  or `now` (at once, without a request). Left out: `now` for what is about the whole server
  (`expire_tokens`, `token_lifetime`, `clock_skew`, `refuse`), else `any`.
* `where`: only requests with this `api` (`fhir`, `data-model`), `method` (`upload`, `embed`), `model`
  and `document_id`, spelled as in the events. What only the body can tell (all of them on a message
  but `api`, and `model` on FHIR) is possible only for faults that strike after the body.
* `skip` matching requests first; then fire on each one, or on each N-th (`every`); `times` in all
  (1 if left out, null for ever).

The kinds of `do`, with their defaults:

* `status`: `status`, `headers` {}, `body` "", `when` "after", `after_bytes` 0, `then` "keep-alive",
  `commit` false. A well-formed answer. In `headers` and `body`, `{reference}` stands for the URL that
  the upload got (with `commit`). `when` is `before` (as soon as the head was read), `during` (after
  `after_bytes` of the body) or `after` the body. `then`: `keep-alive` and `drain` (read the rest, keep
  the connection), `close` (FIN, then read and drop the rest), `reset` (RST), `stall` (never read more,
  for `seconds`), `go-on` (handle the request as if nothing had been sent; for interim answers).
  With `commit` and `when` `after` the request is done, logged as an event, and then answered so.
* `raw`: `bytes` (Latin-1, sent as they are), `piece_bytes` and `pause_s` to send them in pieces; the
  rest as `status`, but `then` is `close`.
* `close`, `reset`: at `at_byte` 0 of the body; null means after its last one. Nothing is committed.
* `stop_reading`: after `after_bytes` 0, for `seconds` (null: for ever).
* `slow_read`: `bytes_per_s`.
* `delay`: `seconds`, `when` "after": done and logged, but answered late. "before": before the body.
* `swallow`: done and logged, then no answer but `then` "reset", "close" or "silence" (of `seconds`,
  null: for ever).
* `hang_up`: done, logged and answered as ever; then the connection is closed without a word of it.
* `expire_tokens`: every token issued so far is void. On a request, `when` "before" lets that request
  itself be refused, "after" the next one.
* `token_lifetime`: `seconds` for tokens issued from now on. `clock_skew`: the sandbox's clock (token
  checks, `Date`) is `seconds` ahead.
* `refuse`: the ports are closed for `seconds`, then the same ones listen again; with `drop` the open
  connections are reset as well.
* `silence` (only `on` "connect"): the connection is accepted and never read, for `seconds`.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import anyio
import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

On = Literal["blob", "message", "token", "search", "any", "connect", "now"]
When = Literal["before", "during", "after"]
Then = Literal["keep-alive", "drain", "close", "reset", "stall", "go-on"]

_FHIR_MODELS: Final = {"document-reference", "diagnostic-report", "observation"}


class BadFaultError(ValueError):
    """A fault that cannot be: it asks for what nobody can know or do at that time."""


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a request when faults are looked up."""

    kind: str
    api: str | None = None
    method: str | None = None
    model: str | None = None
    document_id: str | None = None


class Where(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests a fault means; None means all."""

    api: Literal["fhir", "data-model"] | None = None
    method: Literal["upload", "embed"] | None = None
    model: str | None = None
    document_id: str | None = None

    def matches(self, subject: Subject) -> bool:
        """Tell whether the subject is meant."""
        return all(
            getattr(self, field) in {None, getattr(subject, field)}
            for field in ("api", "method", "model", "document_id")
        )

    def needs_body(self, on: str) -> bool:
        """Tell whether only the body of a request can say what is asked for."""
        is_model_in_body = self.model is not None and self.model not in _FHIR_MODELS
        is_method_in_body = self.method is not None and on != "blob"
        return self.document_id is not None or is_model_in_body or is_method_in_body


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, tag_field="do"):
    """What all faults share; see the module's text."""

    default_on: ClassVar[On] = "any"
    on: On | None = None
    where: Where = Where()
    skip: int = 0
    times: int | None = 1
    every: int = 1

    @property
    def place(self) -> On:
        """Where the fault strikes."""
        return self.on or self.default_on

    @property
    def is_late(self) -> bool:
        """Tell whether the fault strikes when the body was read and the message is known."""
        return False

    def check(self) -> None:
        """Refuse what cannot be.

        Raises:
            BadFaultError: The fault asks for what nobody can know or do at that time.
        """
        if self.every < 1 or self.skip < 0:
            raise BadFaultError("`every` is at least 1 and `skip` at least 0")
        if not self.is_late and self.where.needs_body(self.place):
            raise BadFaultError("`where` asks for what is known only when the body was read")
        if self.place in {"now", "connect"} and self.where != Where():
            raise BadFaultError(f"a fault on {self.place!r} has no request for `where`")
        if self.place not in self._places():
            raise BadFaultError(f"this kind of fault cannot be on {self.place!r}")

    def _places(self) -> set[str]:
        return {"blob", "message", "token", "search", "any"}


class Answering(Fault, kw_only=True):
    """A fault that answers in place of the sandbox."""

    when: When = "after"
    after_bytes: int = 0
    then: Then = "keep-alive"
    commit: bool = False
    seconds: float | None = None
    piece_bytes: int | None = None
    pause_s: float = 0.0

    @property
    def is_late(self) -> bool:
        """Tell whether the answer comes after the body."""
        return self.when == "after"

    @property
    def strikes_at_byte(self) -> int:
        """At which byte of the body an early answer is given."""
        return self.after_bytes if self.when == "during" else 0

    def check(self) -> None:
        """Refuse also to commit what was not read."""
        super().check()
        if self.commit and not self.is_late:
            raise BadFaultError("`commit` is possible only when the whole body was read")


class Status(Answering, tag="status", kw_only=True):
    """A well-formed answer."""

    status: int
    headers: dict[str, str] = {}
    body: str = ""


class Raw(Answering, tag="raw", kw_only=True):
    """Any bytes as an answer."""

    bytes: str
    then: Then = "close"


class _Cut(Fault, kw_only=True):
    at_byte: int | None = 0

    @property
    def is_late(self) -> bool:
        return self.at_byte is None

    def _places(self) -> set[str]:
        return super()._places() | {"connect"}


class Close(_Cut, tag="close", kw_only=True):
    """An orderly end of the connection without an answer."""


class Reset(_Cut, tag="reset", kw_only=True):
    """An RST without an answer."""


class StopReading(Fault, tag="stop_reading", kw_only=True):
    """Nothing more of the body is read for a time."""

    after_bytes: int = 0
    seconds: float | None = None


class SlowRead(Fault, tag="slow_read", kw_only=True):
    """The body is read at a given pace."""

    bytes_per_s: float


class Delay(Fault, tag="delay", kw_only=True):
    """The answer comes late."""

    seconds: float
    when: Literal["before", "after"] = "after"

    @property
    def is_late(self) -> bool:
        """Tell whether the wait is after the commit."""
        return self.when == "after"


class Swallow(Fault, tag="swallow", kw_only=True):
    """The request is done and its answer lost."""

    then: Literal["reset", "close", "silence"] = "reset"
    seconds: float | None = None

    @property
    def is_late(self) -> bool:
        """Always: the request must have been done."""
        return True


class HangUp(Fault, tag="hang_up", kw_only=True):
    """The connection ends after a good answer that did not announce it."""

    @property
    def is_late(self) -> bool:
        """Always: the request is answered first."""
        return True


class _Global(Fault, kw_only=True):
    default_on: ClassVar[On] = "now"

    def _places(self) -> set[str]:
        return super()._places() | {"now"}


class ExpireTokens(_Global, tag="expire_tokens", kw_only=True):
    """Every token issued so far is void."""

    when: Literal["before", "after"] = "before"

    @property
    def is_late(self) -> bool:
        """Tell whether the request at hand still passes."""
        return self.when == "after"


class TokenLifetime(_Global, tag="token_lifetime", kw_only=True):
    """New tokens live this long."""

    seconds: float


class ClockSkew(_Global, tag="clock_skew", kw_only=True):
    """The sandbox's clock is ahead."""

    seconds: float


class Refuse(_Global, tag="refuse", kw_only=True):
    """The ports are closed for a time."""

    seconds: float
    drop: bool = False


class Silence(Fault, tag="silence", kw_only=True):
    """A connection is accepted and never read."""

    default_on: ClassVar[On] = "connect"
    seconds: float | None = None

    def _places(self) -> set[str]:
        return {"connect"}


AnyFault = (
    Status
    | Raw
    | Close
    | Reset
    | StopReading
    | SlowRead
    | Delay
    | Swallow
    | HangUp
    | ExpireTokens
    | TokenLifetime
    | ClockSkew
    | Refuse
    | Silence
)


def parse(body: bytes) -> list[AnyFault]:
    """Read one fault or a list of them.

    Raises:
        BadFaultError: Not JSON, an unknown kind or field, or a fault that cannot be.
    """
    try:
        if body.lstrip().startswith(b"["):
            faults = msgspec.json.decode(body, type=list[AnyFault])
        else:
            faults = [msgspec.json.decode(body, type=AnyFault)]
    except msgspec.DecodeError as exc:
        raise BadFaultError(str(exc)) from None
    for fault in faults:
        fault.check()
    return faults


class _Rule:
    """One fault with its own count."""

    def __init__(self, number: int, fault: AnyFault) -> None:
        self.number = number
        self.fault = fault
        self.seen = 0
        self.fired = 0

    def strikes(self) -> bool:
        """Count one matching request and tell whether the fault fires on it."""
        self.seen += 1
        fault = self.fault
        beyond = self.seen - fault.skip
        if beyond <= 0 or beyond % fault.every or self.fired == fault.times:
            return False
        self.fired += 1
        return True


class Script:
    """The faults of one sandbox, in the order in which they were given."""

    def __init__(self) -> None:
        self._rules: list[_Rule] = []
        self._numbers = count(1)
        self.cleared = anyio.Event()
        """Set when the script is cleared; whoever stalls because of a fault then goes on."""

    def add(self, fault: AnyFault) -> int:
        """Append a fault and give its id."""
        rule = _Rule(next(self._numbers), fault)
        self._rules.append(rule)
        return rule.number

    def clear(self) -> None:
        """Forget all faults."""
        self._rules.clear()
        self.cleared.set()
        self.cleared = anyio.Event()

    def describe(self) -> list[dict[str, object]]:
        """Give the faults with their counts, for showing."""
        return [
            {"id": r.number, "seen": r.seen, "fired": r.fired, "fault": msgspec.to_builtins(r.fault)}
            for r in self._rules
        ]

    def on_connect(self) -> list[AnyFault]:
        """Give the faults that strike a new connection."""
        return [r.fault for r in self._rules if r.fault.place == "connect" and r.strikes()]

    def on_head(self, subject: Subject) -> list[AnyFault]:
        """Give the faults that strike a request whose head was read."""
        return list(self._struck(subject, is_late=False))

    def on_body(self, subject: Subject) -> list[AnyFault]:
        """Give the faults that strike a request whose body was read and understood."""
        return list(self._struck(subject, is_late=True))

    def _struck(self, subject: Subject, *, is_late: bool) -> Iterator[AnyFault]:
        for rule in self._meant(subject):
            if rule.fault.is_late == is_late and rule.strikes():
                yield rule.fault

    def _meant(self, subject: Subject) -> Iterable[_Rule]:
        return (
            rule
            for rule in self._rules
            if rule.fault.place in {"any", subject.kind} and rule.fault.where.matches(subject)
        )
