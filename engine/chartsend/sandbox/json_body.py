"""A JSON request body, read as it comes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from .json_stream import BadJsonError, JsonReader

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .exchange import Exchange
    from .json_tree import JsonValue
    from .state import Sandbox


@asynccontextmanager
async def json_body(sandbox: Sandbox, exchange: Exchange) -> AsyncGenerator[JsonValue]:
    """Read the body; what the block did not take of its long strings is deleted afterwards.

    Raises:
        BadJsonError: It is not JSON.
        BrokenBodyError: It did not come whole.
        TooLargeError: It is longer than the body's limit.
    """
    with JsonReader(sandbox.store.new_file) as reader:
        error: BadJsonError | None = None
        async for piece in exchange.body.pieces():
            if error is None:
                try:
                    reader.feed(piece)
                except BadJsonError as exc:
                    error = exc  # the rest is read all the same, so that the answer is heard
        if error is not None:
            raise error
        yield reader.finish()
