"""What a `migration.yaml` may say: each setting with its type, its bounds and the value it has unsaid.

The names, the nesting and the defaults are the guide's. A setting that is left out has its default, so a file
with one line is a whole configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from dualtrack.api.fields import YEAR_SECONDS

LARGEST: Final = 2**53 - 1
WARMUP_SECONDS: Final = 720
"""What a phase takes before it is observed: both together must be done within a year."""
Value = bool | int | Decimal | str
Values = Mapping[str, Value]
"""By path, dots between the names: `migration.canary.traffic_ratio`."""


@dataclass(frozen=True, slots=True)
class Switch:
    """`true` or `false`."""

    default: bool


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number; `unit` is a word for messages."""

    default: int
    least: int
    most: int
    unit: str


@dataclass(frozen=True, slots=True)
class Fraction:
    """A decimal number, not below `least` (and not it either, where `above`), at most `most`."""

    default: Decimal
    most: Decimal
    unit: str
    least: Decimal = Decimal(0)
    above: bool = True


@dataclass(frozen=True, slots=True)
class Word:
    """One of a few words."""

    default: str
    words: tuple[str, ...]


Setting = Switch | Whole | Fraction | Word

_ONE: Final = Decimal(1)

SETTINGS: Final[Mapping[str, Setting]] = {
    "migration.enable_dual_track": Switch(True),
    "migration.canary.traffic_ratio": Fraction(Decimal("0.05"), _ONE, "as a share of all traffic"),
    "migration.canary.duration_seconds": Whole(172_800, 10, YEAR_SECONDS - WARMUP_SECONDS, "seconds"),
    "migration.canary.auto_expand_threshold.error_rate": Fraction(
        Decimal("0.0001"), _ONE, "as a share of all requests"
    ),
    "migration.canary.auto_expand_threshold.latency_p99_ms": Whole(100, 1, 3_600_000, "milliseconds"),
    "migration.migration.enabled": Switch(True),
    "migration.migration.concurrency": Whole(8, 1, 256, "objects at a time"),
    "migration.migration.objects_per_day": Whole(100_000, 1, LARGEST, "objects"),
    "migration.migration.priority_strategy": Word("access_frequency", ("access_frequency", "size", "random")),
    "migration.consistency_check.enabled": Switch(True),
    "migration.consistency_check.sample_rate": Fraction(
        Decimal("0.01"), _ONE, "as a share of all objects", Decimal("0.000001"), above=False
    ),
    "migration.consistency_check.interval_seconds": Whole(3_600, 1, YEAR_SECONDS, "seconds"),
    "consistency.level": Word("eventual", ("strong", "eventual", "lazy")),
    "consistency.window_seconds": Whole(60, 1, YEAR_SECONDS, "seconds"),
    "metadata.inline_data.threshold_bytes": Whole(131_072, 0, LARGEST, "bytes"),
    "metadata.inline_data.enable_compression": Switch(True),
    "metadata.inline_data.compression_algo": Word("zstd", ("zstd",)),
    "metadata.inline_data.separate_threshold_bytes": Whole(524_288, 0, LARGEST, "bytes"),
    "metadata.cache.capacity": Whole(10_000, 0, LARGEST, "objects"),
    "metadata.cache.ttl_seconds": Whole(3_600, 1, YEAR_SECONDS, "seconds"),
    "metadata.cache.enable_warmup": Switch(True),
    "metadata.cache.warmup_size": Whole(1_000, 0, LARGEST, "objects"),
}


def defaults() -> dict[str, Value]:
    return {path: setting.default for path, setting in SETTINGS.items()}


def children(path: str) -> tuple[str, ...]:
    """The names that may stand below `path` ("" is the top), each once, in the guide's order."""
    start = f"{path}." if path else ""
    return tuple(
        dict.fromkeys(each[len(start) :].partition(".")[0] for each in SETTINGS if each.startswith(start))
    )
