"""Ten times the rows in at most ten and a half times the time; and how much memory it takes.

    python -m benchmarks.scaling [--small N] [--large N] [--pairs N]

`migrate` as a whole process over trees of the same shape. Memory is what the kernel calls anonymous and
shared (RssAnon + RssShmem), looked at twenty times a second: plain resident memory would count the mapped
store, which is page cache.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

from benchmarks import measure
from benchmarks.measure import Figure
from benchmarks.migrate import fresh_store, migrate, options
from benchmarks.trees import BUCKET, cache, tree

_LOOK_SECONDS = 0.05


def peak_memory(drive: Path, verb: str, store: Path) -> float:
    """MiB of anonymous and shared memory at most, over the run of a verb."""
    command = measure.dualtrack("engine", verb, "--drive", drive, "--store", store)
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, cwd=measure.REPO)
    peak = 0
    while process.poll() is None:
        peak = max(peak, _private(process.pid))
        time.sleep(_LOOK_SECONDS)
    if process.returncode:
        raise SystemExit(f"{verb} ended with {process.returncode}")
    return peak / 1024


def _private(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon", "RssShmem")))


def main() -> None:
    parser = options(__doc__, shapes=False)
    parser.add_argument("--small", type=int, default=20_000)
    parser.add_argument("--large", type=int, default=200_000)
    wanted = parser.parse_args()
    small, large = tree("inline", wanted.small), tree("inline", wanted.large)
    scanner = measure.scanner()

    def warm() -> None:
        measure.run([scanner, small / BUCKET])
        measure.run([scanner, large / BUCKET])

    pairs = measure.interleave(
        lambda: migrate(small, fresh_store()), lambda: migrate(large, fresh_store()), warm, wanted.pairs
    )
    store = fresh_store()
    memory = {verb: peak_memory(large, verb, store) for verb in ("migrate", "verify")}
    shutil.rmtree(cache() / "store", ignore_errors=True)
    times = wanted.large / wanted.small
    wall, cpu = (lambda run: run.wall), (lambda run: run.cpu)
    figures = [
        Figure.of(f"wall: {times:g} times the rows", pairs.ratios(wall), "x", 1.05 * times, "lower"),
        Figure.of(f"CPU: {times:g} times the rows", pairs.ratios(cpu), "x", None, "lower"),
        Figure.of("migrate, small", (run.wall for run in pairs.ours), "s"),
        Figure.of("migrate, large", (run.wall for run in pairs.yardstick), "s"),
        *(Figure(f"{verb}, RssAnon + RssShmem", mib, "MiB", 300.0, "lower") for verb, mib in memory.items()),
    ]
    facts = {"small": wanted.small, "large": wanted.large, "pairs": wanted.pairs}
    measure.report(f"scaling-{wanted.small}-{wanted.large}", figures, facts)


if __name__ == "__main__":
    main()
