"""A process of its own that runs one batch under a quota; killed and started again by the test."""

from __future__ import annotations

import sys

import anyio

from chartsend import Settings
from chartsend.batch.batch import Batch
from chartsend.batch.options import BatchOptions


async def main(profile: str, to: str, manifest: str, quota: str, share: str) -> None:
    settings = Settings.load(profile, quota=quota, quota_backfill_share=float(share))
    async with Batch.open(manifest, settings, BatchOptions(to=to)) as batch:
        await batch.plan()
        async with (await batch.runner()).run() as settled:
            async for _ in settled:
                pass


if __name__ == "__main__":
    anyio.run(main, *sys.argv[1:])
