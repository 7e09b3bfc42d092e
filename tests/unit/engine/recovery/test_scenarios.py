"""The guide's two disasters, from the damage to the drive that serves again: the store is damaged while a
server runs on it, and the file system loses its metadata.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dualtrack.cli.main import main
from dualtrack.engine import marker
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.types import Attributes
from dualtrack.engine.stores import place
from dualtrack.engine.stores.transaction import ROWS
from dualtrack.errors import MarkerError, OwnerError, StoreCorruptError
from layers import Body, Figures, new_drive, opened, sweep
from sweepbench import Bench

KEYS = [f"key-{number}" for number in range(12)]


def put(layer: ObjectLayer, key: str, content: bytes) -> None:
    layer.put("bucket", key, Body(content), Attributes())


def get(layer: ObjectLayer, key: str) -> bytes:
    return b"".join(layer.read("bucket", key)[1])


def everything(layer: ObjectLayer) -> dict[str, bytes]:
    page = layer.list_objects("bucket", "", "", "", 1000)
    return {each.key: get(layer, each.key) for each in page.objects}


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """A drive on the dual track, swept."""
    made = new_drive(tmp_path / "drive")
    with opened(made, "fs/1") as layer:
        layer.create_bucket("bucket")
        for key in KEYS:
            put(layer, key, key.encode())
        layer.drain()
        sweep(layer)
    return made


def verb(name: str, drive: Path, *more: str) -> int:
    store = str(drive / ".dualtrack" / "store")
    return main(["engine", name, "--drive", str(drive), "--store", store, *more])


@contextmanager
def primary(drive: Path, figures: Figures | None = None) -> Iterator[ObjectLayer]:
    with opened(drive, "kv_primary/1/true", figures=figures) as layer:
        yield layer


def test_a_store_that_is_cut_off_under_a_server_leaves_it_to_its_files(
    drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "LOOK_SECONDS", 0)
    expected = {key: key.encode() for key in KEYS}
    with primary(drive) as layer:
        assert everything(layer) == expected
        os.truncate(drive / ".dualtrack/store/data.mdb", 8_192)
        assert everything(layer) == expected
        put(layer, "new", b"new")
        assert get(layer, "new") == b"new"
    assert verb("rebuild", drive) == 0
    with primary(drive) as layer:
        sweep(layer)
        assert everything(layer) == expected | {"new": b"new"}


def test_a_row_that_is_damaged_under_a_server_is_read_from_its_file_until_a_rebuild(drive: Path) -> None:
    expected = {key: key.encode() for key in KEYS}
    with primary(drive) as layer:
        owner = layer.opened.owner
        assert owner is not None
        with owner.store._write() as txn:  # type: ignore[attr-defined]
            value = bytearray(txn.get(ROWS, b"bucket\0key-3"))
            value[-1] ^= 1
            txn.put(ROWS, b"bucket\0key-3", bytes(value))
        with pytest.raises(StoreCorruptError, match="bucket/key-3"):
            owner.get("bucket", "key-3")
        assert everything(layer) == expected
        put(layer, "key-3", b"written over a damaged row")
        put(layer, "later", b"later")
        expected |= {"key-3": b"written over a damaged row", "later": b"later"}
        assert everything(layer) == expected
        # The drain brings in what lies in the same group, and leaves the damaged key alone in the journal.
        with pytest.raises(StoreCorruptError):
            owner.get("bucket", "key-3")
        token = owner.mark("bucket", "key-4")
        assert token is not None
        layer.drain()
        assert owner.dirty_places(10) == [("bucket", "key-3")]
        assert everything(layer) == expected
    assert verb("scrub", drive) == StoreCorruptError.exit_code
    assert verb("rebuild", drive) == 0
    assert verb("scrub", drive) == 0
    with primary(drive) as layer:
        assert everything(layer) == expected
        owner = layer.opened.owner
        assert owner is not None
        assert owner.get("bucket", "key-3") is not None


def test_a_store_that_is_lost_is_rebuilt_beside_a_server_that_goes_on_from_files(drive: Path) -> None:
    expected = {key: key.encode() for key in KEYS}
    os.truncate(drive / ".dualtrack" / "store" / "data.mdb", 9_000)
    figures = Figures()
    with primary(drive, figures) as layer:
        assert figures.gauges["rustfs_kv_degraded"] == 1
        assert everything(layer) == expected
        put(layer, "before", b"before the rebuild")
        assert verb("rebuild", drive) == 0
        put(layer, "key-1", b"after the rebuild, with no mark and no row")
        expected |= {"before": b"before the rebuild", "key-1": b"after the rebuild, with no mark and no row"}
        assert everything(layer) == expected
    with primary(drive) as layer:
        # What the degraded server wrote left no marks, so none of these rows is served before a sweep.
        owner = layer.opened.owner
        assert owner is not None
        stale = owner.get("bucket", "key-1")
        assert stale is not None
        assert stale.generation < owner.trust_floor()
        assert everything(layer) == expected
        sweep(layer)
        assert everything(layer) == expected


def test_no_rebuild_under_a_server_that_owns_the_store(drive: Path) -> None:
    with opened(drive, "fs/1", socket=True):
        assert verb("rebuild", drive) == OwnerError.exit_code


def test_a_new_store_is_never_believed_over_the_files(drive: Path) -> None:
    """H22: an empty store must not look like an empty drive."""
    shutil.rmtree(drive / ".dualtrack" / "store")
    with primary(drive) as layer:
        assert everything(layer) == {key: key.encode() for key in KEYS}
    verb("repair", drive, "--strategy", "sync-to-fs", "--server-stopped")
    assert all((drive / "bucket" / key / "xl.meta").is_file() for key in KEYS)
    found = marker.read(str(drive))
    moved = found.moved(
        MarkerState.KV_PRIMARY, store_uuid="of the lost one", epoch=1, migration_uid="", now=datetime.now(UTC)
    )
    marker.write(str(drive), moved)
    for name in ("migrate", "verify", "repair"):
        more = ["--strategy", "sync-to-fs", "--server-stopped"] if name == "repair" else []
        assert verb(name, drive, *more) != 0
    assert all((drive / "bucket" / key / "xl.meta").is_file() for key in KEYS)


def hashes(drive: Path) -> dict[str, str]:
    return {
        str(path.relative_to(drive)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in drive.rglob("*")
        if path.is_file() and ".dualtrack" not in path.parts
    }


def lose_metadata(drive: Path) -> int:
    """Every `xl.meta` below a bucket is gone, as after a file system check that found no directory."""
    lost = [path for path in drive.rglob("xl.meta") if not path.relative_to(drive).parts[0].startswith(".")]
    for path in lost:
        path.unlink()
    return len(lost)


def test_rows_alone_give_listing_export_and_every_file_back(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    before = hashes(bench.drive)
    with bench.owner() as owner:
        listed = [key for key, _ in owner.scan_index("versioned", "", None, 1000)]
    assert main(["engine", "export", "--store", str(bench.store)]) == 0
    exported = capsys.readouterr().out
    assert lose_metadata(bench.drive) > 5
    with bench.owner() as owner:
        assert [key for key, _ in owner.scan_index("versioned", "", None, 1000)] == listed
    assert main(["engine", "export", "--store", str(bench.store)]) == 0
    assert capsys.readouterr().out == exported
    assert {json.loads(line)["bucket"] for line in exported.splitlines()} >= {"anon", "versioned"}
    for step in (MarkerState.DUAL_WRITE, MarkerState.KV_PRIMARY, MarkerState.KV_ONLY):
        assert verb("mark", bench.drive, "--state", step.value) == 0
    assert verb("restore", bench.drive) == 0
    assert hashes(bench.drive) == before


def test_a_store_of_a_drive_at_kv_only_is_never_rebuilt(bench: Bench) -> None:
    for step in (MarkerState.DUAL_WRITE, MarkerState.KV_PRIMARY, MarkerState.KV_ONLY):
        assert verb("mark", bench.drive, "--state", step.value) == 0
    os.truncate(bench.store / "data.mdb", 9_000)
    assert verb("rebuild", bench.drive) == MarkerError.exit_code
