"""Private keys and secrets: read from a file, an environment variable or a command, and checked.

The one rule: a credential that others could read or replace is refused before it is used, and an
error names the setting, never the value, the path or anything that was read.
"""

from __future__ import annotations

import importlib
import logging
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from ..aio import Shared
from ..errors import ConfigError, InsecureConfigError
from .command import output_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    from ..aio import Lane
    from ..settings import Auth

    PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey

T = TypeVar("T")

LARGEST_BYTES: Final = 64 * 1024
"""A 16,384-bit RSA key in PEM is 13 KB; what is larger is something else."""

LEAST_RSA_BITS: Final = 2048
"""RFC 7518 section 3.3."""

_log = logging.getLogger("chartsend")


class Secret:
    """Bytes that no repr, f-string or traceback shows."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")

    def reveal(self) -> bytes:
        """The value, for the one place that needs it."""
        return self._value


def check_key_settings(auth: Auth) -> None:
    """Check that exactly one place for the private key is set.

    Raises:
        ConfigError: None, or several.
    """
    _only_one({"auth.key_file": auth.key_file, "auth.key_env": auth.key_env,
               "auth.key_command": auth.key_command}, "the private key")  # fmt: skip


def check_secret_settings(auth: Auth) -> None:
    """Check that exactly one place for the legacy secret is set.

    Raises:
        ConfigError: None, or several.
    """
    _only_one({"auth.secret_file": auth.secret_file, "auth.secret_env": auth.secret_env},
              "the legacy secret")  # fmt: skip


async def load_private_key(auth: Auth, *, lane: Lane) -> PrivateKey:
    """Read and parse the private key, in a thread: parsing takes 36 ms, a command up to 10 s.

    Cancelled, it returns at once; the thread ends by itself.

    Raises:
        InsecureConfigError: The key file belongs to somebody else, or others may use it.
        ConfigError: There is no key, it cannot be read, it is encrypted, or it does not fit
            `auth.algorithm`.
    """
    return await _in_thread(lane, lambda: _with_its_signer(auth))


async def load_secret(auth: Auth, *, lane: Lane) -> Secret:
    """Read the legacy secret, in a thread; without the line end that editors leave.

    Raises:
        InsecureConfigError: The file belongs to somebody else, or others may use it.
        ConfigError: There is no secret, or it cannot be read.
    """
    return await _in_thread(lane, lambda: read_secret(auth))


async def _in_thread(lane: Lane, read: Callable[[], T]) -> T:
    shared = Shared(lambda: None)  # `read` opens and closes what it uses by itself
    try:
        return await lane.run(shared, read)
    finally:
        shared.let_go()


def _with_its_signer(auth: Auth) -> PrivateKey:
    """The private key; with the import of what signs, 30 ms that the event loop is spared."""
    importlib.import_module("jwt")
    return read_private_key(auth)


def read_private_key(auth: Auth) -> PrivateKey:
    """Read, parse and check the private key. It blocks; see `load_private_key`.

    Raises:
        InsecureConfigError, ConfigError: As `load_private_key`.
    """
    check_key_settings(auth)
    if auth.key_file:
        name, pem = "auth.key_file", read_private_file(auth.key_file, setting="auth.key_file")
    elif auth.key_env:
        # A PEM text squeezed into one line of an env file has its line ends as backslash and n.
        name, pem = "auth.key_env", _from_environment(auth.key_env, setting="auth.key_env")
        pem = pem.replace(b"\\n", b"\n")
    else:
        name = "auth.key_command"
        pem = output_of(auth.key_command or "", setting=name, largest_bytes=LARGEST_BYTES)
    return _parse(pem, setting=name, algorithm=auth.algorithm)


def read_secret(auth: Auth) -> Secret:
    """Read the legacy secret. It blocks; see `load_secret`.

    Raises:
        InsecureConfigError, ConfigError: As `load_secret`.
    """
    check_secret_settings(auth)
    if auth.secret_file:
        setting = "auth.secret_file"
        content = read_private_file(auth.secret_file, setting=setting)
    else:
        setting = "auth.secret_env"
        content = _from_environment(auth.secret_env or "", setting=setting)
    content = content.strip(b"\r\n")
    if not content:
        raise ConfigError(f"{setting}: the secret is empty")
    try:
        content.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{setting}: the secret is not text in UTF-8") from None
    return Secret(content)


def read_private_file(path: str, *, setting: str) -> bytes:
    """The content of a file that only its owner (and, reading, its group) may use.

    A link is followed, as secrets are mounted through links; every check is made on the opened
    descriptor, so on the target, and nobody can swap the file in between. Group read passes,
    because container platforms mount secrets so.

    Raises:
        InsecureConfigError: Its owner is neither this user nor root, or its mode is wider than 0640.
        ConfigError: There is none, it is no regular file, it cannot be read, or it is over 64 KiB.
    """
    try:
        # O_NONBLOCK: opening a FIFO would wait for a writer.
        descriptor = os.open(
            Path(path).expanduser(), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        )
    except FileNotFoundError:
        raise ConfigError(f"{setting}: there is no such file") from None
    except PermissionError:
        raise ConfigError(f"{setting}: this user may not read the file") from None
    except (OSError, ValueError, RuntimeError) as exc:  # also NUL in the path, and no home folder
        raise ConfigError(f"{setting}: the file cannot be opened ({_reason(exc)})") from None
    try:
        _check_owner_and_mode(os.fstat(descriptor), setting=setting)
        content = _read_up_to(descriptor, LARGEST_BYTES + 1)
    except OSError as exc:
        raise ConfigError(f"{setting}: the file cannot be read ({_reason(exc)})") from None
    finally:
        os.close(descriptor)
    if len(content) > LARGEST_BYTES:
        raise ConfigError(f"{setting}: the file is over {LARGEST_BYTES} bytes, so no key or secret")
    return content


def _read_up_to(descriptor: int, limit: int) -> bytes:
    parts: list[bytes] = []
    while limit > 0 and (part := os.read(descriptor, limit)):
        parts.append(part)
        limit -= len(part)
    return b"".join(parts)


def _check_owner_and_mode(info: os.stat_result, *, setting: str) -> None:
    if not stat.S_ISREG(info.st_mode):
        raise ConfigError(f"{setting}: this is not a regular file")
    if info.st_uid not in {os.geteuid(), 0}:
        raise InsecureConfigError(
            f"{setting}: the file belongs to another user; it must be this user's or root's"
        )
    if info.st_mode & 0o037:
        raise InsecureConfigError(
            f"{setting}: the file's mode {stat.S_IMODE(info.st_mode):04o} lets others use it;"
            " chmod 600 it (the group may read, not write)"
        )


def _from_environment(variable: str, *, setting: str) -> bytes:
    value = os.environ.get(variable)
    if not value:
        # Not naming the variable: some put the secret itself there by mistake.
        raise ConfigError(f"{setting}: the environment variable that it names is not set")
    _log.warning(
        "%s: the secret comes from an environment variable, which child processes inherit and crash"
        " reports show; a file of mode 600 is safer",
        setting,
    )
    return os.fsencode(value)


def _parse(pem: bytes, *, setting: str, algorithm: str) -> PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415  # costs 40 ms
    from cryptography.hazmat.primitives.asymmetric import ec, rsa  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:  # how the library says that it wants a password
        raise ConfigError(
            f"{setting}: the private key is encrypted; give it unencrypted in a file of mode 600, or"
            " decrypt it with auth.key_command"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(
            f"{setting}: this is no private key in PEM form (-----BEGIN PRIVATE KEY-----); make one"
            " with `chartsend key new`"
        ) from None
    if algorithm == "RS384" and isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < LEAST_RSA_BITS:
            raise ConfigError(
                f"{setting}: the RSA key has {key.key_size} bits; {LEAST_RSA_BITS} is the least"
            )
        return key
    if (
        algorithm == "ES384"
        and isinstance(key, ec.EllipticCurvePrivateKey)
        and isinstance(key.curve, ec.SECP384R1)
    ):
        return key
    kind = "an RSA key" if algorithm == "RS384" else "an EC key on the curve P-384"
    raise ConfigError(f"{setting}: auth.algorithm is {algorithm}, which needs {kind}; this is another")


def _only_one(settings: dict[str, str | None], what: str) -> None:
    given = [name for name, value in settings.items() if value]
    if len(given) == 1:
        return
    names = ", ".join(settings)
    if given:
        raise ConfigError(f"{' and '.join(given)} are both set; {what} has one place ({names})")
    raise ConfigError(f"{what} is missing: set one of {names}")


def _reason(exc: Exception) -> str:
    return (exc.strerror or "error") if isinstance(exc, OSError) else "not a usable path"
