"""Run as a process of its own: send files and count the page faults that a file costs.

    python faults.py PROFILE DESTINATION PATH

Prints the minor faults per file of a second hundred, when everything is there that is reused.
"""

from __future__ import annotations

import asyncio
import resource
import sys

from chartsend import Document, Engine, Patient, Settings

FILES = 100


async def main(profile: str, to: str, path: str) -> None:
    patient = Patient.identified("0000991234", "MR", last_name="Quillfeather")
    async with Engine(Settings.load(profile=profile, concurrency=8)) as engine:
        faults: list[int] = []
        for half in range(2):
            faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
            documents = (
                Document.from_path(path, document_id=f"{half}-{n}", type="Scan", patient=patient)
                for n in range(FILES)
            )
            async with engine.send_many(documents, to=to, method="embed") as receipts:
                async for receipt in receipts:
                    if receipt.error is not None:
                        raise SystemExit(receipt.error.message)
        print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults[-1]) / FILES)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4]))
