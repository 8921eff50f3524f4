"""A batch of small real files for a sandbox: files, manifest, and what must come of each row.

The one rule: no two files have the same bytes and no two batches the same document, so that every
event in the sandbox's log belongs to one row.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import judge
from job import Job

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from chartsend.testing.sandbox import SandboxProcess

DESCRIBED: Final = {
    "type": "Consent Form",
    "patient": {
        "identifiers": [{"id": "0000991234", "type": "MR"}],
        "first_name": "Marla",
        "last_name": "Quillfeather",
    },
    "provider": {"id": "9999999995", "id_type": "NPI", "last_name": "Oduya"},
    "order": {"id": "ORD-1", "code": "PDF_REPORT", "description": "Report"},
}
"""Fields with which a document fits every model; nobody's data."""
MODELS: Final = ("document-reference", "notes", "diagnostic-report", "media", "results")
SEVERAL_CHUNKS_BYTES: Final = 230_000
LARGE: Final = frozenset({7, 8})
"""Of every twenty rows, one upload and one embedded file that leave in several pieces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A batch on the disk.

    Attributes:
        name: Unique; its documents' ids begin with it.
        folder: Of files and manifest.
        manifest: The manifest.
        ledger: Where its ledger will be.
        rows: What the judge has to know.
        files: Contents of the files that are sent.
    """

    name: str
    folder: Path
    manifest: Path
    ledger: Path
    rows: tuple[judge.Row, ...]
    files: tuple[bytes, ...]

    def job(self, sandbox: SandboxProcess, **more: object) -> Job:
        """A life's job for this batch."""
        return Job(
            manifest=str(self.manifest),
            profile=str(sandbox.info.profile),
            state=str(self.folder / "state"),
            to=sandbox.info.destination,
            stderr=str(self.folder / "stderr.txt"),
            **more,  # type: ignore[arg-type]
        )


def make(folder: Path, name: str, draw: random.Random, *, rows: int, bad: bool = False) -> Scene:
    """Write a batch.

    Args:
        folder: A new one of its own.
        name: Unique among all batches of the sandbox.
        draw: Decides sizes and routes.
        rows: Rows that can be sent: routes take turns, uploads and embedded ones.
        bad: Whether there are also a missing file and a document that stands twice.
    """
    folder.mkdir(mode=0o700)
    lines, known, files = [], [], []
    for number in range(1, rows + 1):
        size = SEVERAL_CHUNKS_BYTES if number % 20 in LARGE else draw.randrange(60, 4000)
        content = b"%PDF-1.4\n" + draw.randbytes(size)
        path = folder / f"{number}.pdf"
        path.write_bytes(content)
        method = "upload" if number % 2 else "embed"
        line = {
            "path": path.name,
            "document_id": f"{name}-{number}",
            "model": MODELS[number // 2 % len(MODELS)],
            "method": method,
            **DESCRIBED,
        }
        lines.append(line)
        files.append(content)
        known.append(
            judge.Row(
                number=number,
                document_id=line["document_id"],
                sha256=hashlib.sha256(content).hexdigest(),
                size_bytes=len(content),
                method=method,
            )
        )
    if bad:
        lines += [lines[0] | {"path": "none.pdf", "document_id": f"{name}-none"}, lines[1]]
        for number, line in enumerate(lines[-2:], rows + 1):
            known.append(
                judge.Row(
                    number=number,
                    document_id=line["document_id"],
                    sha256="",
                    size_bytes=0,
                    method=line["method"],
                    is_bad=True,
                )
            )
    manifest = folder / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return Scene(
        name=name,
        folder=folder,
        manifest=manifest,
        ledger=folder / "manifest.jsonl.chartsend",
        rows=tuple(known),
        files=tuple(files),
    )
