"""Which file a manifest is, so that a change is noticed while it is read and between two runs.

The one rule: every doubt is a change. A time of change that nobody can set (ctime) counts too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from typing import Self


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What tells one state of a file from another.

    Attributes:
        size_bytes: Its size.
        mtime_ns: When its content was changed, in nanoseconds since 1970, as far as one can trust it.
        ctime_ns: When anything of it was changed; also when another file took its name.
        inode: Which file on the device.
        device: Which device.
    """

    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        """The snapshot that a look at the file gives."""
        return cls(
            size_bytes=status.st_size,
            mtime_ns=status.st_mtime_ns,
            ctime_ns=status.st_ctime_ns,
            inode=status.st_ino,
            device=status.st_dev,
        )
