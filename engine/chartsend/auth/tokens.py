"""Freshness and single flight: one token for everybody, refreshed once however many wait for it.

The one rule: a refresh runs inside one of the callers that wait for it, never in a task of its own.

Theory of operation. Whoever finds no good token and no running refresh *leads*: it awaits `fetch`
itself. Whoever comes meanwhile *follows*: it waits for the refresh's `done` event, or until its own
deadline. A refresh ends in one of three ways, written down before `done` is set:

* `token`: the followers take it, however short its life (so a `min_life_s` that no token can
  satisfy asks once, not for ever);
* `failure`: every follower gets a copy (the sends write their document's id into what they catch),
  and the next call tries anew, except after a GIVE_UP, which is remembered for a while: bad
  credentials stay bad, and a million rows must not make a million token requests;
* neither: the leader was cancelled or its deadline passed, which says nothing about the token. Its
  request ends with it; every follower wakes, the first one leads, the others follow again.

While one leads, whoever can still use the old token takes that: a short outage of the token server
is noticed by one caller, not by all.

Nothing is awaited between looking at the state and changing it, so no lock is needed, and a wake-up
cannot be lost: `done` is set in a `finally`, and wakes everybody. That a leader's cancellation
repeats the request is the price of having no task to leave behind; a token request is harmless.
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import anyio

from ..errors import AuthUnavailableError, DeadlineExceededError, Phase, TransferError, Verdict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..aio import Deadline

REMEMBER_REFUSAL_S: Final = 30.0
"""How long a refusal stands before the credentials are tried again: 2 token requests a minute."""

FRESH_S: Final = 10.0
"""A token this young is good enough for every wish, so that a `min_life_s` beyond what tokens live
costs at most one request in 10 s (of the 333 that Redox's quota allows in that time)."""


ARRIVAL_S: Final = 5.0
"""What a request may take from here until the server looks at its token."""


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token; its value is in no repr.

    Attributes:
        value: What stands behind `Bearer`.
        expires_at: On the monotonic clock that its keeper uses.
    """

    value: str = field(repr=False)
    expires_at: float


class _Refresh:
    """One refresh, and how it ended; neither token nor failure means that it was abandoned."""

    __slots__ = ("done", "failure", "scope", "token")

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.scope = anyio.CancelScope()
        self.token: Token | None = None
        self.failure: TransferError | None = None


class TokenKeeper:
    """Keeps one token fresh; implements `ports.TokenSource`.

    Args:
        fetch: Gets a new token. It ends with DeadlineExceededError when its deadline passes.
        refresh_margin_s: A token with less life than this is refreshed before it is given out.
        clock: Monotonic seconds, the clock of `Token.expires_at`.
    """

    def __init__(
        self,
        fetch: Callable[[Deadline], Awaitable[Token]],
        *,
        refresh_margin_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._margin_s = refresh_margin_s
        self._clock = clock
        self._held: Token | None = None
        self._held_since = -math.inf
        self._refresh: _Refresh | None = None
        self._refusal: TransferError | None = None
        self._refusal_until = -math.inf
        self._is_closed = False

    async def token(self, *, min_life_s: float, deadline: Deadline) -> str:
        """A token that lives at least `min_life_s` more, as far as tokens live that long.

        With a good token at hand it returns without suspending. Cancelled while it follows, it
        leaves the refresh running; cancelled while it leads, it hands over to one who waits.

        Raises:
            AuthRejectedError: The credentials were refused, now or less than 30 s ago.
            AuthUnavailableError: No token for now, or this keeper was closed.
            DeadlineExceededError: `deadline` passed first; verdict RETRY, since nothing was sent.
            TransferError: Another reason for which no token can be had, such as ConfigError.
        """
        return (await self.lease(min_life_s=min_life_s, deadline=deadline)).value

    async def lease(self, *, min_life_s: float, deadline: Deadline) -> Token:
        """As `token`, with the time at which it expires: for one who keeps tokens further out."""
        while True:
            if self._is_closed:
                raise _closed()
            if self._held is not None and self._is_good(self._held, min_life_s):
                return self._held
            self._raise_refusal()
            if deadline.has_passed:
                raise _too_late()
            if self._refresh is None:
                return await self._lead(deadline)
            if self._held is not None and self._serves_meanwhile(self._held, min_life_s):
                return self._held
            if (token := await _follow(self._refresh, deadline)) is not None:
                return token

    def reject(self, token: str) -> None:
        """The server answered 401 to `token`: do not give it out again.

        Only the token held now is dropped: of a hundred sends that were refused with the same
        token, the first drops it and the others find its successor.
        """
        if self._held is not None and self._held.value == token:
            self._held = None

    async def aclose(self) -> None:
        """End a refresh that still runs, and forget the token. Those that wait get an error."""
        self._is_closed = True
        self._held = None
        refresh = self._refresh
        if refresh is not None:
            refresh.scope.cancel("the token keeper was closed")
            await refresh.done.wait()

    def _is_good(self, token: Token, min_life_s: float) -> bool:
        now = self._clock()
        life_s = token.expires_at - now
        if life_s <= 0:
            return False
        lifetime_s = token.expires_at - self._held_since
        is_fresh = now - self._held_since < min(FRESH_S, lifetime_s / 2)
        return is_fresh or life_s >= max(self._margin_s, min_life_s)

    def _serves_meanwhile(self, token: Token, min_life_s: float) -> bool:
        """Whether a token in its last seconds will do while somebody else gets the next one."""
        return token.expires_at - self._clock() >= min_life_s + ARRIVAL_S

    def _raise_refusal(self) -> None:
        if self._refusal is not None and self._clock() < self._refusal_until:
            raise _copy_of(self._refusal)
        self._refusal = None

    async def _lead(self, deadline: Deadline) -> Token:
        refresh = self._refresh = _Refresh()
        try:
            with refresh.scope:
                token = await self._fetch(deadline)
                refresh.token = None if self._is_closed else token
        except DeadlineExceededError:
            raise  # this caller's deadline: the others may have longer ones
        except TransferError as exc:
            refresh.failure = self._remember(exc)
            raise
        except Exception as exc:
            refresh.failure = self._remember(_broken(exc))
            raise
        finally:
            self._refresh = None
            refresh.done.set()
        if refresh.token is None:
            raise _closed()
        self._held, self._held_since = refresh.token, self._clock()
        return refresh.token

    def _remember(self, failure: TransferError) -> TransferError:
        """A copy for the others, made before the leader's send writes into the original."""
        failure = _copy_of(failure)
        if failure.verdict is Verdict.GIVE_UP:
            self._refusal = failure
            self._refusal_until = self._clock() + REMEMBER_REFUSAL_S
        return failure


async def _follow(refresh: _Refresh, deadline: Deadline) -> Token | None:
    """Wait for the end of somebody else's refresh; None when it was abandoned."""
    with anyio.CancelScope(deadline=deadline.at):
        await refresh.done.wait()
    if not refresh.done.is_set():
        raise _too_late()
    if refresh.failure is not None:
        raise _copy_of(refresh.failure)
    return refresh.token


def _copy_of(failure: TransferError) -> TransferError:
    """The same failure for one more caller, without the traceback of the last one."""
    copied = copy.copy(failure)
    copied.__cause__ = failure.__cause__  # copy takes arguments and attributes only
    return copied


def _too_late() -> DeadlineExceededError:
    return DeadlineExceededError(
        "no access token came before the deadline; the log tells what the token server answered",
        phase=Phase.NOT_SENT,
    )


def _closed() -> AuthUnavailableError:
    return AuthUnavailableError("the engine was closed before a token came", phase=Phase.NOT_SENT)


def _broken(exc: Exception) -> AuthUnavailableError:
    """What the followers hear of a defect in `fetch`; the leader raises the original."""
    failure = AuthUnavailableError(
        f"getting a token failed with {type(exc).__name__}; this is a defect, please report it",
        verdict=Verdict.GIVE_UP,
        phase=Phase.NOT_SENT,
    )
    failure.__cause__ = exc
    return failure
