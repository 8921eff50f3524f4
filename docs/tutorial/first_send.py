"""The program of the tutorial: one engine, three documents, three receipts."""
# ruff: noqa: T201  # it prints for people

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from chartsend import Document, Engine, Patient, Settings, TransferError

if TYPE_CHECKING:
    from collections.abc import Iterator

MARLA = Patient.identified("0000991234", "MR", first_name="Marla", last_name="Quillfeather")


def documents() -> Iterator[Document]:
    """What to send; an iterable of any length would do."""
    yield Document.from_path("sample/consent-form.pdf", type="Consent Form", patient=MARLA)
    yield Document.from_path("sample/wound-left-heel.jpg", type="Wound Photo", patient=MARLA)
    yield Document.from_path("sample/is-not-there.pdf", type="Wound Photo", patient=MARLA)


async def main(profile: str) -> None:
    """Send them one by one, then all at once."""
    async with Engine(Settings.load(profile)) as engine:
        for document in documents():
            try:
                receipt = await engine.send(document, to="memorial-ehr")
            except TransferError as error:
                print("not accepted:", error.code, "-", error.message)
            else:
                print("accepted:", receipt.bytes, "bytes, document", receipt.document_id)

        async with engine.send_many(documents(), to="memorial-ehr") as receipts:
            async for receipt in receipts:
                print(receipt.status, receipt.source)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
