"""The marker moves one state at a time, each on proof."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dualtrack.engine import marker
from dualtrack.engine.drive import Drive
from dualtrack.engine.lock import DriveLock
from dualtrack.engine.marker import Marker, MarkerState
from dualtrack.engine.marking import mark
from dualtrack.engine.owner import Owner, OwnerSettings
from dualtrack.engine.stores.protocol import Batch
from dualtrack.engine.task import Task
from dualtrack.errors import MarkerError
from layers import new_drive

S = MarkerState
EPOCH = 4
SWEPT = {"swept_epoch": b"4"}
FULL = {"verified": json.dumps({"kind": "full", "epoch": EPOCH}).encode()}
FINAL = {"verified": json.dumps({"kind": "final", "epoch": EPOCH}).encode()}
OLD = {"verified": json.dumps({"kind": "full", "epoch": 3}).encode()}
BROKEN = {"unmended": b"1"}


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Owner]:
    drive = Drive.open(new_drive(tmp_path))
    owner = Owner.open(drive.path, str(tmp_path / "store"), OwnerSettings(drive.drive_id, map_size=1 << 24))
    owner.commit(Batch(meta={"epoch": str(EPOCH).encode()}))
    yield owner
    owner.close()


def move(owner: Owner, path: Path, start: S, wanted: S, metas: dict[str, bytes], **changes: Any) -> Marker:
    uuid = (owner.meta("store_uuid") or b"").decode()
    if start is not S.FS_AUTHORITATIVE:
        marker.write(str(path), Marker(start, uuid, EPOCH, "mine", "2026-11-23T12:00:00Z"))
    owner.commit(Batch(meta=dict(metas)))
    fields = {"migration_uid": "mine", "epoch": EPOCH, **changes}
    fence = owner.begin("run", 0)
    with DriveLock.acquire(str(path), fence, "run") as lock:
        return mark(Task(Drive.open(path), "", owner, fence, "run", **fields), lock, wanted)


@pytest.mark.parametrize(
    ("start", "wanted", "metas"),
    [
        (S.FS_AUTHORITATIVE, S.DUAL_WRITE, {}),
        (S.DUAL_WRITE, S.KV_PRIMARY, SWEPT | FULL),
        (S.KV_PRIMARY, S.KV_ONLY, SWEPT | FULL),
        (S.KV_ONLY, S.KV_PRIMARY, FULL),
        (S.PURGED, S.KV_PRIMARY, FULL),
        (S.KV_PRIMARY, S.DUAL_WRITE, {}),
        (S.KV_PRIMARY, S.DUAL_WRITE, BROKEN),
        (S.DUAL_WRITE, S.FS_AUTHORITATIVE, {}),
    ],
)
def test_a_proven_step_is_made_durable(
    owner: Owner, tmp_path: Path, start: S, wanted: S, metas: dict[str, bytes]
) -> None:
    moved = move(owner, tmp_path, start, wanted, metas)
    assert marker.read(str(tmp_path)) == moved
    assert (moved.state, moved.epoch, moved.migration_uid) == (wanted, EPOCH, "mine")
    assert moved.store_uuid == (owner.meta("store_uuid") or b"").decode()


@pytest.mark.parametrize(
    ("start", "wanted", "metas"),
    [
        (S.DUAL_WRITE, S.KV_PRIMARY, {}),
        (S.DUAL_WRITE, S.KV_PRIMARY, SWEPT),
        (S.DUAL_WRITE, S.KV_PRIMARY, FULL),
        (S.DUAL_WRITE, S.KV_PRIMARY, SWEPT | OLD),
        (S.DUAL_WRITE, S.KV_PRIMARY, {"swept_epoch": b"3"} | FULL),
        (S.DUAL_WRITE, S.KV_PRIMARY, SWEPT | FULL | BROKEN),
        (S.KV_PRIMARY, S.KV_ONLY, SWEPT | OLD),
        (S.KV_PRIMARY, S.KV_ONLY, SWEPT | FULL | BROKEN),
        (S.KV_ONLY, S.KV_PRIMARY, FINAL),
        (S.KV_ONLY, S.KV_PRIMARY, {}),
        (S.FS_AUTHORITATIVE, S.KV_PRIMARY, SWEPT | FULL),
        (S.DUAL_WRITE, S.KV_ONLY, SWEPT | FULL),
        (S.KV_ONLY, S.PURGED, SWEPT | FULL),
        (S.KV_ONLY, S.FS_AUTHORITATIVE, SWEPT | FULL),
        (S.PURGED, S.KV_PRIMARY, SWEPT | FINAL),
        (S.PURGED, S.KV_ONLY, SWEPT | FULL),
    ],
)
def test_an_unproven_step_is_refused(
    owner: Owner, tmp_path: Path, start: S, wanted: S, metas: dict[str, bytes]
) -> None:
    with pytest.raises(MarkerError, match=start):
        move(owner, tmp_path, start, wanted, metas)
    assert marker.read(str(tmp_path)).state is start


def test_a_journal_that_breaks_while_the_marker_moves_takes_it_back(
    owner: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = marker.write

    def breaking(drive: str, new: Marker) -> None:
        if new.state is S.KV_ONLY:
            owner.commit(Batch(meta=dict(BROKEN)))
        write(drive, new)

    monkeypatch.setattr(marker, "write", breaking)
    with pytest.raises(MarkerError, match="journal broke"):
        move(owner, tmp_path, S.KV_PRIMARY, S.KV_ONLY, SWEPT | FULL)
    assert marker.read(str(tmp_path)).state is S.KV_PRIMARY


@pytest.mark.parametrize("state", [S.FS_AUTHORITATIVE, S.DUAL_WRITE, S.KV_ONLY])
def test_where_it_is_already_nothing_changes(owner: Owner, tmp_path: Path, state: S) -> None:
    move(owner, tmp_path, state, state, {})
    assert marker.read(str(tmp_path)).changed in ("", "2026-11-23T12:00:00Z")


def test_another_migrations_marker_is_left_alone(owner: Owner, tmp_path: Path) -> None:
    with pytest.raises(MarkerError, match="mine"):
        move(owner, tmp_path, S.DUAL_WRITE, S.FS_AUTHORITATIVE, {}, migration_uid="another")


def test_a_dry_run_moves_nothing(owner: Owner, tmp_path: Path) -> None:
    assert move(owner, tmp_path, S.FS_AUTHORITATIVE, S.DUAL_WRITE, {}, dry_run=True).state is S.DUAL_WRITE
    assert marker.read(str(tmp_path)).state is S.FS_AUTHORITATIVE
