"""chartsend sending to the real sandbox: the engine with the sandbox's own profile.

The one rule: a figure exists only when the sandbox has committed every document, whole.

    python -m benchmarks --against sandbox

`measure` runs this module as a process, which hears a Job and answers with a Sample as the senders do.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from chartsend import Document, Engine, Patient, Provider, Settings

from .contest import ContestError
from .job import Job, Sample
from .senders.stage import SendError, path_of, play_async

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from chartsend.testing import SandboxProcess

FINISHED_WITHIN_S = 60.0
METHODS: dict[str, dict[str, Any]] = {
    "embed": {"api": "fhir", "method": "embed"},
    "raw": {"api": "fhir", "method": "upload"},
    "multipart": {"api": "data-model", "method": "upload", "model": "notes"},
    "embed_notes": {"api": "data-model", "method": "embed", "model": "notes"},
}


@asynccontextmanager
async def sender(job: Job) -> AsyncGenerator[Callable[[], Awaitable[None]]]:
    """Open the engine with the profile in the job's options, and send one small document."""
    settings = Settings.load(
        job.options["profile"], quota="off", hash=job.hashes, concurrency=job.concurrency
    )
    to, how = job.options["to"], METHODS[job.route]
    async with Engine(settings) as engine:
        warm_up = Document.from_bytes(b"%PDF-1.7\nwarm-up", title="w.pdf", **_described("WARM-UP"))
        await engine.send(warm_up, to=to, **how)

        async def send() -> None:
            documents = (
                Document.from_path(path_of(job, number), **_described(f"BENCH-{number:09}"))
                for number in range(job.count)
            )
            async with engine.send_many(documents, to=to, **how) as receipts:
                async for receipt in receipts:
                    if receipt.error is not None:
                        raise SendError(receipt.error.message)

        yield send


def _described(document_id: str) -> dict[str, Any]:
    return {
        "document_id": document_id,
        "type": "Consent Form",
        "patient": Patient.identified("0000991234", "MR", first_name="Marla", last_name="Quillfeather"),
        "provider": Provider(id="9999999995", id_type="NPI", last_name="Oduya"),
    }


def measure(sandbox: SandboxProcess, job: Job) -> Sample:
    """One run in a fresh process, checked against the sandbox's log.

    Raises:
        ContestError: It failed, or the log does not hold what was to be sent.
    """
    seen = max((event["seq"] for event in sandbox.events()), default=0)
    options = {"profile": str(sandbox.info.profile), "to": sandbox.info.destination}
    job = msgspec.structs.replace(job, options=job.options | options)
    with subprocess.Popen(
        [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(msgspec.json.encode(job) + b"\n")
            process.stdin.flush()
            if process.stdout.readline() != b"ready\n":
                raise ContestError("the sender did not get ready")
            process.stdin.write(b"go\n")
            process.stdin.flush()
            line = process.stdout.readline()
            if process.wait(FINISHED_WITHIN_S) or not line:
                raise ContestError(f"the sender left with {process.returncode}")
        finally:
            process.kill()
    sample = msgspec.json.decode(line, type=Sample)
    _check(sandbox, seen, job, sample)
    return sample


def _check(sandbox: SandboxProcess, seen: int, job: Job, sample: Sample) -> None:
    kind: Literal["blob", "message"] = "blob" if job.route in {"raw", "multipart"} else "message"
    sizes = [
        event["bytes"]
        for event in sandbox.events(seen)
        if event["kind"] == kind and event["bytes"] != len(b"%PDF-1.7\nwarm-up")
    ]
    if len(sizes) != job.count or sum(sizes) != sample.raw_bytes:
        raise ContestError(
            f"the sandbox has {len(sizes)} documents of {job.count},"
            f" {sum(sizes)} bytes of {sample.raw_bytes}"
        )


if __name__ == "__main__":
    play_async(sender)
