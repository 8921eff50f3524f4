"""`chartsend key new`: makes a key pair, keeps the private half, prints the public half.

The one rule: the private key goes to one new file of mode 0600 and nowhere else; standard output
holds the JWK set for the Redox dashboard, ready for a pipe, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

RSA_BITS: Final = 3072
"""128 bits of security (NIST SP 800-57), which RS384 is meant for; 2048 is the least Redox takes."""

_P384_BYTES: Final = 48
_LONGEST_KEY_ID: Final = 128


@click.group()
def key() -> None:
    """Make keys for Redox's OAuth API keys."""


@key.command()
@click.option(
    "--algorithm",
    type=click.Choice(["RS384", "ES384"]),
    default="RS384",
    show_default=True,
    help="Kind of key: RSA with 3072 bits, or the curve P-384.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("chartsend-private-key.pem"),
    show_default=True,
    help="Where the private key goes; never overwritten.",
)
@click.option("--key-id", help="The key's id (kid).  [default: the key's RFC 7638 thumbprint]")
def new(algorithm: str, out: Path, key_id: str | None) -> None:
    """Make a key pair; print the public JWK set to paste into the Redox dashboard."""
    _check_key_id(key_id)
    private, jwk = _new_rsa() if algorithm == "RS384" else _new_ec()
    kid = key_id or _thumbprint(jwk)
    _write_new(out, _pem(private))
    public = {"kty": jwk["kty"], "kid": kid, "use": "sig", "alg": algorithm, **jwk}
    click.echo(json.dumps({"keys": [public]}, indent=2))
    click.echo(_instructions(algorithm, out, kid), err=True)


def _check_key_id(key_id: str | None) -> None:
    if key_id is None:
        return
    is_visible = key_id.isascii() and key_id.isprintable() and " " not in key_id
    if not key_id or not is_visible or len(key_id) > _LONGEST_KEY_ID:
        raise click.BadParameter(
            f"1 to {_LONGEST_KEY_ID} visible ASCII characters, no spaces", param_hint="--key-id"
        )


def _new_rsa() -> tuple[RSAPrivateKey, dict[str, str]]:
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415  # costs 40 ms

    private = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    numbers = private.public_key().public_numbers()
    return private, {
        "kty": "RSA",
        "n": _base64url(numbers.n.to_bytes(RSA_BITS // 8)),
        "e": _base64url(numbers.e.to_bytes(3)),
    }


def _new_ec() -> tuple[EllipticCurvePrivateKey, dict[str, str]]:
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415  # costs 40 ms

    private = ec.generate_private_key(ec.SECP384R1())
    numbers = private.public_key().public_numbers()
    return private, {
        "kty": "EC",
        "crv": "P-384",
        "x": _base64url(numbers.x.to_bytes(_P384_BYTES)),  # RFC 7518: always the full 48 bytes
        "y": _base64url(numbers.y.to_bytes(_P384_BYTES)),
    }


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def _thumbprint(jwk: dict[str, str]) -> str:
    """RFC 7638: the required members only, sorted, without blanks, SHA-256."""
    canonical = json.dumps(jwk, sort_keys=True, separators=(",", ":"))
    return _base64url(hashlib.sha256(canonical.encode()).digest())


def _pem(private: RSAPrivateKey | EllipticCurvePrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415

    return private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that was not there, readable by its owner only from its first moment on."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise click.BadParameter(
            f"{path} exists; a key is never overwritten. Choose another name", param_hint="--out"
        ) from None
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "not a usable path"
        raise click.BadParameter(
            f"{path} cannot be made: {reason}. The folder must exist and be writable",
            param_hint="--out",
        ) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)  # a umask may have taken even the owner's access
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        path.unlink(missing_ok=True)  # half a key is worse than none
        raise


def _instructions(algorithm: str, out: Path, kid: str) -> str:
    def text(value: str) -> str:
        return json.dumps(value, ensure_ascii=False)  # a JSON string is a TOML string

    return "\n".join(
        (
            "",
            f"The private key is in {out} (mode 0600). Keep it out of repositories.",
            "1. In the Redox dashboard, paste the JWK set printed above into your OAuth API key.",
            "2. Add to your profile, with the client id that the dashboard shows:",
            "",
            "   [auth]            # in config.toml: [NAME.auth], NAME being the profile",
            '   client_id = "..."',
            f"   key_id = {text(kid)}",
            f"   algorithm = {text(algorithm)}",
            f"   key_file = {text(str(out.absolute()))}",
            "",
            "3. Check it: chartsend doctor",
        )
    )
