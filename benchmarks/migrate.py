"""`migrate` against a C program that only walks and reads the same tree.

    python -m benchmarks.migrate [--shape inline|parts|deep] [--count N] [--pairs N] [--cold]
                                [--concurrency N]

Ours is the whole verb as a user runs it: interpreter start, walk, read, CRC, summary, envelope,
compare-and-set, durable commits into a new store, and the pass for deleted objects at the end. `--cold` drops
the kernel's caches before each side. `--concurrency 1` has ours read with one thread, as the C program does;
without it, it takes what it takes for a user: a thread for each processor.
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


def migrate(drive: Path, store: Path, concurrency: int | None = None) -> Run:
    pace = () if concurrency is None else ("--concurrency", str(concurrency))
    return measure.run(
        measure.dualtrack(
            "engine", "migrate", "--drive", drive, "--store", store, "--progress", "none", *pace
        )
    )


def options(description: str | None, *, shapes: bool = True) -> argparse.ArgumentParser:
    """What the benchmarks of whole drives have in common."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--pairs", type=int, default=measure.PAIRS)
    if shapes:
        parser.add_argument("--shape", choices=("inline", "parts", "deep"), default="inline")
        parser.add_argument("--count", type=int, default=200_000)
        parser.add_argument("--cold", action="store_true", help="drop the kernel's caches before each side")
    return parser


def main() -> None:
    parser = options(__doc__)
    parser.add_argument(
        "--concurrency", type=int, help="how many threads of ours read; as many as it takes itself"
    )
    wanted = parser.parse_args()
    drive = tree(wanted.shape, wanted.count)
    scan = [measure.scanner(), drive / BUCKET]
    pairs = interleave(
        lambda: migrate(drive, fresh_store(), wanted.concurrency),
        lambda: measure.run(scan),
        wanted.pairs,
        cold=wanted.cold,
    )
    shutil.rmtree(cache() / "store", ignore_errors=True)
    count = wanted.count
    wall, cpu = (lambda run: run.wall), (lambda run: run.cpu)
    target = 0.9 if wanted.cold else TARGETS.get(wanted.shape)
    figures = [
        Figure.of("wall: times as fast as the C program", pairs.ratios(wall), "x", target),
        Figure.of("CPU: times as cheap as the C program", pairs.ratios(cpu), "x"),
        Figure.of("migrate", (count / run.wall for run in pairs.ours), "objects/s"),
        Figure.of("migrate, per second of CPU", (count / run.cpu for run in pairs.ours), "objects/s"),
        Figure.of("C program", (count / run.wall for run in pairs.yardstick), "objects/s"),
        Figure.of(
            "migrate, peak resident (map included)", (run.peak_kib / 1024 for run in pairs.ours), "MiB"
        ),
    ]
    name = f"migrate-{wanted.shape}-{count}" + ("-cold" if wanted.cold else "")
    facts: dict[str, object] = {
        "tree": f"{count} objects, {wanted.shape}",
        "pairs": wanted.pairs,
        "caches": "cold" if wanted.cold else "warm",
    }
    if wanted.concurrency is not None:
        name += f"-by-{wanted.concurrency}"
        facts["threads"] = wanted.concurrency
    measure.report(name, figures, facts)


if __name__ == "__main__":
    main()
