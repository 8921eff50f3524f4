"""Manifests written to the disk and opened again."""

from __future__ import annotations

import contextlib
import itertools

import pytest

from chartsend.batch.manifest.reading import Manifest


@pytest.fixture(scope="session")
def opened(tmp_path_factory):
    """A function: content, and options of `Manifest.open`, to a context with the open manifest."""
    folder = tmp_path_factory.mktemp("manifests")
    numbers = itertools.count()

    @contextlib.contextmanager
    def open_manifest(content, form="jsonl", **options):
        path = folder / f"{next(numbers)}.{form}"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        try:
            with Manifest.open(path, **options) as manifest:
                yield manifest
        finally:
            path.unlink()

    return open_manifest


@pytest.fixture(scope="session")
def read(opened):
    """A function: content, and options of `Manifest.open`, to the list of its entries."""

    def entries(content, form="jsonl", **options):
        with opened(content, form, **options) as manifest:
            return list(manifest.entries())

    return entries


@pytest.fixture(scope="session")
def told(read):
    """A function: as `read`, to (row number, error's text or None) of each entry."""

    def texts(content, form="jsonl", **options):
        found = read(content, form, **options)
        for entry in found:
            assert (entry.row is None) is (entry.error is not None)
        return [(entry.number, entry.error and entry.error.message) for entry in found]

    return texts
