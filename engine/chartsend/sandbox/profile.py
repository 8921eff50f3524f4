"""The settings file that makes `chartsend --profile FILE` talk to this sandbox at once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from urllib.parse import SplitResult

    from .accounts import Account
    from .options import Options
    from .store import Store


def write_profile(
    store: Store,
    account: Account,
    options: Options,
    *,
    api_url: SplitResult,
    blob_url: SplitResult,
    ca_file: Path | None,
) -> Path:
    """Write the credentials and the settings file (mode 0600); give the latter's path."""
    lines = [
        *_pairs(
            environment="Development",
            source_id=account.sources[0].id,
            account=options.account,
            api_url=api_url.geturl(),
            blob_url=blob_url.geturl(),
            token_url=api_url.geturl() + "/v2/auth/token",
        ),
        *(_pairs(ca_file=str(ca_file)) if ca_file is not None else ()),
        *_pairs(quota="off"),
        f"allowed_reference_hosts = [{_text(api_url.netloc)}, {_text(blob_url.netloc)}]",
        "",
        "[auth]",
        *_credentials(store, account, options),
    ]
    for destination in account.destinations:
        lines += [
            "",
            f"[destinations.{_text(destination.slug)}]",
            *_pairs(slug=destination.slug, id=destination.id),
        ]
    return store.write_private("profile.toml", "\n".join([*lines, ""]).encode())


def _credentials(store: Store, account: Account, options: Options) -> Iterator[str]:
    if options.legacy:
        legacy = account.legacy_keys[0]
        secret_file = store.write_private("secret", legacy.secret.encode())
        yield from _pairs(kind="legacy", api_key=legacy.api_key, secret_file=str(secret_file))
        return
    client = account.clients[0]
    key_file = store.write_private("key.pem", client.private_key_pem.encode())
    yield from _pairs(
        kind="oauth",
        client_id=client.client_id,
        key_id=client.key_id,
        algorithm="ES384",
        key_file=str(key_file),
    )


def _pairs(**values: str) -> Iterator[str]:
    return (f"{key} = {_text(value)}" for key, value in values.items())


def _text(value: str) -> str:
    # A JSON string is a TOML basic string when everything beyond ASCII stands for itself;
    # only DEL must be escaped in TOML and is not in JSON.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
