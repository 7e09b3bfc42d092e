"""Each precondition of cleanup, one by one: refused with the reason, and not a file has moved."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from dualtrack.cli.main import main
from dualtrack.engine import marker, snapshot
from dualtrack.engine.cleanup.directories import remove_directories
from dualtrack.engine.cleanup.hold import hold
from dualtrack.engine.cleanup.preconditions import QUIET_SECONDS
from dualtrack.engine.cleanup.purge import purge
from dualtrack.engine.drive import Drive
from dualtrack.engine.lock import DriveLock
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.mode import Engine, Mode
from dualtrack.engine.owner import Owner, OwnerSettings
from dualtrack.engine.restore import restore
from dualtrack.engine.rows import Row, RowOrigin
from dualtrack.engine.server import Server
from dualtrack.engine.session import connect
from dualtrack.engine.stores.protocol import Batch, Put
from dualtrack.engine.task import Task
from dualtrack.errors import (
    DifferenceError,
    FencedError,
    IncompleteError,
    OwnerError,
    RefusedError,
)

ONLY = Mode(Engine.KV_ONLY, Decimal(1), False, 1)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def bench(small):
    """Whatever a test does, a refusal has left every file where it was."""
    before = own_files(small)
    yield small
    assert own_files(small) == before


def own_files(bench) -> dict[str, tuple[object, ...]]:
    """All but those that a test plants, or that a hold and a restore write anew."""
    return {
        path: fields
        for path, fields in bench.files().items()
        if not path.endswith(("format.json", "healing.bin"))
    }


def refused(bench, reason: str, verb: Callable[[Task], object] = hold, **changes: object) -> None:
    with pytest.raises(RefusedError, match=reason):
        bench.run(verb, **changes)
    assert not Drive.open(bench.drive).held


def set_meta(bench, **values: bytes | None) -> None:
    with bench.task() as task:
        task.commit(meta=values)


def test_nobody_says_that_the_server_is_stopped(bench) -> None:
    refused(bench, "--server-stopped", server_stopped=False)


def test_no_verification(bench) -> None:
    set_meta(bench, verified=None)
    refused(bench, "no record of a clean full verification")


def test_a_verification_of_another_epoch(bench) -> None:
    refused(bench, "of epoch 0, but it is 3 now", epoch=3)


def test_a_verification_older_than_the_cut_over(bench) -> None:
    with bench.task() as task:
        uuid = task.owner.info().store_uuid
    changed = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds")
    marker.write(str(bench.drive), marker.Marker(MarkerState.KV_ONLY, uuid, 0, "", changed))
    refused(bench, "older than the cut-over")


def test_more_drives_than_named(bench) -> None:
    path = bench.drive / ".minio.sys" / "format.json"
    document = json.loads(path.read_text())
    document["xl"]["sets"][0].append("00000000-0000-4000-8000-000000000000")
    path.write_text(json.dumps(document))
    refused(bench, "is one of 2 drives of its set, and 1 of them was not named")


def test_a_drive_that_heals(bench) -> None:
    (bench.drive / ".minio.sys" / "buckets" / ".healing.bin").write_bytes(b"x")
    refused(bench, "being healed")


def test_a_change_in_the_staging_area_just_now(bench) -> None:
    staging = bench.drive / ".minio.sys" / "tmp" / "upload"
    staging.mkdir()
    for folder in (staging, staging.parent):
        os.utime(folder, (NOW.timestamp(), NOW.timestamp()))
    soon = NOW + timedelta(seconds=QUIET_SECONDS - 1)
    refused(bench, "a server writes to this drive", now=lambda: soon)
    with bench.task(now=lambda: NOW + timedelta(seconds=QUIET_SECONDS + 1), dry_run=True) as task:
        hold(task)


def test_dirty_keys(bench) -> None:
    with bench.task() as task:
        task.owner.mark("anon", "readme.txt")
    refused(bench, "journal has 1 keys")


def test_another_migration(bench) -> None:
    marker.write(str(bench.drive), marker.Marker(MarkerState.DUAL_WRITE, "", 0, "theirs", ""))
    refused(bench, "belongs to migration theirs", migration_uid="mine")


def test_a_lock_that_is_held(bench) -> None:
    with bench.task():
        pass
    with DriveLock.acquire(str(bench.drive), 99, "other"):
        refused(bench, "held by run other")


def test_purge_and_directories_before_their_turn(bench, tmp_path: Path) -> None:
    refused(
        bench, "run cleanup hold first", lambda task: purge(task, str(tmp_path / "none"), same_device=True)
    )
    refused(bench, "run cleanup hold first", remove_directories)


def test_a_store_outside_its_drive_where_a_server_owns_it(bench, tmp_path: Path) -> None:
    outside = tmp_path / "store"
    (bench.store).rename(outside)
    moved = replace(bench, store=outside)
    refused(moved, "outside its drive", client_only=True, server_stopped=False)


def test_the_socket_answers_although_the_server_is_said_to_be_stopped(bench) -> None:
    owner = Owner.open(str(bench.drive), str(bench.store), OwnerSettings(mode=Mode()))
    server = Server(owner, str(bench.store))
    try:
        arguments = ["--drive", str(bench.drive), "--store", str(bench.store), "--server-stopped"]
        for step in ("hold", "purge", "directories"):
            assert main(["engine", "cleanup", step, *arguments]) == OwnerError.exit_code
    finally:
        server.close()
        owner.close()


def test_the_store_is_locked_by_one_who_does_not_answer(bench) -> None:
    owner = Owner.open(str(bench.drive), str(bench.store), OwnerSettings())
    try:
        arguments = ["--drive", str(bench.drive), "--store", str(bench.store), "--server-stopped"]
        assert main(["engine", "cleanup", "hold", *arguments]) == 31
    finally:
        owner.close()


@pytest.mark.parametrize(
    ("mode", "epoch", "reason"),
    [
        (Mode(epoch=1), 1, "says engine fs"),
        (Mode(Engine.KV_PRIMARY, Decimal(1), False, 1), 1, "says engine kv_primary"),
        (ONLY, 7, "is at epoch 1, this run was ordered for epoch 7"),
    ],
)
def test_an_owner_that_does_not_serve_from_the_store_alone(
    bench, mode: Mode, epoch: int, reason: str
) -> None:
    owner = Owner.open(str(bench.drive), str(bench.store), OwnerSettings(mode=mode))
    server = Server(owner, str(bench.store))
    try:
        drive = Drive.open(bench.drive)
        with (
            connect(drive.path, str(bench.store), OwnerSettings(), client_only=True) as client,
            DriveLock.acquire(drive.path, client.begin("run", 0), "run") as lock,
        ):
            task = Task(drive, str(bench.store), client, 1, "run", epoch=epoch, client_only=True, lock=lock)
            with pytest.raises(OwnerError, match=reason):
                hold(task)
    finally:
        server.close()
        owner.close()


def test_an_owner_that_changes_its_mind_stops_the_next_batch(bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answers are right; then the journal fills. What was held stays held, the rest stays."""
    monkeypatch.setattr("dualtrack.engine.cleanup.hold.BATCH", 10)
    with bench.task() as task:
        told: list[int] = []

        def report(scanned: int, committed: int, total: int | None) -> None:
            told.append(committed)
            if committed:
                task.owner.mark("plain", "zzz")

        task.report = report
        with pytest.raises(OwnerError, match="journal has"):
            hold(task)
    held = told[-1]
    assert 0 < held <= 10
    with bench.task() as task:
        task.owner.clear(*task.owner._journal.tokens(("plain", "zzz")))
    bench.run(hold)
    assert bench.metas() == []
    bench.run(restore)


