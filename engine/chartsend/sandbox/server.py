"""The life of a sandbox: made, announced, served, and ended within seconds whatever is going on."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import secrets
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult

import anyio

from . import announcement, certificates, dispatch, fault_actions
from .accounts import Account
from .connection import Connection, Gate, Server
from .doors import HOST, Door, Doors
from .events import EventLog
from .faults import Refuse, Script
from .profile import write_profile
from .quota import Quota
from .records import Records
from .state import Sandbox
from .store import EVENTS, PAYLOADS, Store
from .tokens import Clock, Tokens

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from anyio.abc import TaskGroup

    from .options import Options

_log: Final = logging.getLogger("chartsend.sandbox")

LAST_WORDS_S: Final = 3.0
"""How long an orderly end may take; then the process leaves without it. SIGTERM promises 5 s."""


class StartError(RuntimeError):
    """The sandbox cannot start here; the text says why."""


def run(options: Options) -> None:
    """Serve until SIGTERM or SIGINT, or the end of standard input if the options say so.

    Raises:
        StartError: The port is taken, or the store cannot be made.
    """
    try:
        store = Store(options.store)
    except OSError as exc:
        raise StartError(f"the folder for --store cannot be used: {exc.strerror}") from exc
    try:
        anyio.run(_serve, store, options)
    finally:
        store.close()


async def _serve(store: Store, options: Options) -> None:
    context, ca_file = certificates.make_context(store) if options.tls else (None, None)
    try:
        doors_by_face = {"api": Door(options.port, context), "blob": Door(0, context)}
    except OSError as exc:
        raise StartError(f"port {options.port} cannot be used: {exc.strerror}") from exc
    async with anyio.create_task_group() as tasks:
        with _sandbox(store, options, doors_by_face, ca_file, tasks) as (sandbox, doors, profile):
            with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                await doors.open()
                if options.exit_with_stdin:
                    _watch_stdin()
                announcement.announce(sandbox, profile)
                async for _ in signals:
                    break
            _force_the_end(store)
            _keep_quiet()
            doors.close()
            sandbox.gate.reset_all()
            tasks.cancel_scope.cancel()


@contextmanager
def _sandbox(
    store: Store,
    options: Options,
    doors_by_face: dict[str, Door],
    ca_file: Path | None,
    tasks: TaskGroup,
) -> Generator[tuple[Sandbox, Doors, Path]]:
    """Make all parts of a sandbox and close at the end those that hold something."""
    account = Account(options)
    clock = Clock()
    script = Script()
    gate = Gate(lambda connection: _on_connect(script, connection))
    scheme = "https" if options.tls else "http"
    urls = {
        face: SplitResult(scheme, f"{HOST}:{door.port}", "", "", "")
        for face, door in doors_by_face.items()
    }
    records = Records(store.folder / PAYLOADS)
    events = EventLog(store.folder / EVENTS)
    sandbox = Sandbox(
        options=options,
        account=account,
        store=store,
        events=events,
        records=records,
        clock=clock,
        tokens=Tokens(account, clock, lifetime_s=options.token_lifetime_s),
        quota=Quota(options.allowance),
        script=script,
        gate=gate,
        api_url=urls["api"],
        blob_url=urls["blob"],
        admin_token=secrets.token_urlsafe(32),
        refuse=lambda fault, connection: _refuse(fault, connection, gate, doors, tasks),
    )
    http: dict[str, object] = {
        "keepalive_timeout": options.patience_s,
        "auto_decompress": False,  # a body must stay what it was on the wire
        "access_log": None,
    }
    doors = Doors(
        [
            (door, Server(functools.partial(dispatch.handle, sandbox, face), gate, **http))
            for face, door in doors_by_face.items()
        ],
    )
    profile = write_profile(
        store,
        account,
        options,
        api_url=urls["api"],
        blob_url=urls["blob"],
        ca_file=ca_file,
    )
    try:
        yield sandbox, doors, profile
    finally:
        events.close()
        records.close()


def _on_connect(script: Script, connection: Connection) -> None:
    fault_actions.strike_connection(script.on_connect(), connection)


def _refuse(
    fault: Refuse,
    connection: Connection | None,
    gate: Gate,
    doors: Doors,
    tasks: TaskGroup,
) -> None:
    if fault.drop:
        gate.reset_all(but=connection)
    if doors.close_for(fault.seconds):
        tasks.start_soon(doors.reopen)


def _watch_stdin() -> None:
    """End the process like a SIGTERM when standard input ends, as it does when the parent dies."""

    def wait() -> None:
        while True:
            try:
                if not os.read(0, 4096):
                    break
            except OSError:
                break
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="stdin", daemon=True).start()


def _force_the_end(store: Store) -> None:
    """Leave without further ado if the orderly end does not come."""

    def leave() -> None:
        store.close()
        sys.stderr.flush()
        os._exit(0)

    timer = threading.Timer(LAST_WORDS_S, leave)
    timer.daemon = True
    timer.start()


def _keep_quiet() -> None:
    """Say nothing of the connections and requests that the end cuts off."""

    def ignore(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        del loop, context

    asyncio.get_running_loop().set_exception_handler(ignore)
