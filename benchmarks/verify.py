"""`verify` of a whole drive against `migrate` of the same drive.

    python -m benchmarks.verify [--shape inline|parts|deep] [--count N] [--pairs N] [--cold]

Both verbs are whole processes that own the store. `migrate` fills a new store in each pair, and `verify` then
reads every file, row and index entry of it.
"""

from __future__ import annotations

import shutil

from benchmarks import measure
from benchmarks.measure import Figure, Run, interleave
from benchmarks.migrate import fresh_store, migrate, options
from benchmarks.trees import cache, tree


def main() -> None:
    wanted = options(__doc__).parse_args()
    drive = tree(wanted.shape, wanted.count)
    store = fresh_store()

    def verify() -> Run:
        return measure.run(measure.dualtrack("engine", "verify", "--drive", drive, "--store", store))

    pairs = interleave(verify, lambda: migrate(drive, fresh_store()), wanted.pairs, cold=wanted.cold)
    shutil.rmtree(cache() / "store", ignore_errors=True)
    wall, cpu = (lambda run: run.wall), (lambda run: run.cpu)
    figures = [
        Figure.of("wall: times as fast as migrate", pairs.ratios(wall), "x", 1.0),
        Figure.of("CPU: times as cheap as migrate", pairs.ratios(cpu), "x"),
        Figure.of("verify", (wanted.count / run.wall for run in pairs.ours), "objects/s"),
        Figure.of("verify, per second of CPU", (wanted.count / run.cpu for run in pairs.ours), "objects/s"),
    ]
    caches = "cold" if wanted.cold else "warm"
    facts = {"tree": f"{wanted.count} objects, {wanted.shape}", "pairs": wanted.pairs, "caches": caches}
    name = f"verify-{wanted.shape}-{wanted.count}" + ("-cold" if wanted.cold else "")
    measure.report(name, figures, facts)


if __name__ == "__main__":
    main()
