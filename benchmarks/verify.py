"""`verify` of a whole drive against `migrate` of the same drive, and against the C program.

    python -m benchmarks.verify [--shape inline|parts|deep] [--count N] [--pairs N]

Both verbs are whole processes that own the store. `migrate` fills a new store in each pair, and `verify` then
reads every file, row and index entry of it.
"""

from __future__ import annotations

import argparse
import shutil

from benchmarks import measure
from benchmarks.measure import Figure, Run, interleave
from benchmarks.migrate import fresh_store, migrate
from benchmarks.trees import BUCKET, cache, tree


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shape", choices=("inline", "parts", "deep"), default="inline")
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--pairs", type=int, default=measure.PAIRS)
    wanted = parser.parse_args()
    drive = tree(wanted.shape, wanted.count)
    scan = [measure.scanner(), drive / BUCKET]
    store = fresh_store()

    def verify() -> Run:
        return measure.run(measure.dualtrack("engine", "verify", "--drive", drive, "--store", store))

    pairs = interleave(verify, lambda: migrate(drive, fresh_store()), lambda: measure.run(scan), wanted.pairs)
    shutil.rmtree(cache() / "store", ignore_errors=True)
    wall, cpu = (lambda run: run.wall), (lambda run: run.cpu)
    figures = [
        Figure("wall: times as fast as migrate", pairs.ratio(wall), "x", 1.0, note=pairs.spread(wall)),
        Figure("CPU: times as cheap as migrate", pairs.ratio(cpu), "x", note=pairs.spread(cpu)),
        Figure("verify", wanted.count / measure.median([r.wall for r in pairs.ours]), "objects/s"),
        Figure(
            "verify, per second of CPU",
            wanted.count / measure.median([r.cpu for r in pairs.ours]),
            "objects/s",
        ),
    ]
    facts = {"tree": f"{wanted.count} objects, {wanted.shape}", "pairs": wanted.pairs}
    measure.report(f"verify-{wanted.shape}-{wanted.count}", figures, facts)


if __name__ == "__main__":
    main()
