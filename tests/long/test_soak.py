"""An hour of migrations there and back under random kills: every answered write is there, nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from soak import soak


def test_every_answered_write_survives_random_kills(
    tmp_path: Path, seed: int, minutes: Callable[[float], float], tell: Callable[[str], None]
) -> None:
    length = minutes(60)
    counts = soak(tmp_path, seed, length * 60)
    figures = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
    tell(f"soak: {length:g} minutes, seed {seed}: {figures}; 0 lost")
    assert counts["rounds"] > 0
    assert counts["kills of the data plane"] > 10
