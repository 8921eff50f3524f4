"""Fill a folder with sample files: the three that lie beside this script, and a scan of 29 MB.

The scan is drawn, the same every time: a TIFF of 27 pages, A4 at 300 dpi, one bit for each dot.

    python docs/samples/make_samples.py sample
"""

from __future__ import annotations

import hashlib
import shutil
import struct
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SMALL = ("consent-form.pdf", "visit-note.txt", "wound-left-heel.jpg")
SCAN = "scan-27-pages.tif"

PAGES = 27
WIDTH_BYTES = 310  # 2,480 dots
HEIGHT = 3508
DPI = 300
MARGIN_BYTES = 32
LINE_HEIGHT = 60
LETTER_HEIGHT = 34

_SHORT, _LONG, _RATIONAL = 3, 4, 5


def page(number: int) -> bytes:
    """The dots of one page: lines of something that looks like text, in black on white."""
    white = b"\x00" * WIDTH_BYTES  # in PhotometricInterpretation 0, a zero is white
    text_bytes = WIDTH_BYTES - 2 * MARGIN_BYTES
    rows = [white] * HEIGHT
    for top in range(300, HEIGHT - 300, LINE_HEIGHT):
        ink = hashlib.shake_256(f"page {number} line {top}".encode()).digest(text_bytes)
        length = text_bytes - ink[0] // 2
        for row in range(top, top + LETTER_HEIGHT):
            turn = (row - top) // 5
            inked = (ink[turn:] + ink[:turn])[:length]
            rows[row] = white[:MARGIN_BYTES] + inked + white[MARGIN_BYTES + length :]
    return b"".join(rows)


def scan() -> bytes:
    """A TIFF (version 6.0, little-endian) with one strip for each page."""
    out = bytearray(b"II*\x00" + struct.pack("<I", 8))
    for number in range(PAGES):
        start = len(out)
        dots_at = start + 2 + 12 * 12 + 4 + 8
        entries = (
            (254, _LONG, 2),  # one page of several
            (256, _LONG, WIDTH_BYTES * 8),
            (257, _LONG, HEIGHT),
            (258, _SHORT, 1),
            (259, _SHORT, 1),  # not compressed
            (262, _SHORT, 0),
            (273, _LONG, dots_at),
            (277, _SHORT, 1),
            (278, _LONG, HEIGHT),
            (279, _LONG, WIDTH_BYTES * HEIGHT),
            (282, _RATIONAL, dots_at - 8),
            (283, _RATIONAL, dots_at - 8),
        )
        next_page = 0 if number == PAGES - 1 else dots_at + WIDTH_BYTES * HEIGHT
        out += struct.pack("<H", len(entries))
        out += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
        out += struct.pack("<III", next_page, DPI, 1)
        out += page(number)
    return bytes(out)


def main(folder: Path) -> None:
    """Fill `folder`; what is there already and right is left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in SMALL:
        shutil.copyfile(HERE / name, folder / name)
    drawn = scan()
    target = folder / SCAN
    if not target.exists() or target.stat().st_size != len(drawn):
        target.write_bytes(drawn)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "sample"))
