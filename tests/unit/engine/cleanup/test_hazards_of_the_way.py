"""Hazards that only a drive on its whole way shows: what goes, when, and what comes back."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import old_forms
import strace
from dualtrack.engine import batches, deleted, snapshot
from dualtrack.engine.cleanup import hold as holding
from dualtrack.engine.cleanup.directories import remove_directories
from dualtrack.engine.cleanup.hold import hold
from dualtrack.engine.cleanup.purge import purge
from dualtrack.engine.drive import HELD_FORMAT, Drive
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.inventory import count_inodes
from dualtrack.engine.judging import Verdict
from dualtrack.engine.ledger import ledger
from dualtrack.engine.migrate import Sweep
from dualtrack.engine.native import library
from dualtrack.engine.objects.types import Attributes
from dualtrack.engine.pace import Pace
from dualtrack.engine.restore import restore
from dualtrack.engine.rows import Fingerprint, RowState
from dualtrack.engine.snapshot import put_of
from dualtrack.engine.stores.protocol import Batch, Outcome
from dualtrack.engine.stores.sealed import place_of
from dualtrack.engine.task import Task
from dualtrack.engine.verify import Verification
from dualtrack.engine.walk import Range
from dualtrack.errors import DifferenceError, IncompleteError
from layers import Body, new_drive, opened

Copy = Callable[[Path], Any]
BUCKET, KEY = "anon", "latin1"


@pytest.fixture
def bench(copies: Copy, migrated_tiny: Path) -> Any:
    return copies(migrated_tiny)


def purged(bench: Any, copy: Path) -> None:
    """Held, copied and purged: from here on only rows know the objects."""
    bench.run(hold)
    bench.run(lambda task: snapshot.snapshot(task, str(copy)))
    bench.run(lambda task: purge(task, str(copy), same_device=True))
    assert bench.metas() == []
    assert bench.held() == 0


def test_no_stock_server_starts_on_a_drive_before_its_first_file_moves(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F1: one that did would take objects without `xl.meta` for dangling, and delete them."""
    identity = bench.drive / ".minio.sys" / "format.json"
    before, move = identity.read_bytes(), holding._move
    moved: list[int] = []

    def watched(root: str, moving: Any) -> None:
        assert json.loads(identity.read_bytes())["format"] == HELD_FORMAT
        assert Drive.open(bench.drive).held
        moved.append(len(moving))
        move(root, moving)

    monkeypatch.setattr(holding, "_move", watched)
    bench.run(hold)
    assert sum(moved) == bench.held() > 0
    bench.run(restore)
    assert identity.read_bytes() == before


