"""Tokens for Redox: kept fresh (`tokens.py`), from signed assertions (`oauth.py`) or an API key.

The one rule: a secret stands in memory and in the one request it is for; never in a repr, a log
line, an error or a file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .tokens import Token, TokenKeeper

if TYPE_CHECKING:
    from ..aio import Lane
    from ..ports import SmallExchange
    from ..settings import Settings

__all__ = ["Token", "TokenKeeper", "token_source"]


def token_source(settings: Settings, exchange: SmallExchange, *, lane: Lane) -> TokenKeeper:
    """The token source that `settings.auth` describes.

    Only what the settings say is checked here. The key or secret is read before the first token
    request, so before anything else goes over the network.

    Args:
        settings: Who we are and where tokens come from.
        exchange: How token requests are made.
        lane: Threads for reading the key file or running the key command.

    Raises:
        ConfigError: A setting that this kind of credentials needs is missing, or two contradict.
    """
    if settings.auth.kind == "legacy":
        from .legacy import LegacyKey  # noqa: PLC0415  # most use OAuth

        fetch = LegacyKey(settings, exchange, lane=lane).fetch
    else:
        from .oauth import SignedAssertion  # noqa: PLC0415  # the other kind is never needed too

        fetch = SignedAssertion(settings, exchange, lane=lane).fetch
    return TokenKeeper(fetch, refresh_margin_s=settings.auth.refresh_margin_s)
