"""A server of bare sockets in its own process: it does to a connection exactly what a test says.

The one rule: it knows no HTTP beyond the length of a request, so it can break every rule of it.

Run as `python raw_server.py [CERT KEY]`. Commands come as JSON lines on stdin, one answer each on
stdout; the first line on stdout is the port. It ends with its stdin.

A plan is a list of steps for one request; plans wait in a queue per kind (`token`, `upload`,
`message`), and without one the request is answered well. Steps:

* `["read", n]` read until n bytes of the body are here; negative: all but so many; null: all.
* `["commit"]` note that the request was applied: only if its whole body is here.
* `["send", text]` Latin-1, as it stands; `["drip", text, seconds]` byte by byte.
* `["ok"]` the usual good answer.
* `["sleep", s]`, `["fin"]`, `["reset"]`, `["close"]`, `["hold"]` (neither read nor answer, until the
  peer has gone or `release`), `["drain"]` (read until the peer ends), `["raw_tcp", text]` (below TLS).

On `connect` a plan strikes before anything is read, and before any TLS handshake.
"""

from __future__ import annotations

import json
import os
import select
import socket
import ssl
import struct
import sys
import threading
import time
from collections import deque
from typing import Any

LOCK = threading.Lock()
RELEASED = threading.Event()
PLANS: dict[str, deque[list[list[Any]]]] = {}
REQUESTS: list[dict[str, Any]] = []
STATE = {"connections": 0, "open": 0}
TLS: ssl.SSLContext | None = None
KEEP_BYTES = 4_000_000


class GoneError(Exception):
    """The connection is over."""


class Connection:
    def __init__(self, sock: socket.socket, number: int) -> None:
        self.plain = sock
        self.sock = sock
        self.number = number
        self.rest = b""

    def run(self) -> None:
        try:
            plan = take("connect")
            if plan is not None:
                self.request = {"kind": "connect", "conn": self.number, "received": 0, "length": 0}
                self.steps(plan)
            if TLS is not None:
                self.sock = TLS.wrap_socket(self.plain, server_side=True)
            while self.one():
                pass
        except (GoneError, OSError):
            pass
        finally:
            self.sock.close()
            self.plain.close()
            with LOCK:
                STATE["open"] -= 1

    def one(self) -> bool:
        head = self.head()
        if head is None:
            return False
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length":
                length = int(value)
        target = head.split(b" ", 2)[1]
        kind = "message"
        if target.endswith(b"/token"):
            kind = "token"
        elif target.endswith((b"/Binary", b"/upload")):
            kind = "upload"
        self.request = {
            "kind": kind,
            "conn": self.number,
            "head": head.decode("latin-1"),
            "length": length,
            "received": 0,
            "committed": False,
        }
        self.body = bytearray()
        self.take(b"")
        with LOCK:
            REQUESTS.append(self.request)
        self.steps(take(kind) or [["read", None], ["commit"], ["ok"]])
        return True

    def steps(self, plan: list[list[Any]]) -> None:
        for name, *arguments in plan:
            getattr(self, "do_" + name)(*arguments)

    def head(self) -> bytes | None:
        data = self.rest
        while b"\r\n\r\n" not in data:
            piece = self.sock.recv(65536)
            if not piece:
                return None
            data += piece
        head, _, self.rest = data.partition(b"\r\n\r\n")
        return head

    def take(self, piece: bytes) -> None:
        data = self.rest + piece
        missing = self.request["length"] - self.request["received"]
        mine, self.rest = data[:missing], data[missing:]
        self.request["received"] += len(mine)
        if len(self.body) < KEEP_BYTES:
            self.body += mine
            self.request["body"] = self.body

    def do_read(self, count: int | None) -> None:
        length = self.request["length"]
        wanted = length if count is None else count if count >= 0 else length + count
        while self.request["received"] < min(wanted, length):
            piece = self.sock.recv(min(65536, wanted - self.request["received"]))
            if not piece:
                raise GoneError
            self.take(piece)

    def do_commit(self) -> None:
        if self.request["received"] == self.request["length"]:
            self.request["committed"] = True

    def do_send(self, text: str) -> None:
        self.sock.sendall(text.encode("latin-1"))

    def do_raw_tcp(self, text: str) -> None:
        os.write(self.number_of_socket(), text.encode("latin-1"))

    def number_of_socket(self) -> int:
        plain = self.plain.fileno()  # -1 once TLS has taken it over
        return plain if plain >= 0 else self.sock.fileno()

    def do_drip(self, text: str, seconds: float) -> None:
        for byte in text.encode("latin-1"):
            self.sock.sendall(bytes([byte]))
            time.sleep(seconds)

    def do_ok(self) -> None:
        kind = self.request["kind"]
        extra = ""
        if kind == "token":
            token = {"access_token": f"raw-token-{len(REQUESTS)}", "token_type": "Bearer"}
            body = json.dumps({**token, "expires_in": 300})
        elif kind == "upload":
            sock = self.plain if self.plain.fileno() >= 0 else self.sock
            scheme = "https" if TLS else "http"
            url = f"{scheme}://127.0.0.1:{sock.getsockname()[1]}/files/{len(REQUESTS)}"
            extra = f"Location: {url}\r\n"
            body = json.dumps({"URI": url})
        else:
            body = '{"Meta":{"Logs":[{"ID":"log-1"}]},"resourceType":"Bundle","entry":[]}'
        self.do_send(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            f"{extra}Content-Length: {len(body)}\r\n\r\n{body}"
        )

    def do_sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def do_fin(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def do_close(self) -> None:
        raise GoneError

    def do_reset(self) -> None:
        sock = self.sock if self.plain.fileno() < 0 else self.plain
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        raise GoneError

    def do_hold(self) -> None:
        sock = self.sock
        poller = select.poll()
        poller.register(sock.fileno(), select.POLLRDHUP)
        while not RELEASED.is_set() and not poller.poll(50):
            pass

    def do_drain(self) -> None:
        while self.sock.recv(65536):
            pass
        raise GoneError

    def do_small_window(self) -> None:
        self.plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)


def take(kind: str) -> list[list[Any]] | None:
    with LOCK:
        queue = PLANS.get(kind)
        return queue.popleft() if queue else None


def command(line: str) -> object:
    asked = json.loads(line)
    match asked["do"]:
        case "plan":
            with LOCK:
                PLANS.setdefault(asked["kind"], deque()).extend(asked["plans"])
            return None
        case "log":
            with LOCK:
                rows = [{k: v for k, v in r.items() if k != "body"} for r in REQUESTS]
                return {**STATE, "requests": rows}
        case "body":
            with LOCK:
                return bytes(REQUESTS[asked["number"]].get("body", b"")).decode("latin-1")
        case "clear":
            with LOCK:
                PLANS.clear()
                REQUESTS.clear()
                STATE["connections"] = 0
            RELEASED.set()
            return None
        case "arm":
            RELEASED.clear()
            return None
    raise ValueError(line)


def main() -> None:
    global TLS  # noqa: PLW0603  # set once, before any thread starts
    if len(sys.argv) == 3:
        TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        TLS.load_cert_chain(sys.argv[1], sys.argv[2])
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    listener.listen(256)
    print(listener.getsockname()[1], flush=True)

    def accept() -> None:
        while True:
            sock, _ = listener.accept()
            with LOCK:
                STATE["connections"] += 1
                STATE["open"] += 1
                number = STATE["connections"]
            threading.Thread(target=Connection(sock, number).run, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    for line in sys.stdin:
        print(json.dumps(command(line)), flush=True)


if __name__ == "__main__":
    main()
