"""Data directories that no row names: found a day later, moved aside, given back or removed; no other is
touched.
"""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from crashing import Crasher
from dualtrack.cli.main import main
from dualtrack.engine import files, kept_values
from dualtrack.engine.drive import Drive
from dualtrack.engine.listing import data_directories
from dualtrack.engine.objects.kv_track import KvTrack
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.types import Attributes
from dualtrack.engine.orphans import collecting, finding, keeping
from dualtrack.engine.orphans.finding import Directory, Evidence, Verdict, judge
from dualtrack.engine.owner import Owner
from dualtrack.engine.repair.records import audits
from dualtrack.engine.rows import NO_FILE, ZERO, Generation, Row, RowOrigin, RowState
from dualtrack.engine.stores.protocol import Batch, Place, Put
from dualtrack.errors import (
    DifferenceError,
    IncompleteError,
    MarkerError,
    RefusedError,
    UsageError,
)
from layers import Body, days_pass, new_drive, opened, orphans_task
from orphanage import DAY, LARGE, collect, content, named, orphanage, plant, put, tree

WEEK = 8 * 24


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return orphanage(tmp_path_factory.mktemp("orphans") / "drive")


@pytest.fixture
def drive(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "drive")


@pytest.fixture(scope="module")
def crasher() -> Iterator[Crasher]:
    made = Crasher()
    yield made
    made.close()


def owner_of(layer: ObjectLayer) -> Owner:
    assert layer.opened.owner is not None
    return layer.opened.owner


@pytest.mark.parametrize(("operation", "times"), [("put", LARGE), ("put", 5), ("delete", 0)])
def test_whatever_a_killed_server_leaves_is_collected_and_nothing_else(
    made: Path, tmp_path: Path, crasher: Crasher, operation: str, times: int
) -> None:
    step, orphans, killed = 0, 0, True
    while killed:
        step += 1
        drive = shutil.copytree(made, tmp_path / f"{step}")
        killed, _ = crasher.run(
            drive=str(drive),
            mode="kv_only",
            level="eventual",
            step=step,
            operation=operation,
            key="large",
            content="2",
            times=times,
        )
        with opened(drive, "kv_only") as layer:
            lost = tree(drive).keys() - named(layer)
            expected = tree(drive).keys() - lost
            before = content(layer, "large")
            assert collect(layer, 23)[0] == 0
            assert collect(layer)[0] == len(lost)
            assert tree(drive).keys() == expected
            assert content(layer, "large") == before
            assert content(layer, "large/below") == b"1"
            orphans += len(lost)
    assert step > 3
    assert orphans > 0


def test_they_come_back_as_they_were_and_are_told_and_counted(drive: Path) -> None:
    place = plant(drive)
    with opened(drive, "kv_only") as layer:
        before = tree(drive)
        assert collect(layer, dry_run=True)[0] == 1
        assert tree(drive) == before
        assert not (drive / ".dualtrack/orphans").exists()
        number, run_id = collect(layer)
        assert (number, before.keys() - tree(drive).keys()) == (1, {place})
        with orphans_task(layer, DAY) as task:
            (record,) = keeping.records.collected(task.owner)
            assert (record.source, record.run_id, record.files, record.size) == (place, run_id, 1, 4)
            told = [(each.verb, each.run_id, each.objects) for each in audits(task.owner)]
            assert told == [("orphans collect", run_id, 1)]
            with pytest.raises(UsageError):
                keeping.undo(task, "another run")
            keeping.undo(task, run_id)
        assert tree(drive) == before


def test_a_week_later_they_are_removed_and_not_before(drive: Path) -> None:
    plant(drive)
    with opened(drive, "kv_only") as layer:
        collect(layer)
        aside = list((drive / ".dualtrack/orphans").glob("*/*/*"))
        with orphans_task(layer, DAY) as task:
            collected = task.now()
        for hours, days, left in ((DAY + 24, 1, 1), (DAY + WEEK, 7, 0)):
            days_pass(drive, collected, days)
            with orphans_task(layer, hours) as task:
                keeping.purge(task)
            assert sum(path.exists() for path in aside) == left
        with orphans_task(layer, DAY + WEEK) as task:
            assert list(keeping.records.collected(task.owner)) == []


