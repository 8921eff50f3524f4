"""The checks of `doctor` that need no network: versions, profile, credentials, limits.

The one rule: each check says what it found and, unless all is well, what to do; none stops another.
"""

from __future__ import annotations

import os
import platform
import stat
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from ..auth.keys import read_private_key, read_secret
from ..errors import ConfigError
from ..pool import Pool
from . import descriptors
from .exits import ACCEPTED, USAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..settings import Destination, Settings
    from ..settings.load import Loaded

LIBRARIES: Final = ("aiohttp", "anyio", "msgspec", "PyJWT", "cryptography")
_RECOMMENDED_MODE: Final = 0o077


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found.

    Attributes:
        name: What was checked.
        status: `ok`; `warn` when it works and could be better; `fail` when sending cannot work;
            `skip` when it was not checked.
        text: What was found, and what to do.
        exit_code: What a `fail` makes of the command.
    """

    name: str
    status: Literal["ok", "warn", "fail", "skip"]
    text: str
    exit_code: int = ACCEPTED


def failed(name: str, text: str, exit_code: int = USAGE) -> Check:
    """A check that says that sending cannot work."""
    return Check(name, "fail", text, exit_code)


def local_checks(loaded: Loaded, to: str | None) -> Iterator[Check]:
    """Every check that needs no network, in the order in which things are set up."""
    settings = loaded.settings
    yield _versions()
    yield _profile(loaded)
    yield _environment(settings)
    yield _credentials(settings)
    yield from _destinations(settings, to)
    yield _ca_file(settings)
    yield _open_files(settings)
    yield _slots(settings)
    yield _reads()


def _versions() -> Check:
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    text = f"chartsend {version('chartsend')}, Python {platform.python_version()}, {libraries}"
    return Check("versions", "ok", text)


def _profile(loaded: Loaded) -> Check:
    if loaded.file is None:
        return Check("profile", "warn", "none: everything comes from the environment; see --profile")
    status = loaded.file.stat()
    if status.st_uid not in {os.geteuid(), 0}:
        return Check("profile", "warn", f"{loaded.file} belongs to another user")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return Check("profile", "warn", f"{loaded.file} can be written by others: chmod go-w it")
    is_file = loaded.profile is not None and ("/" in loaded.profile or ".toml" in loaded.profile)
    where = str(loaded.file) if is_file else f"{loaded.profile} in {loaded.file}"
    return Check("profile", "ok", where)


def _environment(settings: Settings) -> Check:
    if settings.environment is None:
        text = "not set; say environment = Development, Staging or Production in the profile"
        return failed("environment", text)
    return Check("environment", "ok", settings.environment)


def _credentials(settings: Settings) -> Check:
    auth = settings.auth
    is_legacy = auth.kind == "legacy"
    needed: dict[str, Any] = (
        {"auth.api_key": auth.api_key}
        if is_legacy
        else {"auth.client_id": auth.client_id, "auth.key_id": auth.key_id}
    )
    missing = [name for name, value in needed.items() if not value]
    if missing:
        return failed("credentials", f"{' and '.join(missing)} missing; `chartsend key new` begins")
    try:
        if is_legacy:
            read_secret(auth)
            return Check("credentials", "ok", "legacy API key (Data Model only; deprecated)")
        read_private_key(auth)
    except ConfigError as exc:
        return failed("credentials", exc.message)
    path = auth.key_file
    if path is not None and Path(path).stat().st_mode & _RECOMMENDED_MODE:
        return Check("credentials", "warn", "the key loads; its group can read it: chmod 600 it")
    return Check("credentials", "ok", f"the private key loads and fits {auth.algorithm}")


def _destinations(settings: Settings, to: str | None) -> Iterator[Check]:
    if to is None and not settings.destinations:
        yield Check("destination", "skip", "the profile has none; `doctor --to NAME` checks one")
        return
    try:
        named = settings.destinations if to is None else {to: settings.destination(to)}
    except ConfigError as exc:
        yield failed("destination", exc.message)
        return
    for name, destination in named.items():
        yield _destination(name, destination, settings, is_known=name in settings.destinations)


def _destination(name: str, destination: Destination, settings: Settings, *, is_known: bool) -> Check:
    key = "slug" if settings.api == "fhir" else "id"
    address = getattr(destination, key)
    if address is None:
        text = f"{name}: {settings.api} needs its {key}: set it in [destinations.{name}]"
        return failed("destination", text)
    if not is_known:
        text = f"{name}: not in the profile, so the name is taken as its {key}"
        return Check("destination", "warn", text)
    return Check("destination", "ok", f"{name}: {key} {address}")


def _ca_file(settings: Settings) -> Check:
    if settings.ca_file is None:
        return Check("certificates", "ok", "the system's certificate authorities")
    if not os.access(settings.ca_file, os.R_OK):
        return failed("certificates", f"ca_file {settings.ca_file} cannot be read")
    return Check("certificates", "ok", f"the system's, and {settings.ca_file}")


def _open_files(settings: Settings) -> Check:
    fitting = descriptors.fit(settings.concurrency)
    if fitting < settings.concurrency:
        text = (
            f"the limit on open files allows {fitting} sends at a time, not"
            f" {settings.concurrency}; raise it with `ulimit -n`"
        )
        return Check("open files", "warn", text)
    return Check("open files", "ok", f"enough for {settings.concurrency} sends at a time")


def _slots(settings: Settings) -> Check:
    pool = Pool.of(settings)
    if pool.slots < settings.concurrency:
        text = f"buffer_bytes allows {pool.slots} sends at a time, not {settings.concurrency}; raise it"
        return Check("memory", "warn", text)
    return Check("memory", "ok", f"buffers within {settings.buffer_bytes:,} bytes")


def _reads() -> Check:
    if hasattr(os, "RWF_NOWAIT"):
        return Check("fast reads", "ok", "cached files are read without a thread (RWF_NOWAIT)")
    return Check("fast reads", "warn", "this system has no RWF_NOWAIT: every read uses a thread")
