"""A restore goes around damaged rows: all others come back, each is named, the drive stays refused."""

from __future__ import annotations

import pytest

from dualtrack.engine import marker, naming
from dualtrack.engine.cleanup.hold import hold
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.restore import restore
from dualtrack.engine.rows import Row
from dualtrack.engine.stores.keys import full_key
from dualtrack.engine.stores.transaction import ROWS
from dualtrack.errors import StoreCorruptError


def rows_of(bench) -> list[Row]:
    with bench.task() as task:
        return [row for row in task.owner.scan(None, 10_000) if row.present and row.bucket == "plain"]


def write(bench, values: dict[bytes, bytes]) -> None:
    """Past the store's own checks, as a bad disk does."""
    with bench.task() as task, task.owner.store._write() as txn:
        for full, value in values.items():
            txn.put(ROWS, full, value)


def stored(bench, rows: list[Row]) -> dict[bytes, bytes]:
    with bench.task() as task, task.owner.store._read() as txn:
        found = txn.get_many(ROWS, [full_key(row.bucket, row.key) for row in rows])
        return {full: bytes(value) for full, value in found.items()}


def flipped(value: bytes) -> bytes:
    return value[:-1] + bytes((value[-1] ^ 1,))


@pytest.mark.parametrize("damage", [flipped, lambda value: bytes(len(value)), lambda value: b"\xff" * 64])
def test_damaged_rows_stop_no_other_object_and_come_back_once_they_are_mended(small, damage) -> None:
    before = small.files()
    rows = rows_of(small)
    small.run(hold)
    held = small.held()
    broken = [rows[0], rows[4]]
    sound = stored(small, broken)
    write(small, {full: damage(value) for full, value in sound.items()})

    with small.task() as task:
        with pytest.raises(StoreCorruptError) as caught:
            restore(task)
        counts = task.counts
    assert counts["damaged"] == 2
    assert (
        counts["restored"] + counts["equal"] + counts["resident"] + counts["systemKept"] == task.scanned - 2
    )
    for row in broken:
        assert f"{row.bucket}/{row.key}" in str(caught.value)
        assert not (small.drive / naming.meta_path(row.bucket, row.key)).exists()
    after = small.files()
    assert {path for path in before if path not in after and path.endswith("/xl.meta")} == {
        naming.meta_path(row.bucket, row.key) for row in broken
    }
    # Nothing that could still bring the two back is gone: their held files, their rows, the drive's hold.
    assert small.held() == held
    assert marker.read(str(small.drive)).state.reached(MarkerState.KV_ONLY)
    assert stored(small, broken) == {full: damage(value) for full, value in sound.items()}

    write(small, sound)
    small.run(restore)
    assert {path: small.files().get(path) for path in before} == before