def test_a_clock_that_is_a_week_ahead_removes_nothing(drive: Path) -> None:
    """The days are counted by what the audit has seen; a purge that finds none due is seen, too."""
    plant(drive)
    with opened(drive, "kv_only") as layer:
        collect(layer)
        for _ in range(3):
            with orphans_task(layer, DAY + 4 * WEEK) as task:
                keeping.purge(task)
            assert (task.counts["unwitnessed"], task.counts["purge"]) == (1, 0)
            assert "by the clock alone" in str(task.notes["warning"])
        removed = []
        for day in range(1, 8):
            with orphans_task(layer, DAY + 4 * WEEK + 24 * day) as task:
                keeping.purge(task)
            removed.append(task.counts["purge"])
        assert removed == [0, 0, 0, 0, 0, 1, 0], "the leap counts as one day of the seven"


def test_a_clock_that_is_weeks_ahead_takes_nothing_from_a_write_under_way(
    drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its directory looks old and no row names it yet; its writer holds the object until one does."""
    waiting = threading.Event()
    with opened(drive, "kv_only") as layer, ThreadPoolExecutor() as pool:
        owner = owner_of(layer)
        real_put, real_locked = KvTrack.put, owner.locked
        collected: list[Future[tuple[int, str]]] = []

        def locked(places: Iterable[Place]) -> AbstractContextManager[None]:
            waiting.set()
            return real_locked(places)

        def putting(*arguments: Any) -> None:
            owner.locked = locked  # type: ignore[method-assign]
            collected.append(pool.submit(collect, layer, 4 * WEEK))
            assert waiting.wait(30), "the collection has found the directory and wants its object"
            real_put(*arguments)

        monkeypatch.setattr(KvTrack, "put", putting)
        put(layer, "large", b"2")
        assert collected[0].result(30)[0] == 0
        assert content(layer, "large") == b"2"


def test_the_data_of_a_value_that_is_kept_for_thirty_days_stays_as_long(drive: Path) -> None:
    """A sweep that met no file has buried the row; its data is still there to be given back with it."""
    with opened(drive, "kv_only") as layer:
        owner = owner_of(layer)
        row = owner.get("bucket", "large")
        assert row is not None
        now = datetime.now(UTC)
        kept_values.keep(str(drive), now, 1, [row])
        buried = Row.tombstone("bucket", "large", owner.next_generation())
        owner.commit(Batch(puts=(Put(buried, expect="any"),)))
        assert collect(layer)[0] == 0
        days_pass(drive, now, 40)
        assert kept_values.expire(str(drive), now + timedelta(days=40)) == 1
        assert collect(layer)[0] == 1


def test_a_kept_value_that_is_damaged_may_name_anything(drive: Path) -> None:
    place = plant(drive)
    with opened(drive, "kv_only") as layer:
        row = owner_of(layer).get("bucket", "large")
        assert row is not None
        kept_values.keep(str(drive), datetime.now(UTC), 1, [row])
        (path,) = (drive / ".dualtrack/deleted").iterdir()
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        with pytest.raises(IncompleteError, match="nobody knows what it names"):
            collect(layer)
        assert place in tree(drive)


def test_what_a_row_names_again_is_not_purged_but_can_be_given_back(drive: Path) -> None:
    with opened(drive, "kv_only") as layer:
        owner = owner_of(layer)
        row = owner.get("bucket", "large")
        assert row is not None
        summary = owner.scan_index("bucket", "large", None, 1)[0][1]
        buried = Row.tombstone("bucket", "large", owner.next_generation(), RowOrigin.KV)
        owner.commit(Batch(puts=(Put(buried, expect="any"),)))
        run_id = collect(layer)[1]
        owner.commit(Batch(puts=(Put(replace(row, generation=owner.next_generation()), summary, "any"),)))
        with orphans_task(layer, DAY) as task:
            days_pass(drive, task.now(), 8)
        with orphans_task(layer, DAY + WEEK) as task, pytest.raises(DifferenceError, match="wanted again"):
            keeping.purge(task)
        with orphans_task(layer, DAY + WEEK) as task:
            keeping.undo(task, run_id)
        assert content(layer, "large") == b"1"


def test_a_data_directory_of_an_upload_under_way_stays(drive: Path) -> None:
    with opened(drive, "kv_only") as layer:
        upload = layer.create_upload("bucket", "large", Attributes())
        part = layer.put_part("bucket", "large", upload.upload_id, 1, Body(b"3" * LARGE))
        real = files.rename

        def cut(source: str, target: str) -> None:
            real(source, target)
            if f"{drive}/bucket/large/" in str(target):
                raise OSError(5, "cut off behind the rename")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files, "rename", cut)
            with pytest.raises(Exception, match="the drive answers"):
                layer.complete_upload("bucket", "large", upload.upload_id, [(1, part.etag)])
        assert len(tree(drive)) == 3
        assert collect(layer)[0] == 0
        layer.complete_upload("bucket", "large", upload.upload_id, [(1, part.etag)])
        assert content(layer, "large") == b"3"


def test_an_upload_that_cannot_be_read_stops_the_collection(drive: Path) -> None:
    plant(drive)
    with opened(drive, "kv_only") as layer:
        upload = layer.create_upload("bucket", "large", Attributes())
        (drive / ".dualtrack/multipart" / upload.upload_id / "upload.json").write_text("{")
        with pytest.raises(IncompleteError, match=upload.upload_id):
            collect(layer)


def test_a_file_that_cleanup_has_not_come_to_names_what_it_names(drive: Path) -> None:
    with opened(drive, "kv_only") as layer:
        row = owner_of(layer).get("bucket", "large")
        assert row is not None
        (drive / "bucket/large/xl.meta").write_bytes(row.data)
        put(layer, "large", b"2")
        place = f"bucket/large/{os.fsdecode(next(iter(data_directories(row.data))))}"
        (drive / place).mkdir()
        (drive / place / "part.1").write_bytes(b"as if its removal had been cut off")
        assert collect(layer)[0] == 0
        (drive / "bucket/large/xl.meta").unlink()
        assert collect(layer)[0] == 1


def test_a_damaged_row_names_everything(drive: Path) -> None:
    place = plant(drive)
    with opened(drive, "kv_only") as layer:
        store = owner_of(layer).store
        with store._write() as txn:  # type: ignore[attr-defined]
            value = txn.get("rows", b"bucket\0large")
            txn.put("rows", b"bucket\0large", value[:-1] + b"?")
        assert collect(layer)[0] == 0
        assert place in tree(drive)


def test_other_directories_called_like_one_are_left_alone(drive: Path) -> None:
    name = str(uuid.uuid4())
    with opened(drive, "kv_only") as layer:
        put(layer, f"a/{name}", b"4")
        put(layer, f"a/{uuid.uuid4()}/{name}", b"5")
        (drive / "bucket/a" / str(uuid.uuid4())).mkdir()
        strange = drive / "bucket/a" / str(uuid.uuid4())
        strange.mkdir()
        (strange / "part.1").write_bytes(b"")
        (strange / "something else").write_bytes(b"")
        before = tree(drive)
        assert collect(layer)[0] == 0
        assert tree(drive) == before


def test_too_many_are_refused_and_a_limit_ends_a_run(drive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {plant(drive, f"k{number}") for number in range(5)}
    with opened(drive, "kv_only") as layer:
        monkeypatch.setattr(collecting, "BATCH", 1)
        with pytest.raises(IncompleteError, match="--limit"):
            collect(layer, limit=2)
        assert len(places & tree(drive).keys()) == 3
        monkeypatch.setattr(collecting, "allowed", lambda seen: 2)
        with pytest.raises(RefusedError, match="behind its drive"):
            collect(layer)
        assert len(places & tree(drive).keys()) == 3
        with orphans_task(layer, DAY) as task:
            collecting.collect(task, accept=True)
        assert places.isdisjoint(tree(drive))


@pytest.mark.parametrize("mode", ["fs/1", "kv_primary/1/true"])
def test_where_files_are_the_truth_it_is_refused(drive: Path, mode: str) -> None:
    with opened(drive, mode) as layer, pytest.raises(MarkerError):
        collect(layer)


def test_the_command_moves_and_gives_back(
    drive: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = plant(drive)
    with opened(drive, "kv_only"):
        pass
    where = ["--drive", str(drive), "--store", str(drive / ".dualtrack/store")]

    def run(step: str, *more: str) -> int:
        return main(["engine", "orphans", step, *where, *more])

    assert run("collect", "--server-stopped") == 0
    assert place in tree(drive)
    monkeypatch.setattr(finding, "GRACE_SECONDS", 0)
    assert run("collect") == RefusedError.exit_code
    assert run("collect", "--server-stopped", "--run-id", "mine") == 0
    assert place not in tree(drive)
    capsys.readouterr()
    assert run("list", "--server-stopped") == 0
    assert place in capsys.readouterr().out
    assert run("undo", "mine", "--server-stopped") == 0
    assert place in tree(drive)
    assert run("purge", "--server-stopped") == 0


IDENTITY = uuid.uuid4()
FOUND = Directory((b"b", b"k", str(IDENTITY).encode()), 1, 1, 1, 0)


def row_with(data: bytes, state: RowState = RowState.PRESENT) -> Row:
    return Row("b", "k", Generation(5, 1), state, RowOrigin.KV, NO_FILE, 0, 0, 0, 0, data)


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        (Evidence((None, None), (None, None), False, False), Verdict.ORPHAN),
        (Evidence((row_with(b"?"), None), (None, None), False, False), Verdict.UNKNOWN),
        (Evidence((row_with(b"?" + IDENTITY.bytes), None), (None, None), False, False), Verdict.NAMED),
        (Evidence((row_with(str(IDENTITY).encode()), None), (None, None), False, False), Verdict.NAMED),
        (Evidence(("damaged", None), (None, None), False, False), Verdict.UNKNOWN),
        (Evidence((None, "damaged"), (None, None), False, False), Verdict.UNKNOWN),
        (Evidence((None, row_with(b"")), (None, None), False, False), Verdict.OBJECT),
        (Evidence((None, None), (None, None), True, False), Verdict.UNKNOWN),
        (Evidence((None, None), (None, None), False, True), Verdict.REPAIRED),
    ],
)
def test_the_rule(evidence: Evidence, verdict: Verdict) -> None:
    old = 10**18
    assert judge(FOUND, evidence, frozenset(), ZERO, old) is verdict
    assert judge(FOUND, evidence, frozenset({IDENTITY}), ZERO, old) is Verdict.UPLOAD
    assert judge(replace(FOUND, changed_ns=old), evidence, frozenset(), ZERO, old) is Verdict.FRESH


def test_a_row_below_the_trust_floor_names_everything() -> None:
    evidence = Evidence((row_with(b""), None), (None, None), dirty=False, repaired=False)
    assert judge(FOUND, evidence, frozenset(), Generation(6, 0), 10**18) is Verdict.UNKNOWN


def test_a_walk_for_orphans_can_be_ended_where_there_are_none(tmp_path: Path) -> None:
    drive = new_drive(tmp_path / "drive")
    for number in range(2 * finding.TELL_EVERY):
        (drive / "bucket" / f"{number:03d}").mkdir(parents=True)
    told: list[int] = []

    def tell() -> None:
        told.append(1)
        if len(told) > 2:
            raise IncompleteError("interrupted")

    with pytest.raises(IncompleteError, match="interrupted"):
        list(finding.directories(Drive.open(str(drive)), pytest.fail, tell))
