"""So many documents at once, as most asyncio programs do it: tasks that take numbers in turn.

The one rule: the first failure ends the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..job import Job


async def at_once(job: Job, send_one: Callable[[int], Awaitable[None]]) -> None:
    """Call `send_one` for every document of a job, `job.concurrency` at a time."""
    numbers = iter(range(job.count))

    async def work() -> None:
        for number in numbers:
            await send_one(number)

    async with anyio.create_task_group() as tasks:
        for _ in range(min(job.concurrency, job.count)):
            tasks.start_soon(work)
