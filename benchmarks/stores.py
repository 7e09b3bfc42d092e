#!/usr/bin/env python3
"""The three stores side by side, in one run: `benchmarks/stores.py [--rows N] [--rounds N]`.

Each round gives every store a fresh place and the same batches, in an order that changes from round to round;
the medians of the rounds are told, with CPU seconds of this process beside wall time, and ratios to LMDB of
the same run. PostgreSQL does its work in processes of its own, so its CPU seconds are the client's alone.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import statistics
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "support")]

from dualtrack.engine.rows import NO_FILE, Generation, Row, RowOrigin, RowState  # noqa: E402
from dualtrack.engine.stores.location import locate  # noqa: E402
from dualtrack.engine.stores.opening import open_store  # noqa: E402
from dualtrack.engine.stores.protocol import Batch, OwnedStore, Put  # noqa: E402
from postgres import postgres  # noqa: E402

BATCHES = (1, 256, 2_048)
SINGLE_ROWS = 500
"""Batches of one row cost a flush each; more of them would only take longer."""

BODY = 500


@dataclass(frozen=True)
class Cost:
    wall: float
    cpu: float


@contextlib.contextmanager
def timed(costs: list[Cost], rows: int) -> Iterator[None]:
    """Microseconds a row, on the wall and of this process's CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    scale = 1e6 / rows
    costs.append(Cost((time.perf_counter() - wall) * scale, (time.process_time() - cpu) * scale))


def puts(bucket: str, count: int) -> list[Put]:
    body = os.urandom(BODY)
    return [
        Put(
            Row(
                bucket,
                f"key/{number:08d}",
                Generation(1, 1),
                RowState.PRESENT,
                RowOrigin.FS,
                NO_FILE,
                0o644,
                0,
                0,
                0,
                body + number.to_bytes(4, "big"),
            ),
            b"summary of about one hundred bytes".ljust(100),
        )
        for number in range(count)
    ]


def measure(store: OwnedStore, rows: int, costs: dict[str, list[Cost]]) -> None:
    store.open_term()
    total = 0
    for size in BATCHES:  # each in a bucket of its own: all of them insert
        count = min(rows, SINGLE_ROWS) if size == 1 else rows
        total += count
        made = puts(f"batches-of-{size}", count)
        batches = [Batch(puts=tuple(made[start : start + size])) for start in range(0, count, size)]
        with timed(costs[f"commit, batches of {size}"], count):
            for batch in batches:
                store.commit(batch)
    bucket = f"batches-of-{BATCHES[-1]}"
    keys = [(bucket, f"key/{random.randrange(rows):08d}") for _ in range(2_000)]
    with timed(costs["get, one by one"], len(keys)):
        for key in keys:
            store.get(*key)
    with timed(costs["scan of the index"], rows):
        after, found = None, 0
        while page := store.scan_index(bucket, "", after, 5_000):
            after, found = page[-1][0], found + len(page)
    with timed(costs["digest (every row verified)"], total):
        digest = store.digest()
    if (found, digest.count) != (rows, total):
        raise SystemExit(f"{found} entries, {digest.count} rows in place of {rows}, {total}: no figures")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    costs: dict[str, dict[str, list[Cost]]] = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory(prefix="dtbench") as directory:
        Path(directory).chmod(0o755)
        with postgres(Path(directory) / "pg") as server:
            for round_ in range(arguments.rounds):
                places = {
                    "LMDB": f"{directory}/lmdb-{round_}",
                    "RocksDB": f"rocksdb:{directory}/rocksdb-{round_}",
                    "PostgreSQL": f"{server.url}&schema=b{uuid.uuid4().hex}",
                }
                names = list(places)
                for name in names[round_ % 3 :] + names[: round_ % 3]:
                    store = open_store(locate(places[name]), "drive-1")
                    try:
                        measure(store, arguments.rows, costs[name])
                    finally:
                        store.close()
    tell(costs, arguments.rows, arguments.rounds)


def tell(costs: dict[str, dict[str, list[Cost]]], rows: int, rounds: int) -> None:
    print(f"{rows} rows of {BODY} B, medians of {rounds} rounds; µs a row: wall (CPU), × LMDB's wall\n")
    print(f"{'':30}" + "".join(f"{name:>26}" for name in ("LMDB", "RocksDB", "PostgreSQL")))
    for what in costs["LMDB"]:
        base = statistics.median(cost.wall for cost in costs["LMDB"][what])
        cells = []
        for name in ("LMDB", "RocksDB", "PostgreSQL"):
            wall = statistics.median(cost.wall for cost in costs[name][what])
            cpu = statistics.median(cost.cpu for cost in costs[name][what])
            cells.append(f"{wall:9.1f} ({cpu:6.1f}) {wall / base:5.1f}×")
        print(f"{what:30}" + "".join(f"{cell:>26}" for cell in cells))


if __name__ == "__main__":
    main()