def test_a_newer_fence_stops_a_zombie_before_its_next_batch(bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dualtrack.engine.cleanup.hold.BATCH", 10)
    with bench.task() as task:

        def report(scanned: int, committed: int, total: int | None) -> None:
            if committed:
                task.owner.begin("newer", 0)

        task.report = report
        with pytest.raises(FencedError):
            hold(task)
    assert len(bench.metas()) > 10
    bench.run(restore)


def test_files_that_their_rows_do_not_cover_stay_and_are_named(small) -> None:
    """Changed in the middle of the hold, when no survey looks any more."""
    plain = [name for name in small.metas() if name.startswith("plain/")]
    changed, touched, deleted = plain[3], plain[5], plain[7]
    with pytest.raises(IncompleteError, match="--limit"):
        small.run(hold, limit=1)
    path = small.drive / changed / "xl.meta"
    path.write_bytes(path.read_bytes() + b"\0")
    (small.drive / touched / "xl.meta").chmod(0o600)
    bucket, key = deleted.split("/", 1)
    with small.task() as task:
        row = Row.tombstone(bucket, key, task.owner.next_generation(), RowOrigin.FS)
        task.owner.commit(Batch(puts=(Put(row, b"", "any", 0),)))
    with small.task() as task:
        with pytest.raises(DifferenceError, match="3 files stay"):
            hold(task)
        assert task.counts["newer"] == 3
        assert len(task.names) == 3
    assert small.metas() == sorted([changed, touched, deleted])


def test_a_snapshot_must_lie_outside_be_recent_and_be_whole(small, tmp_path: Path) -> None:
    small.run(hold)
    held = small.held()
    copy = tmp_path / "copy"

    def purged(directory: Path | None) -> Callable[[Task], None]:
        return lambda task: purge(task, str(directory) if directory else None, same_device=True)

    for directory, reason in (
        (None, "lies on its drive"),
        (small.drive / ".dualtrack" / "copy", "lies on the drive itself"),
        (copy, "no snapshot in"),
    ):
        with pytest.raises(RefusedError, match=reason):
            small.run(purged(directory))
    early = datetime(2020, 1, 1, tzinfo=UTC)
    small.run(lambda task: snapshot.snapshot(task, str(copy)), now=lambda: early)
    with pytest.raises(RefusedError, match="no snapshot in"):
        small.run(purged(copy))
    small.run(lambda task: snapshot.snapshot(task, str(copy)))
    (copy / "data.mdb").rename(tmp_path / "elsewhere")
    with pytest.raises(RefusedError, match="is gone"):
        small.run(purged(copy))
    assert small.held() == held
    assert marker.read(str(small.drive)).state is MarkerState.KV_ONLY


def test_a_limit_and_a_signal_end_the_work_early_and_it_goes_on(small, tmp_path: Path) -> None:
    rows = len(small.metas())
    with pytest.raises(IncompleteError, match="--limit"):
        small.run(hold, limit=7)
    assert small.held() == 7
    with pytest.raises(IncompleteError, match="interrupted"):
        small.run(hold, stop=lambda: True)
    small.run(hold)
    assert small.held() == rows
    small.run(lambda task: snapshot.snapshot(task, str(tmp_path / "copy")))
    with pytest.raises(IncompleteError, match="--limit"):
        small.run(lambda task: purge(task, str(tmp_path / "copy"), same_device=True), limit=5)
    assert small.held() == rows - 5
    small.run(lambda task: purge(task, str(tmp_path / "copy"), same_device=True))
    with pytest.raises(IncompleteError, match="--limit"):
        small.run(remove_directories, limit=3)
    small.run(remove_directories)
    small.run(restore)
    assert len(small.metas()) == rows


def test_a_dry_run_tells_the_same_and_changes_nothing(small, tmp_path: Path) -> None:
    before = small.tree()
    told = small.run(hold, dry_run=True)
    assert (small.tree(), small.held()) == (before, 0)
    assert marker.read(str(small.drive)).state is MarkerState.FS_AUTHORITATIVE
    assert small.run(hold).counts["held"] == told.counts["held"]
    small.run(lambda task: snapshot.snapshot(task, str(tmp_path / "copy")))
    told = small.run(lambda task: purge(task, str(tmp_path / "copy"), same_device=True), dry_run=True)
    assert small.held() == told.counts["purged"]
    small.run(lambda task: purge(task, str(tmp_path / "copy"), same_device=True))
    now = small.tree()
    told = small.run(remove_directories, dry_run=True)
    assert small.tree() == now
    assert small.run(remove_directories).counts["removed"] == told.counts["removed"]
    now = small.tree()
    told = small.run(restore, dry_run=True)
    assert small.tree() == now
    assert small.run(restore).counts["restored"] == told.counts["restored"]


@pytest.mark.parametrize("name", ["buckets/.healing.bin", "tmp"])
def test_what_cannot_be_looked_at_is_not_at_rest(bench, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    path = bench.drive / ".minio.sys" / name
    (bench.drive / ".minio.sys" / "tmp").mkdir(exist_ok=True)
    os.utime(bench.drive / ".minio.sys" / "tmp", (0, 0))

    def failing(real: Callable[..., object]) -> Callable[..., object]:
        def call(given: object, *args: object, **named: object) -> object:
            if isinstance(given, str | bytes) and os.fsencode(given) == os.fsencode(path):
                raise OSError(errno.EIO, "injected")
            return real(given, *args, **named)

        return call

    refusing = "scandir" if name == "tmp" else "lstat"
    monkeypatch.setattr(os, refusing, failing(getattr(os, refusing)))
    with pytest.raises(OSError, match="injected"):
        bench.run(hold)
    monkeypatch.undo()
    assert not Drive.open(bench.drive).held
