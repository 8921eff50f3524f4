"""The Redox account that a sandbox plays: sources, destinations and credentials, made at start-up.

Keys and secrets are new with every start. All names and ids are made up, except the public sample
destination "Redox EMR".
"""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .options import Options

_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_DNS, "sandbox.chartsend.invalid")

FLAGS: Final = frozenset({"Development", "Staging", "Production"})
"""The environment flags of FHIR URLs (Redox, exchanging FHIR data)."""

UPLOAD_SLUG: Final = "redox"
"""The slug that means Redox itself, where files are uploaded."""

PUBLIC_SANDBOX_SLUG: Final = "redox-fhir-sandbox"
"""The slug of Redox's public test destination."""


@dataclass(frozen=True, slots=True)
class Source:
    """Who sends."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Destination:
    """Who receives: the slug is used in FHIR URLs, the id in Data Model messages."""

    slug: str
    id: str
    name: str


@dataclass(slots=True)
class Client:
    """An OAuth API key: a client id, its public keys by `kid`, and the sources it speaks for."""

    client_id: str
    sources: tuple[Source, ...]
    key_id: str
    private_key_pem: str
    public_keys: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class LegacyKey:
    """A legacy API key; it belongs to one source."""

    api_key: str
    secret: str
    source: Source


class Account:
    """Everything that a real account has in its dashboard."""

    def __init__(self, options: Options) -> None:
        first = Source("3f1c9a52-8f0e-4e53-9f0b-2a7b2d7d9e10", "Harbor Forms (dev)")
        second = Source("b8a1f6f4-6a0c-4b1f-9a57-6f0d1c2e3a45", "Meadow Imaging (dev)")
        more = tuple(
            Source(str(uuid.uuid5(_NAMESPACE, f"source {number}")), f"Harbor Forms {number} (dev)")
            for number in range(2, options.sources + 1)
        )
        self.sources = (first, *more, second)
        self.clients = (_new_client((first, *more)), _new_client((second,)))
        self.legacy_keys = tuple(
            LegacyKey(str(uuid.uuid4()), secrets.token_urlsafe(24), s) for s in (first, second)
        )
        built_in = (
            Destination(PUBLIC_SANDBOX_SLUG, "af394f14-b34a-464f-8d24-895f370af4c9", "Redox EMR"),
            _made_up("memorial-ehr", "Memorial Hospital EHR"),
            _made_up("lakeside-imaging", "Lakeside Imaging Archive"),
        )
        named = tuple(_made_up(name, name) for name in options.destinations)
        self.destinations = _without_repeats((*named, *built_in))

    @property
    def main_destination(self) -> Destination:
        """The destination that the start-up line names."""
        return self.destinations[0]

    def destination_with_slug(self, slug: str) -> Destination | None:
        """Find a destination by its slug."""
        return next((d for d in self.destinations if d.slug == slug), None)

    def destination_with_id(self, identifier: str) -> Destination | None:
        """Find a destination by its id."""
        return next((d for d in self.destinations if d.id == identifier), None)

    def client_with_key(self, client_id: str, key_id: str) -> Client | None:
        """Find the client that registered a key."""
        return next(
            (c for c in self.clients if c.client_id == client_id and key_id in c.public_keys),
            None,
        )

    def register_key(self, client_id: str, key_id: str, public_key_pem: str) -> bool:
        """Add a public key to a client, as one does in the dashboard; False if there is no such."""
        serialization.load_pem_public_key(public_key_pem.encode())
        client = next((c for c in self.clients if c.client_id == client_id), None)
        if client is not None:
            client.public_keys[key_id] = public_key_pem
        return client is not None

    def describe(self) -> dict[str, object]:
        """Give the account with its secrets, for tests that act as several senders."""
        return {
            "clients": [
                {
                    "client_id": client.client_id,
                    "key_id": client.key_id,
                    "algorithm": "ES384",
                    "private_key": client.private_key_pem,
                    "sources": [{"id": s.id, "name": s.name} for s in client.sources],
                }
                for client in self.clients
            ],
            "legacy_keys": [
                {"api_key": key.api_key, "secret": key.secret, "source_id": key.source.id}
                for key in self.legacy_keys
            ],
            "destinations": [{"slug": d.slug, "id": d.id, "name": d.name} for d in self.destinations],
        }


def _made_up(slug: str, name: str) -> Destination:
    return Destination(slug, str(uuid.uuid5(_NAMESPACE, f"destination {slug}")), name)


def _without_repeats(destinations: Iterable[Destination]) -> tuple[Destination, ...]:
    by_slug: dict[str, Destination] = {}
    for destination in destinations:
        by_slug.setdefault(destination.slug, destination)
    # Redox's own destination keeps its public id, also when it was named on the command line.
    return tuple(
        Destination(d.slug, "af394f14-b34a-464f-8d24-895f370af4c9", "Redox EMR")
        if d.slug == PUBLIC_SANDBOX_SLUG
        else d
        for d in by_slug.values()
    )


def _new_client(sources: tuple[Source, ...]) -> Client:
    # ES384, because an RSA key takes a hundred times as long to make at start-up.
    key = ec.generate_private_key(ec.SECP384R1())
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    public = (
        key.public_key()
        .public_bytes(
            serialization.Encoding.PEM,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        )
        .decode()
    )
    key_id = secrets.token_hex(16)
    return Client(str(uuid.uuid4()), sources, key_id, private, {key_id: public})
