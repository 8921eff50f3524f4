"""A certificate for 127.0.0.1, from an authority that exists for one sink only.

The one rule: its files lie in the folder given, and go with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from pathlib import Path


def make_certificate(folder: Path) -> tuple[str, str]:
    """Give the paths of the server's PEM (key and chain) and of the authority's."""
    authority = trustme.CA()
    server, ca_file = folder / "server.pem", folder / "ca.pem"
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(server)
    authority.cert_pem.write_to_path(ca_file)
    return str(server), str(ca_file)
