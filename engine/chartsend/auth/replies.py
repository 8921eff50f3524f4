"""Reading the token server's answers: what is a token, how long does it live, what is no answer.

The one rule: nothing from an answer reaches a header, a log or an error unless it has passed here;
a server's free text never does.
"""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Final, TypeGuard

from ..errors import (
    AuthUnavailableError,
    Phase,
    ProtocolError,
    RateLimitedError,
    ServerUnavailableError,
    UnexpectedRedirectError,
    Verdict,
)
from ..transport.retry import parse_retry_after

if TYPE_CHECKING:
    from ..ports import Reply

SHORTEST_LIFE_S: Final = 30.0
"""What an unreadable, zero or negative lifetime becomes."""

FLOOR_S: Final = 1.0
"""The least that is made of an honest short lifetime; the wire counts whole seconds."""

_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,8192}")
"""Visible ASCII, so that nothing can break out of a header; 8 KiB is what servers take in one."""

_DIGITS: Final = re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})?", re.ASCII)


def check_status(reply: Reply, *, retry_after_cap_s: float) -> None:
    """Return for a 2xx, and for a 4xx that judges the request; raise for what judges nothing.

    Raises:
        UnexpectedRedirectError: 3xx. The credentials are never sent elsewhere.
        RateLimitedError: 429.
        ServerUnavailableError: 408, 425 or 5xx.
        ProtocolError: Any other number.
    """
    status = reply.status
    if 300 <= status < 400:
        raise UnexpectedRedirectError(
            f"the token server answered {status}, a redirect; it is not followed, because the"
            " credentials would go elsewhere. Check token_url and api_url",
            phase=Phase.ANSWERED,
            status=status,
        )
    if status == 429:
        raise RateLimitedError(
            "the token server answered 429: too many requests",
            phase=Phase.ANSWERED,
            status=status,
            retry_after_s=_retry_after_s(reply, retry_after_cap_s),
        )
    if status in {408, 425} or 500 <= status < 600:
        raise ServerUnavailableError(
            f"the token server answered {status}",
            phase=Phase.ANSWERED,
            status=status,
            retry_after_s=_retry_after_s(reply, retry_after_cap_s),
        )
    if not (200 <= status < 300 or 400 <= status < 500):
        raise unusable(reply, "the status has no meaning for a token request")


def _retry_after_s(reply: Reply, cap_s: float) -> float | None:
    value = reply.headers.get("retry-after")
    if value is None:
        return None
    return parse_retry_after(value, date=reply.headers.get("date"), cap_s=cap_s)


def json_object(reply: Reply) -> dict[str, object] | None:
    """The answer's body as a JSON object; None when it is anything else.

    Python's own parser, because it takes a number such as 1e309 (as infinity), for which faster
    ones refuse the whole answer.
    """
    try:
        value: object = json.loads(reply.body.decode())
    except (ValueError, RecursionError):
        return None
    return value if _is_object(value) else None


def _is_object(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)  # JSON has no other keys than strings


def token_text(reply: Reply, answer: dict[str, object], key: str) -> str:
    """The token that stands under `key`.

    Raises:
        ProtocolError: There is none.
        AuthUnavailableError: It holds a character that must never reach a header.
    """
    value = answer.get(key)
    if not isinstance(value, str) or not value:
        raise unusable(reply, f"it has no {key}")
    if _TOKEN.fullmatch(value) is None:
        raise AuthUnavailableError(
            f"the token server's {key} is longer than 8192 characters, or has spaces, control or"
            " non-ASCII characters; it was not used",
            phase=Phase.ANSWERED,
            status=reply.status,
        )
    return value


def life_s(value: object, *, longest_s: float) -> float:
    """A lifetime in seconds that can be worked with, whatever the server said.

    What a server honestly calls short stays short (down to a second): a token used beyond its life
    would be refused. What cannot be read, and 0 and less, becomes 30 s.

    Args:
        value: A number, or a string of digits as some servers send.
        longest_s: More than this is taken for this.
    """
    seconds = _number(value)
    if not seconds > 0:  # true for NaN too
        return SHORTEST_LIFE_S
    return min(max(seconds, FLOOR_S), longest_s)


def _number(value: object) -> float:
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        return float(value)
    except OverflowError:  # an integer beyond 1e308
        return math.inf if value > 0 else -math.inf


def unusable(reply: Reply, why: str) -> ProtocolError:
    """An answer that is no token answer; worth another try."""
    return ProtocolError(
        f"the token server's answer ({reply.status}, {len(reply.body)} bytes) is unusable: {why}",
        verdict=Verdict.RETRY,
        phase=Phase.ANSWERED,
        status=reply.status,
    )
