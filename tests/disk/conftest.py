"""Folders as they are met."""

from __future__ import annotations

import os

import pytest

PDF = b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n"


@pytest.fixture
def scans(tmp_path):
    """A folder with three files to send and everything that is left out."""
    folder = tmp_path / "scans"
    (folder / "sub").mkdir(parents=True)
    (folder / "consent.pdf").write_bytes(PDF)
    (folder / "large.pdf").write_bytes(PDF + os.urandom(300_000))
    (folder / "sub" / "other.pdf").write_bytes(PDF + b"other")
    (folder / ".hidden.pdf").write_bytes(PDF)
    (folder / ".cache").mkdir()
    (folder / ".cache" / "x.pdf").write_bytes(PDF)
    (folder / "link.pdf").symlink_to("consent.pdf")
    (folder / "sub" / "folder").symlink_to("..")
    os.mkfifo(folder / "pipe")
    return folder
