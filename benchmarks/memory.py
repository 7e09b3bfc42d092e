"""Private memory beside many rows: what the kernel calls anonymous and shared (RssAnon + RssShmem).

    python -m benchmarks.memory [--rows N] [--files N]

Plain resident memory would count the mapped store, which is page cache. The rows, 10 million if not told
otherwise, are written straight into a store, sealed, each with the bytes of a real `xl.meta` under a key of
its own. Then three verbs run, each a process of its own, and its memory is looked at twenty times a second:

* `export` reads, checks and decodes every row; `ls` goes through the index;
* `migrate` sweeps a tree of `--files` files into the same store, and at its end looks through all rows for
  objects that are gone. The rows that were generated are of a later generation, so that it counts them and
  asks for no file.

Not measured: a verb that meets as many files as rows. Files for so many rows would take hours to make; what
`migrate` and `verify` hold in memory are batches and, of a walk, the directories still to be visited.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from benchmarks import measure
from benchmarks.measure import Figure
from benchmarks.trees import cache, encoded, tree
from dualtrack.engine.drive import Drive
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.rows import Fingerprint, Generation, Row, RowOrigin, RowState
from dualtrack.engine.stores import envelope
from dualtrack.engine.stores.keys import full_key
from dualtrack.engine.stores.location import locate
from dualtrack.engine.stores.opening import open_store
from dualtrack.engine.stores.protocol import Batch, SealedRows
from dualtrack.engine.summary import summary

BUCKET = "generated"
LIMIT_MIB = 300.0
_LATER = Generation(1 << 30, 0)
"""Than every generation of a sweep."""
_BATCH = 20_000
_LOOK_SECONDS = 0.05


def peak_memory(*words: str | Path) -> float:
    """MiB of anonymous and shared memory at most, over the run of a verb."""
    command = measure.dualtrack("engine", *words)
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, cwd=measure.REPO)
    peak = 0
    while process.poll() is None:
        peak = max(peak, _private(process.pid))
        time.sleep(_LOOK_SECONDS)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, words))} ended with {process.returncode}")
    return peak / 1024


def _private(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except FileNotFoundError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssAnon", "RssShmem")))


def generated(drive: bytes, count: int) -> Iterator[SealedRows]:
    """Rows as a sweep seals them, in batches."""
    data = encoded(0, uuid.UUID(int=1).bytes, inline=True)
    entry = summary(xlmeta.decode(data)).pack()
    for start in range(0, count, _BATCH):
        rows = SealedRows()
        for number in range(start, min(start + _BATCH, count)):
            key = f"{number // 1_000_000:03}/{number // 1_000 % 1_000:03}/object-{number:09}.json"
            full = full_key(BUCKET, key)
            check = envelope.summary_check(drive, full, entry)
            file = Fingerprint(number, len(data), number, number)
            row = Row(BUCKET, key, _LATER, RowState.PRESENT, RowOrigin.FS, file, 0o644, 0, 0, number, data)
            rows.fulls.append(full)
            rows.values.append(envelope.pack(drive, full, row, 1, check))
            rows.entries.append(envelope.pack_index(entry, check))
        rows.versions = [1] * len(rows.fulls)
        yield rows


def fill(store: Path, drive_id: str, count: int) -> None:
    """A new store of that drive with `count` rows whose files nobody has."""
    opened = open_store(locate(str(store)), drive_id)
    try:
        opened.open_term()
        for rows in generated(drive_id.encode(), count):
            for result in opened.commit_many([Batch(sealed=rows)]):
                if isinstance(result, Exception):
                    raise result
    finally:
        opened.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--files", type=int, default=200_000)
    wanted = parser.parse_args()
    drive, store = tree("inline", wanted.files), cache() / "store-of-many"
    shutil.rmtree(store, ignore_errors=True)
    try:
        fill(store, Drive.open(drive).drive_id, wanted.rows)
        peaks = {
            "export": peak_memory("export", "--store", store),
            "ls": peak_memory("ls", "--store", store, BUCKET),
            f"migrate of {wanted.files} files": peak_memory("migrate", "--drive", drive, "--store", store),
        }
    finally:
        shutil.rmtree(store, ignore_errors=True)
    figures = [
        Figure(f"{what}, RssAnon + RssShmem", mib, "MiB", LIMIT_MIB, "lower") for what, mib in peaks.items()
    ]
    measure.report(f"memory-{wanted.rows}", figures, {"store": f"{wanted.rows} rows, LMDB"})


if __name__ == "__main__":
    main()
