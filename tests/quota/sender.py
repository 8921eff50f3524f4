"""A process that sends small made-up documents through a real engine, as fast as the quota lets it.

Prints one line of JSON when it is done: what it sent, what it was refused, how long it waited.
"""

import argparse
import json
from collections import Counter

import anyio

from chartsend import Document, Engine, Patient, Provider, Settings


def documents(first, count):
    for number in range(first, first + count):
        yield Document.from_bytes(
            b"%PDF-1.4\n" + str(number).encode(),
            document_id=f"quota-{number}",
            title="scan.pdf",
            type="Consent Form",
            patient=Patient.identified("0000991234", "MR"),
            provider=Provider(id="9999999995", id_type="NPI"),
        )


async def main(asked):
    settings = Settings.load(
        asked.profile, quota=asked.quota, method=asked.method, concurrency=asked.concurrency
    )
    (to,) = list(settings.destinations)[:1]
    statuses = Counter()
    async with Engine(settings, priority=asked.priority) as engine:
        made = documents(asked.first, asked.documents)
        async with engine.send_many(made, to=to, deadline_s=None) as receipts:
            async for receipt in receipts:
                statuses[receipt.status] += 1
        state = engine._open.parts.http._quota.state()
        requests = sum(engine._open.parts.http.requests.values())
    print(json.dumps({"statuses": statuses, "requests": requests, "held_s": state.held_s}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("profile")
    parser.add_argument("--quota", required=True)
    parser.add_argument("--documents", type=int, required=True)
    parser.add_argument("--first", type=int, default=0, help="number of the first document")
    parser.add_argument("--method", default="embed")
    parser.add_argument("--priority", default="realtime")
    parser.add_argument("--concurrency", type=int, default=16)
    anyio.run(main, parser.parse_args())
