"""Ten times the rows in at most ten and a half times the time; and how much memory it takes.

    python -m benchmarks.scaling [--small N] [--large N] [--pairs N]

`migrate` as a whole process over trees of the same shape, a new store each time. Memory is private memory, as
in `memory.py`, of `migrate` and `verify` of the larger tree.
"""

from __future__ import annotations

import shutil

from benchmarks import measure
from benchmarks.measure import Figure
from benchmarks.memory import LIMIT_MIB, peak_memory
from benchmarks.migrate import fresh_store, migrate, options
from benchmarks.trees import cache, tree


def main() -> None:
    parser = options(__doc__, shapes=False)
    parser.add_argument("--small", type=int, default=20_000)
    parser.add_argument("--large", type=int, default=200_000)
    wanted = parser.parse_args()
    small, large = tree("inline", wanted.small), tree("inline", wanted.large)
    pairs = measure.interleave(
        lambda: migrate(small, fresh_store()), lambda: migrate(large, fresh_store()), wanted.pairs
    )
    store = fresh_store()
    memory = {verb: peak_memory(verb, "--drive", large, "--store", store) for verb in ("migrate", "verify")}
    shutil.rmtree(cache() / "store", ignore_errors=True)
    times = wanted.large / wanted.small
    wall, cpu = (lambda run: run.wall), (lambda run: run.cpu)
    figures = [
        Figure.of(f"wall: {times:g} times the rows", pairs.ratios(wall), "x", 1.05 * times, "lower"),
        Figure.of(f"CPU: {times:g} times the rows", pairs.ratios(cpu), "x", None, "lower"),
        Figure.of("migrate, small", (run.wall for run in pairs.ours), "s"),
        Figure.of("migrate, large", (run.wall for run in pairs.yardstick), "s"),
        *(
            Figure(f"{verb}, RssAnon + RssShmem", mib, "MiB", LIMIT_MIB, "lower")
            for verb, mib in memory.items()
        ),
    ]
    facts = {"small": wanted.small, "large": wanted.large, "pairs": wanted.pairs}
    measure.report(f"scaling-{wanted.small}-{wanted.large}", figures, facts)


if __name__ == "__main__":
    main()
