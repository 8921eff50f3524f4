"""curl with the encoding counted: what a shell script does, as a good one does it.

The one rule: `base64` and `curl` stream through a pipe; nothing is written to disk.

Fair: as many documents at once as chartsend (`xargs -P`); the length is known, so no chunks are
needed; one curl and one connection for each document, which for large ones is nothing. It does not
hash, which favours it.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from . import message
from .stage import SendError, only, path_of, play

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ..job import Job


@contextmanager
def sender(job: Job) -> Generator[Callable[[], None]]:
    """Write the script and what stands around each file, and send one small document."""
    only(job, "embed")
    with tempfile.TemporaryDirectory(prefix="curl-", dir=Path(job.files[0]).parent) as name:
        folder = Path(name)
        warm_up = folder / "w.pdf"
        warm_up.write_bytes(message.WARM_UP)
        script = _script(job, folder)
        first = _arguments(str(warm_up), folder, 0)
        lines = [_arguments(path, folder, n + 1) for n, path in enumerate(dict.fromkeys(job.files))]
        of_path = dict(zip(dict.fromkeys(job.files), lines, strict=True))
        _run(job, script, [first])
        whole = [of_path[path_of(job, number)] for number in range(job.count)]
        yield lambda: _run(job, script, whole)


def _script(job: Job, folder: Path) -> Path:
    """$1 the file, $2 what stands before it, $3 what stands after it, $4 the length of all."""
    headers = {
        **message.HEADERS,
        "Content-Type": message.FHIR_JSON,
        "Expect": "",
        "Transfer-Encoding": "",
    }
    curl = ["curl", "--disable", "--silent", "--show-error", "--fail", "--http1.1", "--noproxy", "*"]
    curl += ["--output", "/dev/null", "--request", "POST", "--upload-file", "-"]
    for key, value in headers.items():
        curl += ["--header", f"{key}: {value}".rstrip() if value else f"{key}:"]
    if job.ca_file is not None:
        curl += ["--cacert", job.ca_file]
    curl.append(job.api_url + message.EMBED_PATH)
    text = (
        "#!/bin/sh\n"
        '{ cat "$2" && base64 --wrap=0 "$1" && cat "$3"; } |'
        f' {shlex.join(curl)} --header "Content-Length: $4"\n'
    )
    path = folder / "send.sh"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o700)
    return path


def _arguments(path: str, folder: Path, number: int) -> bytes:
    size = os.stat(path).st_size  # noqa: PTH116
    prefix, suffix = message.around(path, 0, size)
    before, after = folder / f"{number}.before", folder / f"{number}.after"
    before.write_bytes(prefix)
    after.write_bytes(suffix)
    length = len(prefix) + (size + 2) // 3 * 4 + len(suffix)
    return b"".join(f"{each}\0".encode() for each in (path, before, after, length))


def _run(job: Job, script: Path, documents: list[bytes]) -> None:
    command = ["xargs", "-0", "-n4", f"-P{job.concurrency}", str(script)]
    done = subprocess.run(command, input=b"".join(documents), check=False)
    if done.returncode != 0:
        raise SendError(f"the script ended with {done.returncode}")


if __name__ == "__main__":
    play(sender, spawns=True)
