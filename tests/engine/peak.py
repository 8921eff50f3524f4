"""Run as a process of its own: send many large files at once and print the peak of resident memory.

    python peak.py PROFILE DESTINATION METHOD COUNT PATH

Prints one line of JSON: the receipts' digests and the peak (VmHWM) in bytes.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from chartsend import Document, Engine, Patient, Settings


def peak_bytes() -> int:
    """The process's high-water mark of resident memory."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not tell VmHWM")


async def main(profile: str, to: str, method: str, count: int, path: str) -> None:
    settings = Settings.load(profile=profile, concurrency=count)
    documents = (
        Document.from_path(
            path,
            document_id=str(number),
            type="Scan",
            patient=Patient.identified("0000991234", "MR", last_name="Quillfeather"),
        )
        for number in range(count)
    )
    digests: dict[str, str | None] = {}
    idle = peak_bytes()
    async with Engine(settings) as engine:
        async with engine.send_many(documents, to=to, method=method) as receipts:
            async for receipt in receipts:
                if receipt.error is not None:
                    raise SystemExit(receipt.error.message)
                digests[receipt.document_id] = receipt.sha256
    print(json.dumps({"peak_bytes": peak_bytes(), "idle_bytes": idle, "digests": digests}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4], int(sys.argv[4]), sys.argv[5]))
