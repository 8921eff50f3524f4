"""What is asked of a batch, and which of it may not change between two runs of the same ledger.

The one rule: what decides who gets what is fixed when a ledger is made; how it is sent may change.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import orjson

from ..document import API_OF
from ..errors import ConfigError
from ..settings.parts import METHODS, between, one_of
from .facts import read_options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..document import Api, Model
    from ..settings import Settings
    from .ledger import LedgerReader

OPTION_BYTES: Final = 8
"""Of a fact's keyed hash."""

OnUnknown = Literal["hold", "verify", "resend"]

GIVE_UP_AFTER_S: Final = 24 * 3600.0
DEADLINE_S: Final = 3600.0
CANARIES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """What is asked of every row that does not say otherwise.

    Attributes:
        to: Name of the destination; None when every row names its own.
        api: As for `Engine.send`; so are the next three.
        defaults: The description below the rows' own: options, metadata and profile, merged.
        root: Folder that rows' paths are relative to and may not leave; None: the manifest's. A relative
            one is taken from the working directory, and fixed as the folder that it is there.
        on_unknown: What becomes of a message whose outcome is unknown: `hold` it for a person,
            `verify` it with a query and send again what is not there, or `resend` it, byte for
            byte the same, at most twice, and list it.
        deadline_s: Seconds for one document from the moment it has a slot.
        give_up_after_s: How long a row that was provably not applied is tried again.
        canaries: Rows of each destination and type that must be accepted before more of them go.
        sends_again: Also send what an earlier batch of this user has sent already.

    Raises:
        ConfigError: A word is none of its set, or a number is out of range.
    """

    to: str | None = None
    api: Api | None = None
    method: Literal["auto", "upload", "embed"] | None = None
    model: Model | None = None
    note_text: bool | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    root: str | None = None
    on_unknown: OnUnknown = "hold"
    deadline_s: float = DEADLINE_S
    give_up_after_s: float = GIVE_UP_AFTER_S
    canaries: int = CANARIES
    sends_again: bool = False

    def __post_init__(self) -> None:
        one_of("on_unknown", str(self.on_unknown), get_args(OnUnknown))
        one_of("api", self.api, API_OF.values())
        one_of("method", self.method, METHODS)
        one_of("model", self.model, API_OF)
        between("deadline_s", self.deadline_s, 1, 7 * 24 * 3600)
        between("give_up_after_s", self.give_up_after_s, 0, 60 * 24 * 3600)
        between("canaries", self.canaries, 0, 1000)

    def fixed(self, settings: Settings, keyed: Callable[[bytes], bytes]) -> dict[str, str]:
        """A keyed hash of everything that may not change, by the name a person knows it by.

        Args:
            settings: Who sends, and where Redox is.
            keyed: A short hash under the ledger's key: a description may hold patient data.
        """
        facts: dict[str, object] = {
            "--to": self.to,
            "--api": self.api,
            "--method": self.method,
            "--model": self.model,
            "--note-text": self.note_text,
            "--root": None if self.root is None else _absolute(self.root),
            "the description (options, --metadata, profile)": self.defaults,
            "--environment": settings.environment,
            "--source-id": settings.source_id,
            "api_url": settings.api_base,
        }
        return {
            name: keyed(orjson.dumps(fact, option=orjson.OPT_SORT_KEYS, default=str)).hex()
            for name, fact in facts.items()
        }


def is_theirs(settings: Settings, reader: LedgerReader) -> bool:
    """Whether these settings lead where a ledger's batch is sent: environment and API address.

    False also while nothing is known of the batch. Blocks.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    then = read_options(reader.facts())
    if then is None or settings.environment is None:
        return False

    def keyed(fact: bytes) -> bytes:
        return reader.keyed(b"option", fact, size_bytes=OPTION_BYTES)

    now = BatchOptions().fixed(settings, keyed)
    return all(then.get(name) == now[name] for name in ("--environment", "api_url"))


def _absolute(folder: str) -> str:
    """A folder wherever one stands; its bytes, since a name need not be UTF-8."""
    return os.fsencode(os.path.abspath(folder)).hex()  # noqa: PTH100  # `..` goes, links stay


def check_unchanged(then: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Refuse to go on with a ledger under other options than it was made with.

    Raises:
        ConfigError: Naming every option that differs.
    """
    differing = [name for name in now if then.get(name) != now[name]]
    if differing:
        raise ConfigError(
            f"this ledger was made with other options: {', '.join(differing)} differ. Run it with the"
            " ones it was made with, or give this job a ledger of its own with --ledger DIR; a ledger"
            " with which no run was begun yet can be removed with `batch purge --all`"
        )
