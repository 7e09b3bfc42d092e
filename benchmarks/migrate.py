"""`migrate` against a C program that only walks and reads the same tree.

    python -m benchmarks.migrate [--shape inline|parts|deep] [--count N] [--pairs N]

Ours is the whole verb as a user runs it: interpreter start, walk, read, CRC, summary, envelope,
compare-and-set, durable commits into a new store, and the pass for deleted objects at the end.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from benchmarks import measure
from benchmarks.measure import Figure, Run, interleave
from benchmarks.trees import BUCKET, cache, tree

TARGETS = {"inline": 1.0, "parts": 0.9}


def fresh_store() -> Path:
    store = cache() / "store"
    shutil.rmtree(store, ignore_errors=True)
    return store


def migrate(drive: Path, store: Path) -> Run:
    return measure.run(
        measure.dualtrack("engine", "migrate", "--drive", drive, "--store", store, "--progress", "none")
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shape", choices=("inline", "parts", "deep"), default="inline")
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--pairs", type=int, default=measure.PAIRS)
    wanted = parser.parse_args()
    drive = tree(wanted.shape, wanted.count)
    scan = [measure.scanner(), drive / BUCKET]
    pairs = interleave(
        lambda: migrate(drive, fresh_store()),
        lambda: measure.run(scan),
        lambda: measure.run(scan),
        wanted.pairs,
    )
    shutil.rmtree(cache() / "store", ignore_errors=True)
    count = wanted.count
    figures = [
        Figure(
            "wall: times as fast as the C program",
            pairs.ratio(lambda r: r.wall),
            "x",
            TARGETS.get(wanted.shape),
            note=pairs.spread(lambda r: r.wall),
        ),
        Figure(
            "CPU: times as cheap as the C program",
            pairs.ratio(lambda r: r.cpu),
            "x",
            note=pairs.spread(lambda r: r.cpu),
        ),
        Figure("migrate", count / measure.median([r.wall for r in pairs.ours]), "objects/s"),
        Figure(
            "migrate, per second of CPU", count / measure.median([r.cpu for r in pairs.ours]), "objects/s"
        ),
        Figure("C program", count / measure.median([r.wall for r in pairs.yardstick]), "objects/s"),
        Figure(
            "migrate, peak resident (map included)",
            measure.median([r.peak_kib for r in pairs.ours]) / 1024,
            "MiB",
        ),
    ]
    measure.report(
        f"migrate-{wanted.shape}-{count}",
        figures,
        {"tree": f"{count} objects, {wanted.shape}", "pairs": wanted.pairs},
    )


if __name__ == "__main__":
    main()
