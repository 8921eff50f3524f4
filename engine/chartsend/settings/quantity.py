"""Sizes and durations as people write them: `200KB`, `64MiB`, `10m`, `1h30m`.

The one rule: a unit means one thing (KB is 1,000 bytes, KiB is 1,024), and what is ambiguous or of
the wrong kind is an error, never a guess.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

from ..errors import ConfigError

# SI and IEC 80000-13; case does not matter because no unit here differs by case only.
_BYTES: Final = {
    "": 1,
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
}
_SECONDS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([a-zA-Z]*)")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?) ?(ms|s|m|h)? ?")


def parse_size(text: str | int) -> int:
    """Bytes of a size such as `200KB`, `64MiB`, `1.5 MB` or `200000`.

    Raises:
        ConfigError: It is not a size, its unit is unknown or ambiguous (`200K`), it is negative,
            or it is not a whole number of bytes.
    """
    if isinstance(text, int) and not isinstance(text, bool):
        if text < 0:
            raise ConfigError("a size is not negative")
        return text
    match = _SIZE.fullmatch(str(text).strip())
    unit = _BYTES.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ConfigError("not a size: write bytes, or a number with KB, MB, GB, KiB, MiB or GiB")
    size_bytes = Decimal(match[1]) * unit
    if size_bytes != int(size_bytes):
        raise ConfigError("not a whole number of bytes")
    return int(size_bytes)


def parse_duration(text: str | float) -> float:
    """Seconds of a duration such as `10m`, `1h30m`, `500ms` or `90`.

    Raises:
        ConfigError: It is not a duration, or its unit is none of ms, s, m and h.
    """
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        return float(text)
    stripped = str(text).strip()
    seconds, at = 0.0, 0
    while at < len(stripped):
        match = _DURATION.match(stripped, at)
        # Only a whole duration may lack its unit: "1h30" could be minutes or seconds.
        if match is None or (match[2] is None and (at or match.end() != len(stripped))):
            break
        seconds += float(match[1]) * _SECONDS[match[2] or ""]
        at = match.end()
    if not stripped or at < len(stripped):
        raise ConfigError("not a duration: write seconds, or a number with ms, s, m or h, such as 10m")
    return seconds


def show_size(size_bytes: int) -> str:
    """A size for people: `182.4 kB`; decimal units, as Redox's limits are."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    size = float(size_bytes)
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"


def show_seconds(seconds: float) -> str:
    """A time for people: `0.42 s`, `12.3 s`, `4 min 05 s`, `2 h 03 min`."""
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