@pytest.mark.parametrize("native", [True, False])
def test_a_write_between_a_sweeps_read_and_its_commit_wins(
    bench: Any, monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    """H1: the sweep has read the old file; a server writes a new one and its drain is first with the row."""
    if not native:
        monkeypatch.setattr(library, "library", lambda: None)
    elif library.library() is None:
        pytest.skip("built without a C compiler")
    path = bench.drive / BUCKET / KEY / "xl.meta"
    new = (bench.drive / next(name for name in bench.metas() if KEY not in name) / "xl.meta").read_bytes()
    walk_in = batches.walk_in
    drained: list[Outcome] = []

    def drain(task: Task) -> None:
        path.write_bytes(new)
        (row,) = task.owner.get_many([(BUCKET, KEY)])
        assert row is not None
        assert row.data != new
        written = replace(
            row,
            generation=task.owner.next_generation(),
            data=new,
            fingerprint=Fingerprint.of(path.stat()),
            mtime_ns=path.stat().st_mtime_ns,
        )
        drained.extend(task.owner.commit(Batch(puts=(put_of(written),))).outcomes)

    with bench.task() as task:

        def meanwhile(*arguments: Any) -> Iterator[Range]:
            for each in walk_in(*arguments):
                read = {(found.bucket, found.key) for found in each.objects}
                if (BUCKET, KEY) in read | {*map(place_of, each.sealed.fulls)}:
                    drain(task)
                yield each

        monkeypatch.setattr(batches, "walk_in", meanwhile)
        Sweep(task, Pace(None, None, lambda: 0.0)).run()
    assert drained == [Outcome.APPLIED]
    with bench.task() as task:
        (row,) = task.owner.get_many([(BUCKET, KEY)])
    assert row.data == new
    bench.run(lambda task: Verification(task).run())


def test_a_source_that_was_not_durable(bench: Any) -> None:
    """H8: the row has what a power cut took from the file system. It is told, and no verb follows it."""
    path = bench.drive / BUCKET / KEY / "xl.meta"
    data = path.read_bytes()
    path.unlink()
    path.parent.rmdir()
    for verb in (lambda task: Verification(task).run(), hold):
        with pytest.raises(DifferenceError, match=f"{BUCKET}/{KEY}"):
            bench.run(verb)
    assert bench.held() == 0
    with bench.task() as task:
        (row,) = task.owner.get_many([(BUCKET, KEY)])
        assert (row.state, row.data) == (RowState.PRESENT, data)
        with pytest.raises(DifferenceError):
            Verification(task).run()
        assert task.counts[Verdict.MISSING_FILE] == 1


def test_a_lost_file_that_a_sweep_took_for_deleted_comes_back_from_its_row(bench: Any) -> None:
    """H8, one step on: a sweep cannot tell a loss from a deletion, so the value is kept before it goes."""
    path = bench.drive / BUCKET / KEY / "xl.meta"
    data = path.read_bytes()
    path.unlink()
    path.parent.rmdir()
    bench.migrate()
    with bench.task() as task:
        (row,) = task.owner.get_many([(BUCKET, KEY)])
        assert row.state is RowState.TOMBSTONE
        deleted.give_back(task, [(BUCKET, KEY)])
    assert path.read_bytes() == data
    bench.run(lambda task: Verification(task).run())


def test_what_was_purged_comes_back_with_mode_owner_and_time(bench: Any, tmp_path: Path) -> None:
    """H25: nothing of the old files is left to take these from."""
    for number, name in enumerate(bench.metas()):
        path = bench.drive / name / "xl.meta"
        path.chmod(0o600 + 0o004 * (number % 2))
        os.chown(path, 1000 + number, 2000 + number)
        os.utime(path, ns=(1_600_000_000_000_000_000 + number,) * 2)
    bench.migrate()
    before = bench.files()
    purged(bench, tmp_path / "copy")
    bench.run(restore)
    assert bench.files() == before


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_sweep_over_a_directory_of_which_the_kernel_gives_half(bench: Any) -> None:
    """H13, with the real command line and whichever reader it has: names came, then EIO."""
    directory = bench.drive / BUCKET
    for number in range(1_500):
        (directory / f"{number:060}").mkdir()
    (directory / KEY / "xl.meta").unlink()
    (directory / KEY).rmdir()
    failing = ("-P", str(directory), "-e", "trace=getdents64", "-e", "inject=getdents64:error=EIO:when=2+")
    done = strace.traced(strace.command(bench, "migrate"), *failing)
    assert done.returncode == IncompleteError.exit_code, done.stderr
    assert f"could not be read ({BUCKET}: EIO); nothing was deleted" in done.stderr
    with bench.task() as task:
        (row,) = task.owner.get_many([(BUCKET, KEY)])
    assert row.state is RowState.PRESENT
    assert strace.run(strace.command(bench, "migrate")).returncode == 0
    with bench.task() as task:
        (row,) = task.owner.get_many([(BUCKET, KEY)])
    assert row.state is RowState.TOMBSTONE


def test_inodes_are_saved_only_with_their_directories(bench: Any, tmp_path: Path) -> None:
    """F10: the purge frees a file's inode; an object's directory costs another one, until it goes, too."""

    def inodes() -> int:
        drive = Drive.open(bench.drive)
        counted = sum(count_inodes(drive, bucket) for bucket in drive.buckets())
        told = bench.run(ledger).counts
        assert counted == told["inodes"] - told["controlInodes"]
        return counted

    files, directories, before = len(bench.metas()), len(bench.directories()), inodes()
    purged(bench, tmp_path / "copy")
    assert inodes() == before - files
    removed = bench.run(remove_directories).counts["removed"]
    assert removed > 0
    assert inodes() == before - files - removed
    assert len(bench.directories()) == directories - removed


def test_odd_objects_go_the_whole_way_and_back(copies: Copy, tmp_path: Path) -> None:
    """H28, what others forgot: directory objects, null versions, lone delete markers, old forms, objects
    under objects, and keys that look like the server's own names.
    """
    drive = new_drive(tmp_path / "odd")
    with opened(drive, "fs/0") as layer:
        layer.create_bucket("bucket")
        for key in ("directory/", "o", "o/under", "xl.meta", "p/xl.meta", "part.1"):
            layer.put("bucket", key, Body(key.encode()), Attributes())
        layer.put("bucket", "o/null", Body(b"null"), Attributes())
        layer.set_versioning("bucket", "Enabled")
        layer.put("bucket", "o/null", Body(bytes(200_000)), Attributes())
        layer.delete("bucket", "lone")
    for name in ("minio-1.3-tiered-purged-free", "minio-1.0", "rustfs-positions"):
        (drive / "bucket" / name).mkdir()
        (drive / "bucket" / name / "xl.meta").write_bytes((old_forms.FOLDER / name).read_bytes())
    (drive / "bucket" / "old").mkdir()
    (drive / "bucket" / "old" / "xl.json").write_bytes((old_forms.FOLDER / "xl-json").read_bytes())
    lone = xlmeta.decode((drive / "bucket" / "lone" / "xl.meta").read_bytes())
    assert [version.kind.name for version in lone.versions] == ["DELETE_MARKER"]
    bench = copies(drive)
    bench.migrate()
    before, objects = bench.tree(), len(bench.metas())
    assert objects == 12
    purged(bench, tmp_path / "copy")
    bench.run(remove_directories)
    assert bench.run(restore).counts["restored"] == objects
    assert bench.tree() == before
    bench.run(lambda task: Verification(task).run())
