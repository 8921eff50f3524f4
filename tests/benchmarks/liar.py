"""A sender that claims what it has not done; run by the tests as a contestant.

The option `says` is how many documents it claims; `sends` is what it really posts.
"""

from __future__ import annotations

from contextlib import contextmanager

import msgspec
from benchmarks.senders import floor_embed, stage


@contextmanager
def sender(job):
    if job.options.get("fails"):
        raise stage.SendError("as it was told")
    files = (job.options.get("instead", job.files[0]),)
    other = msgspec.structs.replace(job, count=int(job.options["sends"]), files=files)
    with floor_embed.sender(other) as send:
        yield send


if __name__ == "__main__":
    stage.play(sender)
