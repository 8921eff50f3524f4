"""An engine with workers, run as a program: `program.py PROFILE WORKERS HOW FILE...`.

It prints one JSON line when workers are ready (their process ids), and one for each send that ends.
`HOW` is `drain` (a signal is noted; what is under way ends), `go on` (nothing handles it), or `forget`
(the engine is closed while sends are under way).
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys

from chartsend import Document, Engine, Order, Patient, Provider, Settings, Timeouts
from chartsend.errors import TransferError

FIELDS = {
    "type": "Consent Form",
    "patient": Patient.identified("0000991234", "MR", first_name="Marla", last_name="Quillfeather"),
    "provider": Provider(id="9999999995", id_type="NPI"),
    "order": Order(id="O1", code="PDF_REPORT"),
}


def say(**what: object) -> None:
    print(json.dumps(what), flush=True)


async def send(engine: Engine, path: str, number: int, to: str) -> None:
    document = Document.from_path(path, document_id=f"doc-{number}", **FIELDS)
    try:
        receipt = await engine.send(document, to=to, method="embed")
        say(id=receipt.document_id, status=receipt.status)
    except TransferError as error:
        say(id=error.document_id, status=error.receipt.status, code=error.code)


async def main(profile: str, workers: str, how: str, to: str, *paths: str) -> None:
    stop = asyncio.Event()
    if how == "drain":
        for each in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(each, stop.set)
    settings = Settings.load(profile=profile, timeouts=Timeouts())
    tasks = []
    async with Engine(settings, workers=int(workers)) as engine:
        say(pids=engine._open.crew.pids)
        tasks = [
            asyncio.ensure_future(send(engine, path, number, to)) for number, path in enumerate(paths)
        ]
        if how == "forget":
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        else:
            await asyncio.wait(tasks)
        say(alive=engine._open.crew.pids, stopped=stop.is_set())
    await asyncio.gather(*tasks)
    say(closed=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
