"""Who may talk to the sandbox: programs on this machine, and no web page that happens to be open."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from aiohttp import web

    from .state import Sandbox

_LOOPBACK_NAMES: Final = {"127.0.0.1", "localhost", "::1"}


def is_guest_welcome(sandbox: Sandbox, request: web.BaseRequest) -> bool:
    """Tell whether a request names this machine as its host and comes from no other web page.

    A page elsewhere can make a browser send requests here, directly (it then says its Origin) or by
    letting its own name point to 127.0.0.1 (it then says its Host).
    """
    if len(request.headers.getall("Host", [])) != 1:
        return False
    try:
        host = urlsplit(f"//{request.headers['Host']}").hostname
    except ValueError:
        return False
    if host not in _LOOPBACK_NAMES:
        return False
    origin = request.headers.get("Origin")
    return origin is None or origin in _own_origins(sandbox)


def has_admin_token(sandbox: Sandbox, request: web.BaseRequest) -> bool:
    """Tell whether a request carries the admin token as a bearer token."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() == "bearer" and is_admin_token(sandbox, token.strip())


def has_admin_cookie(sandbox: Sandbox, request: web.BaseRequest) -> bool:
    """Tell whether a browser has opened the log page with the token before."""
    return is_admin_token(sandbox, request.cookies.get(cookie_name(sandbox), ""))


def cookie_name(sandbox: Sandbox) -> str:
    """Give the cookie's name. Cookies do not know ports, so several sandboxes need several names."""
    return f"chartsend_sandbox_{sandbox.api_url.port}"


def is_admin_token(sandbox: Sandbox, text: str) -> bool:
    """Compare in constant time."""
    given = text.encode("utf-8", "surrogateescape")  # as aiohttp decodes headers
    return secrets.compare_digest(given, sandbox.admin_token.encode())


def _own_origins(sandbox: Sandbox) -> set[str]:
    scheme, port = sandbox.api_url.scheme, sandbox.api_url.port
    return {f"{scheme}://{name}:{port}" for name in ("127.0.0.1", "localhost")}
