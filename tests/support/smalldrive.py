"""A drive of a few dozen real objects, for tests that judge and mend it over and over."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from layers import new_drive
from sweepbench import Bench

BUCKET = "bkt"


def small_bench(real: Path, folder: Path, objects: int) -> Bench:
    """Inline objects of a real MinIO drive in one bucket, called 00, 01, …, and an empty store beside it."""
    bench = Bench(new_drive(folder / "drive"), folder / "small-store")
    inline = _inline(real)
    assert len(inline) >= objects
    for number, path in enumerate(inline[:objects]):
        target = bench.file(BUCKET, f"{number:02d}")
        target.parent.mkdir(parents=True)
        target.write_bytes(path.read_bytes())
    return bench


@cache
def _inline(real: Path) -> list[Path]:
    return [
        path
        for path in sorted(real.glob("*/*/xl.meta"))
        if path.is_file() and not path.parts[-3].startswith(".") and len(list(path.parent.iterdir())) == 1
    ]
