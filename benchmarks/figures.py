"""The figures that a run has, by name: unit, which way is better, how it comes from a Sample.

The one rule: a figure of work that was not done does not exist; asked for one, a Sample gives None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from .job import Sample

MIB: Final = 1024 * 1024


class Figure(NamedTuple):
    """One figure.

    Attributes:
        name: For reports.
        unit: Of the values; empty for a ratio.
        is_more_better: Which way is better.
        of: Its value, or None when the run has none.
    """

    name: str
    unit: str
    is_more_better: bool
    of: Callable[[Sample], float | None]


def _mb_per_s(sample: Sample) -> float | None:
    return sample.mb_per_s if sample.raw_bytes and sample.seconds else None


def _cpu_s_per_gb(sample: Sample) -> float | None:
    return sample.cpu_s_per_gb if sample.raw_bytes else None


def _documents_per_s(sample: Sample) -> float | None:
    return sample.documents_per_s if sample.documents and sample.seconds else None


def _cpu_us_per_document(sample: Sample) -> float | None:
    return sample.cpu_s / sample.documents * 1e6 if sample.documents else None


def _rss_mib(sample: Sample) -> float | None:
    return sample.rss_above_idle_bytes / MIB


def _stall_ms(position: int) -> Callable[[Sample], float | None]:
    def of(sample: Sample) -> float | None:
        return sample.stalls_ms[position] if sample.stalls_ms else None

    return of


FIGURES: Final = {
    "mb_per_s": Figure("throughput", "MB/s", is_more_better=True, of=_mb_per_s),
    "cpu_s_per_gb": Figure("CPU", "s/GB", is_more_better=False, of=_cpu_s_per_gb),
    "documents_per_s": Figure("documents", "1/s", is_more_better=True, of=_documents_per_s),
    "cpu_us_per_document": Figure(
        "CPU per document", "µs", is_more_better=False, of=_cpu_us_per_document
    ),
    "rss_mib": Figure("peak RSS above idle", "MiB", is_more_better=False, of=_rss_mib),
    "stall_p50_ms": Figure("loop stall, p50", "ms", is_more_better=False, of=_stall_ms(0)),
    "stall_p999_ms": Figure("loop stall, p99.9", "ms", is_more_better=False, of=_stall_ms(2)),
    "stall_most_ms": Figure("loop stall, longest", "ms", is_more_better=False, of=_stall_ms(3)),
}
"""By the name that scenes and goals call them; MB and GB are raw bytes in powers of ten."""

SINK_IS_FULL: Final = 0.85
"""A process of the sink that is busier than this share of a core may be what limits the sender."""


def is_limited_by_sink(samples: list[Sample]) -> bool:
    """Whether in any of these runs the sink may have been the limit."""
    return any(sample.notes.get("sink_busy", 0.0) > SINK_IS_FULL for sample in samples)
