"""pytest fixtures; load them with `pytest_plugins = ["chartsend.testing.fixtures"]`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .sandbox import SandboxProcess

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def sandbox(request: pytest.FixtureRequest) -> Iterator[SandboxProcess]:
    """A sandbox of the test's own, in its own process.

    `@pytest.mark.parametrize("sandbox", [("--account", "free")], indirect=True)` gives it options.
    """
    options: tuple[str, ...] = getattr(request, "param", ())
    with SandboxProcess.start(*options) as process:
        yield process


@pytest.fixture
def sandbox_tls() -> Iterator[SandboxProcess]:
    """The same, speaking TLS; its `ca_file` is what clients must trust."""
    with SandboxProcess.start("--tls") as process:
        yield process
