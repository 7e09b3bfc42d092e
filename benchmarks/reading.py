"""Reading a store in one process: pages of the index, single rows at random, a whole export.

    python -m benchmarks.reading [--count N]

Each figure is the median of nine repetitions after one that is not counted, in wall seconds and in CPU
seconds of the thread that reads. The export is the whole of it: rows verified and decoded,
each version as a line of JSON.
"""

from __future__ import annotations

import argparse
import gc
import random
import shutil
import statistics
import time
from collections.abc import Callable

from benchmarks import measure
from benchmarks.measure import Figure
from benchmarks.migrate import fresh_store, migrate
from benchmarks.trees import BUCKET, tree
from dualtrack.engine.export import LeftOut, exported_lines
from dualtrack.engine.owner import Owner, OwnerSettings

PAGE = 10_000
READS = 5_000
REPEATS = 9


def timed(work: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Wall and CPU seconds of each repetition."""
    work()
    wall, cpu = [], []
    for _ in range(REPEATS):
        began, used = time.perf_counter(), time.thread_time()
        work()
        wall.append(time.perf_counter() - began)
        cpu.append(time.thread_time() - used)
    return wall, cpu


def figures_of(owner: Owner) -> list[Figure]:
    keys = [key for key, _ in owner.scan_index(BUCKET, "", None, 1 << 30)]
    some = random.Random(0).sample(keys, min(READS, len(keys)))

    def listed() -> None:
        owner.scan_index(BUCKET, "", None, PAGE)

    def entries() -> None:
        owner.list_index(BUCKET, "", None, PAGE)

    def read() -> None:
        for key in some:
            owner.get(BUCKET, key)

    def export() -> int:
        return sum(lines.count(b"\n") for lines in exported_lines(owner, LeftOut()))

    found: list[Figure] = []
    for name, work, scale, unit, target in (
        (f"{PAGE} index rows, checked", listed, 1e3, "ms", 5.0),
        (f"{PAGE} index rows as S3 entries", entries, 1e3, "ms", 10.0),
        ("one row at random", read, 1e6 / len(some), "µs", 10.0),
    ):
        wall, cpu = timed(work)
        note = f"CPU {statistics.median(cpu) * scale:.2f}"
        found.append(Figure.of(name, [each * scale for each in wall], unit, target, "lower", note))
    versions = export()
    wall, cpu = timed(export)
    note = f"per second of CPU {versions / statistics.median(cpu):,.0f}"
    found.append(Figure.of("export", [versions / each for each in wall], "versions/s", 140_000.0, note=note))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=200_000)
    wanted = parser.parse_args()
    drive, store = tree("inline", wanted.count), fresh_store()
    migrate(drive, store)
    # As the gateway and every verb that reads does: what has been loaded is not looked through for cycles.
    gc.freeze()
    owner = Owner.open(None, str(store), OwnerSettings())
    try:
        figures = figures_of(owner)
    finally:
        owner.close()
    shutil.rmtree(store)
    measure.report(f"reading-{wanted.count}", figures, {"store": f"{wanted.count} objects, LMDB"})


if __name__ == "__main__":
    main()
