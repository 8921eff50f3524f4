"""What an answer or a failure means for each operation: one table, as data.

The one rule: a message is repeated only when it is proven that the first one was not applied.
Uploads and queries may be repeated. `docs/reference/verdicts.md` is made from these rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..errors import (
    AuthRejectedError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    OutcomeUnknownError,
    PayloadRejectedError,
    Phase,
    ProtocolError,
    RateLimitedError,
    ServerUnavailableError,
    TransferError,
    UnexpectedRedirectError,
    UnexpectedStatusError,
    UnsupportedMediaError,
    Verdict,
)
from ..ports import Operation

if TYPE_CHECKING:
    from ..ports import Reply

_GIVE_UP, _RETRY, _DOUBT = Verdict.GIVE_UP, Verdict.RETRY, Verdict.IN_DOUBT


@dataclass(frozen=True, slots=True)
class Rule:
    """One row: what a status means.

    Attributes:
        statuses: From and to, both included.
        error: The class raised.
        repeatable: Verdict for uploads and queries.
        message: Verdict for a message whose whole body was sent.
        message_early: Verdict for a message answered before its body was whole.
        advice: What a person should do.
    """

    statuses: tuple[int, int]
    error: type[TransferError]
    repeatable: Verdict
    message: Verdict
    message_early: Verdict
    advice: str


def _rule(
    first: int,
    last: int,
    error: type[TransferError],
    verdicts: tuple[Verdict, Verdict, Verdict],
    advice: str,
) -> Rule:
    return Rule((first, last), error, *verdicts, advice)


_NEVER = (_GIVE_UP, _GIVE_UP, _GIVE_UP)
_SAFE = (_RETRY, _RETRY, _RETRY)
_UNLESS_WHOLE = (_RETRY, _DOUBT, _RETRY)

FORBIDDEN_IN_A_ROW: Final = 5
"""403 may concern one document; so many one after another concern them all."""
RULES: Final[tuple[Rule, ...]] = (
    _rule(300, 399, UnexpectedRedirectError, _NEVER, "redirects are never followed; check api_url"),
    _rule(400, 400, InvalidError, _NEVER, "correct the description and send again"),
    _rule(
        401,
        401,
        AuthRejectedError,
        _SAFE,
        "the token was refused; check the API key and its source",
    ),
    _rule(403, 403, ForbiddenError, _NEVER, "check the account, the environment and the source id"),
    _rule(404, 404, NotFoundError, _NEVER, "check the destination's slug or id and the environment"),
    _rule(408, 408, ServerUnavailableError, _SAFE, "the server did not get the whole request"),
    _rule(
        409,
        409,
        ConflictError,
        (_GIVE_UP, _DOUBT, _GIVE_UP),
        "look for the document before sending again",
    ),
    _rule(412, 412, ConflictError, _NEVER, "several documents match the condition"),
    _rule(
        413,
        413,
        PayloadRejectedError,
        _NEVER,
        "the request is too large for this server: upload it",
    ),
    _rule(415, 415, UnsupportedMediaError, _NEVER, "the server does not take this content type"),
    _rule(422, 422, InvalidError, _NEVER, "correct the description and send again"),
    _rule(425, 425, ServerUnavailableError, _SAFE, "the server asked to try again"),
    _rule(429, 429, RateLimitedError, _SAFE, "the request quota is used up; sending pauses"),
    _rule(400, 499, UnexpectedStatusError, _NEVER, "the server refuses this kind of request"),
    # A message that a 503 refuses with Retry-After was not handled: see `judge`.
    _rule(500, 599, ServerUnavailableError, _UNLESS_WHOLE, "the server failed; try again later"),
    _rule(0, 999, UnexpectedStatusError, _UNLESS_WHOLE, "the status has no meaning here"),
)

MAY_RETRY_BY_SETTING: Final = frozenset({500, 502})


def judge(
    operation: Operation,
    reply: Reply,
    *,
    said: str = "",
    retry_after_s: float | None = None,
    retries_5xx: bool = False,
) -> TransferError | None:
    """The error that an answer means; None for a success that came after the whole body.

    Args:
        operation: What was asked.
        reply: The complete answer.
        said: What the answer says, from allow-listed fields only; may be empty.
        retry_after_s: How long it asks to wait, if it does so in a valid way.
        retries_5xx: Whether the site allows a message to be repeated after a 500 or 502.
    """
    is_message = operation is Operation.MESSAGE
    if 200 <= reply.status <= 299:
        return _early_success(reply, is_message=is_message) if reply.was_early else None
    rule = next(r for r in RULES if r.statuses[0] <= reply.status <= r.statuses[1])
    verdict = rule.repeatable
    if is_message:
        verdict = rule.message if reply.was_whole else rule.message_early
        was_refused = reply.status == 503 and retry_after_s is not None
        if was_refused or (retries_5xx and reply.status in MAY_RETRY_BY_SETTING):
            verdict = _RETRY
    when = " before the whole body was sent" if reply.was_early else ""
    text = f"the server answered {reply.status}{when}" + (f" ({said})" if said else "")
    if verdict is _DOUBT and rule.error is not ConflictError:
        return unknown(text, status=reply.status, phase=Phase.ANSWERED)
    advice = rule.advice
    if rule.error is ForbiddenError and is_page(reply):
        advice = "the page of a firewall: it refuses this file, and others may pass"
    error = rule.error(
        f"{text}; {advice}",
        verdict=verdict,
        phase=Phase.ANSWERED,
        status=reply.status,
        retry_after_s=retry_after_s,
    )
    if isinstance(error, ForbiddenError):
        error.by_firewall = is_page(reply)
    return error


def is_page(reply: Reply) -> bool:
    """Whether the answer is a page for people: something between us and Redox wrote it."""
    return reply.headers.get("content-type", "").lower().startswith("text/html")


def _early_success(reply: Reply, *, is_message: bool) -> TransferError:
    text = f"the server answered {reply.status} before the whole body was sent, which is no success"
    if is_message:
        return unknown(text, status=reply.status, phase=Phase.ANSWERED)
    return ProtocolError(text, verdict=_RETRY, phase=Phase.ANSWERED, status=reply.status)


def unknown(text: str, *, status: int | None = None, phase: Phase) -> OutcomeUnknownError:
    """A message that may have been applied: what happened, and what to do."""
    return OutcomeUnknownError(
        f"{text}; the message may have been taken: look for the document id in the Redox logs before"
        " sending it again",
        status=status,
        phase=phase,
    )


def for_failure(operation: Operation, error: TransferError) -> TransferError:
    """A failure without a complete answer, with the verdict that its phase and operation give.

    Args:
        operation: What was asked.
        error: Its `phase` is set.
    """
    is_whole = error.phase in {Phase.BODY_SENT, Phase.ANSWER_STARTED}
    if operation is Operation.MESSAGE and is_whole:
        doubt = unknown(error.message, status=error.status, phase=error.phase or Phase.BODY_SENT)
        doubt.__cause__ = error
        return doubt
    if isinstance(error, ProtocolError):
        error.verdict = _RETRY
    return error
