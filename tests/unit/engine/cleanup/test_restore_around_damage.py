"""A restore and an export go around damaged rows: all others come back, and each of them is named."""

from __future__ import annotations

import json

import pytest

from dualtrack.cli.main import main
from dualtrack.engine import marker, naming
from dualtrack.engine.cleanup.hold import hold
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.native import library
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
    after = small.files()
    assert {path: after.get(path) for path in before} == before


@pytest.mark.parametrize("words", [(), ("--format", "csv"), ("without the library",)])
def test_an_export_leaves_out_damaged_rows_and_says_so(
    small, words, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if words == ("without the library",):
        monkeypatch.setattr(library, "library", lambda: None)
        words = ()
    export = ["engine", "export", "--store", str(small.store), *words]
    assert main(export) == 0
    whole = capsys.readouterr().out.splitlines()
    rows = rows_of(small)
    broken = [rows[0], rows[-1]]
    write(small, {full: flipped(value) for full, value in stored(small, broken).items()})

    assert main(export) == StoreCorruptError.exit_code
    told = capsys.readouterr()
    names = {f"plain/{row.key}" for row in broken}
    assert {
        json.loads(line.split(": ", 1)[1]) for line in told.err.splitlines() if "damaged: " in line
    } == names
    assert "2 rows of" in told.err
    left = [line for line in whole if not any(key_of(line, row.key) for row in broken)]
    assert told.out.splitlines() == left
    assert len(left) < len(whole)


def key_of(line: str, key: str) -> bool:
    """Whether a line of either format is of this key of the bucket."""
    return f'"key":"{key}"' in line.replace(" ", "") or line.startswith(f"plain,{key},")
