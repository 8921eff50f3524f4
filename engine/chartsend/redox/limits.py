"""What is limited, to how much, and who says so: one table, as data.

The one rule: a number stands here with its source, and the defaults come from the settings' own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..settings import Limits, Settings, Timeouts

RECOMMENDED_EMBED_BYTES: Final = 200_000
"""Redox: "We recommend not embedding files over 200 KB" (article on the FHIR API, June 2026)."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One row of the table.

    Attributes:
        what: What is limited.
        default: The default, with its unit.
        setting: The setting that changes it, or an empty string.
        source: Where the number comes from.
        evidence: `documented`, `chosen` or `observed`.
    """

    what: str
    default: str
    setting: str
    source: str
    evidence: str


_LIMITS = Limits()
_TIMEOUTS = Timeouts()
_QUOTA_REQUESTS, _, _QUOTA_WINDOW_S = Settings().quota.partition("/")

LIMITS: Final[tuple[Limit, ...]] = (
    Limit(
        "a file, by either method",
        f"{_LIMITS.file_bytes:,} bytes",
        "limits.file_mb, limits.megabyte_bytes; destinations.NAME.max_bytes",
        'Redox, "API quotas", 18 August 2025: uploaded files 30 MB',
        "documented; that MB is 10^6 bytes is chosen, the smaller reading",
    ),
    Limit(
        "one request of API traffic, the whole body",
        f"{_LIMITS.request_bytes:,} bytes",
        "limits.request_mb, limits.megabyte_bytes; destinations.NAME.request_limit_bytes",
        'Redox, "API quotas", 18 August 2025: API traffic 40 MB',
        "documented; MB as above",
    ),
    Limit(
        "one request to a destination behind other traffic",
        "10,000,000 or 30,000,000 bytes",
        "destinations.NAME.request_limit_bytes",
        'Redox, "API quotas": HL7v2 MLLP 30 MB, other traffic 10 MB',
        "documented; that it binds API requests too is chosen",
    ),
    Limit(
        "a file that is embedded without being asked to",
        f"{_LIMITS.embed_up_to_bytes:,} bytes, before base64",
        "limits.embed_up_to_bytes, --embed-up-to",
        "Redox, article on the FHIR API, June 2026: not over 200 KB",
        "documented; that it counts raw bytes is chosen",
    ),
    Limit(
        "requests of one IP address",
        f"{int(_QUOTA_REQUESTS):,} in a rolling {_QUOTA_WINDOW_S} s",
        "quota",
        'Redox, "API quotas", 18 August 2025',
        "documented",
    ),
    Limit(
        "uploads by a free account in Development",
        "none: embed",
        "account, environment",
        "Redox, article on the FHIR API, June 2026",
        "documented",
    ),
    Limit(
        "waiting for an answer",
        f"{_TIMEOUTS.reply_s:g} s",
        "timeouts.reply_s",
        'Redox, "Error handling": 504 after a couple of minutes',
        "chosen, above what is documented",
    ),
    Limit("a reference URL", "2,048 characters", "", "longest that proxies pass by default", "chosen"),
    Limit("a content type", "127 characters", "", "RFC 6838 section 4.2", "documented"),
)


def limits_table() -> str:
    """`LIMITS` as a Markdown table, for the documentation."""
    head = "| what | default | setting | source | evidence |\n|---|---|---|---|---|\n"
    rows = (
        f"| {limit.what} | {limit.default} | {f'`{limit.setting}`' if limit.setting else '-'} |"
        f" {limit.source} | {limit.evidence} |\n"
        for limit in LIMITS
    )
    return head + "".join(rows)
