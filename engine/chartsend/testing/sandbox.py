"""A sandbox in its own process, started and questioned by a test.

Blocking calls and the standard library only, so that a test's own event loop and HTTP client stay
out of the picture.
"""

from __future__ import annotations

import http.client
import json
import os
import selectors
import signal
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

STOP_WITHIN_S: Final = 5.0
"""What a sandbox promises after SIGTERM."""

_ANSWER_WITHIN_S: Final = 30.0
_CONNECT_WITHIN_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class SandboxInfo:
    """What a sandbox says of itself when it is ready.

    Attributes:
        api_url: Scheme, host and port of the API, without a path.
        blob_url: The same of the upload endpoint.
        token_url: The complete URL of the OAuth token endpoint.
        dashboard_url: The log page for people.
        admin_token: What everything below `/_sandbox/` asks for.
        destination: The slug of a destination, and its name in the profile.
        destination_id: The same destination's id.
        source_id: Who the profile's credentials speak for.
        profile: A settings file with which `chartsend --profile FILE` works at once.
    """

    api_url: str
    blob_url: str
    token_url: str
    dashboard_url: str
    admin_token: str
    destination: str
    destination_id: str
    source_id: str
    profile: Path


class SandboxError(RuntimeError):
    """The sandbox did not start, or refused what a test asked of it."""


class SandboxProcess:
    """A running sandbox; a context manager that stops it.

    Attributes:
        info: Where it is and how to use it.
        pid: Its process id.
    """

    def __init__(self, process: subprocess.Popen[bytes], info: SandboxInfo) -> None:
        self._process = process
        self.info = info
        self.pid = process.pid

    @classmethod
    def start(cls, *arguments: str, ready_within_s: float = 20.0) -> Self:
        """Start a sandbox and wait until it is ready.

        Args:
            arguments: Further options of `chartsend sandbox`.
            ready_within_s: How long that may take.

        Raises:
            SandboxError: It ended or was not ready in time.
        """
        command = [sys.executable, "-m", "chartsend", "sandbox", "--json", "--exit-with-stdin"]
        process = subprocess.Popen(  # noqa: S603  # our own interpreter, our own module
            [*command, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # A terminal's Ctrl-C goes to whoever started it; it ends with its stdin.
            start_new_session=True,
        )
        try:
            line = _first_line(process, ready_within_s)
            values = json.loads(line)
            info = SandboxInfo(**(values | {"profile": Path(values["profile"])}))
        except BaseException:
            _end(process)
            raise
        return cls(process, info)

    def events(self, after: int = 0) -> list[dict[str, Any]]:
        """Give all events with a sequence number above `after`; see the sandbox's event log."""
        content = self.ask("GET", f"/_sandbox/events?after={after}")
        return [json.loads(line) for line in content.splitlines()]

    def requests(self) -> dict[str, Any]:
        """Give how many requests were seen and answered, by kind; requests to itself apart."""
        return self._json("GET", "/_sandbox/requests")

    def accounts(self) -> dict[str, Any]:
        """Give the credentials, sources and destinations of the account it plays."""
        return self._json("GET", "/_sandbox/accounts")

    def register_key(self, client_id: str, key_id: str, public_key: str) -> None:
        """Add a public key (PEM) to one of its OAuth clients."""
        body = {"client_id": client_id, "key_id": key_id, "public_key": public_key}
        self._json("POST", "/_sandbox/accounts", body)

    def fault(self, **fault: Any) -> int | None:
        """Script one fault, such as `fault(on="message", do="status", status=503)`.

        Returns:
            Its id, or None for a fault that acts at once.
        """
        ids = self.faults([fault])
        return ids[0] if ids else None

    def faults(self, faults: Sequence[Mapping[str, Any]]) -> list[int]:
        """Script several faults; give the ids of those that do not act at once."""
        ids: list[int] = self._json("POST", "/_sandbox/faults", list(faults))["ids"]
        return ids

    def fault_counts(self) -> dict[int, dict[str, int]]:
        """Give how often each scripted fault was `seen` by a request and `fired`, by its id."""
        rules = self._json("GET", "/_sandbox/faults")["faults"]
        return {rule["id"]: {"seen": rule["seen"], "fired": rule["fired"]} for rule in rules}

    def clear_faults(self) -> None:
        """Forget all faults and let go on what stalls because of one."""
        self._json("DELETE", "/_sandbox/faults")

    def file(self, identity: str) -> bytes:
        """Give the bytes that were received with this sha256, or under this upload id."""
        return self.ask("GET", f"/_sandbox/files/{identity}")

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Send a request to the sandbox itself, with the admin token, and give the answer's body.

        A connection that a scripted fault refuses or cuts is tried again for ten seconds, unless
        the request is a POST.

        Raises:
            SandboxError: The answer is not a 2xx.
        """
        deadline = time.monotonic() + _CONNECT_WITHIN_S
        while True:
            try:
                return self._ask_once(method, path, body)
            except ConnectionError:
                if method == "POST" or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def _ask_once(self, method: str, path: str, body: bytes | None) -> bytes:
        url = urlsplit(self.info.api_url)
        connection: http.client.HTTPConnection
        if url.scheme == "https":
            context = ssl.create_default_context(cafile=str(self.ca_file))
            connection = http.client.HTTPSConnection(
                url.hostname or "", url.port, timeout=_ANSWER_WITHIN_S, context=context
            )
        else:
            connection = http.client.HTTPConnection(
                url.hostname or "", url.port, timeout=_ANSWER_WITHIN_S
            )
        try:
            headers = {"Authorization": f"Bearer {self.info.admin_token}", "Connection": "close"}
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        if not 200 <= response.status < 300:
            raise SandboxError(f"{method} {path}: {response.status} {content[:500]!r}")
        return content

    @property
    def ca_file(self) -> Path:
        """The certificate authority to trust, of a sandbox that was started with `--tls`."""
        return self.info.profile.with_name("ca.pem")

    def stop(self) -> int:
        """End the sandbox and give its exit code: SIGTERM, and SIGKILL when that takes too long."""
        return _end(self._process)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _json(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        content = self.ask(method, path, None if body is None else json.dumps(body).encode())
        values: dict[str, Any] = json.loads(content)
        return values


def _first_line(process: subprocess.Popen[bytes], within_s: float) -> bytes:
    stdout = process.stdout
    if stdout is None:
        raise SandboxError("the sandbox was started without a pipe")
    deadline = time.monotonic() + within_s
    line = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise SandboxError(f"the sandbox was not ready within {within_s} s")
            piece = os.read(stdout.fileno(), 65536)
            if not piece:
                raise SandboxError("the sandbox ended at once; it says why on stderr")
            line += piece
    return line


def _end(process: subprocess.Popen[bytes]) -> int:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        code = process.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    return code
