"""curl --parallel, with bodies that were encoded beforehand: the encoding is not counted.

The one rule: one process, a config file, connections kept alive, bodies streamed from disk.

Fair: `upload-file` streams (curl's `data-binary` would hold whole files in memory), `Expect` is
switched off, connections open at once. For raw uploads the files go as they are, and no message
follows: curl cannot put one answer's Location into another request; nor does it hash. What is left out
favours curl.
"""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pybase64

from . import message
from .stage import SendError, only, path_of, play

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ..job import Job


@contextmanager
def sender(job: Job) -> Generator[Callable[[], None]]:
    """Encode the bodies, write the config, and send one small document."""
    only(job, "embed", "raw")
    below = Path(job.files[0]).parent
    with tempfile.TemporaryDirectory(prefix="curl-", dir=below) as name:
        folder = Path(name)
        bodies = {path: body_file(job, path, folder) for path in dict.fromkeys(job.files)}
        warm_up = folder / "w.pdf"
        warm_up.write_bytes(message.WARM_UP)
        run(config(job, [str(body_file(job, str(warm_up), folder))], folder / "warm-up.conf"))
        paths = [str(bodies[path_of(job, number)]) for number in range(job.count)]
        whole = config(job, paths, folder / "run.conf")
        yield lambda: run(whole)


def run(conf: Path) -> None:
    """Run curl with a config.

    Raises:
        SendError: One of its requests failed.
    """
    done = subprocess.run(["curl", "--disable", "--config", str(conf)], check=False)
    if done.returncode != 0:
        raise SendError(f"curl ended with {done.returncode}")


def config(job: Job, bodies: list[str], path: Path) -> Path:
    """Write a config that sends these files, `job.concurrency` at a time."""
    route = message.EMBED_PATH if job.route == "embed" else message.BINARY_PATH
    kind = message.FHIR_JSON if job.route == "embed" else "application/pdf"
    headers = {**message.HEADERS, "Content-Type": kind, "Expect": ""}
    lines = ["parallel", "parallel-immediate", f"parallel-max = {min(300, job.concurrency)}"]
    lines += ["fail-early", "no-progress-meter"]
    each = ["http1.1", "fail", "request = POST", 'output = "/dev/null"', 'noproxy = "*"']
    each += [f'header = "{name}: {value}"'.replace(': "', ':"') for name, value in headers.items()]
    if job.ca_file is not None:
        each.append(f'cacert = "{job.ca_file}"')
    for number, body in enumerate(bodies):
        lines += ["next"] if number else []
        lines += [*each, f'upload-file = "{body}"', f'url = "{job.api_url}{route}"']
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return path


def body_file(job: Job, path: str, folder: Path) -> Path:
    """The file that curl is to send for this one: itself, or its message."""
    if job.route == "raw":
        return Path(path)
    content = Path(path).read_bytes()
    prefix, suffix = message.around(path, 0, len(content))
    body = folder / f"{Path(path).name}.json"
    body.write_bytes(b"".join((prefix, pybase64.b64encode(content), suffix)))
    return body


if __name__ == "__main__":
    play(sender, spawns=True)
