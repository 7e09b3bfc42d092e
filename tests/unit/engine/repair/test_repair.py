"""Repairs on a real drive: each makes file and row agree, can be taken back, and refuses what it must."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dualtrack.cli.main import main
from dualtrack.engine import confirming, files, marker
from dualtrack.engine.lock import DriveLock
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.mending import Mending
from dualtrack.engine.owner import Owner
from dualtrack.engine.put_back import Staged, Writer
from dualtrack.engine.repair import records
from dualtrack.engine.repair.apply import repair
from dualtrack.engine.repair.plan import Cap
from dualtrack.engine.repair.strategies import Strategy
from dualtrack.engine.repair.undo import undo
from dualtrack.engine.restore import restore
from dualtrack.engine.rows import Row, RowState
from dualtrack.engine.stores.protocol import Batch, Put
from dualtrack.engine.task import Task
from dualtrack.engine.verify import Verification
from dualtrack.errors import (
    DifferenceError,
    FencedError,
    IncompleteError,
    MarkerError,
    RefusedError,
    StoreCorruptError,
    UsageError,
)
from layers import mark
from planting import PLANTS
from sweepbench import Bench

Place = tuple[str, str]
TO_KV, TO_FS, USE_KV, USE_FS = (
    Strategy.SYNC_TO_KV,
    Strategy.SYNC_TO_FS,
    Strategy.USE_KV,
    Strategy.USE_FS,
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirming, "PAUSE_SECONDS", 0.001)


@pytest.fixture
def owner(small: Bench) -> Iterator[Owner]:
    """The store of a drive that was migrated and verified."""
    small.migrate()
    small.verify()
    with small.owner() as opened:
        yield opened


@contextmanager
def run(bench: Bench, owner: Owner, **changes: object) -> Iterator[Task]:
    run_id = changes.pop("run_id", None)
    task = bench.task(owner, **{"server_stopped": True, **changes})
    task.run_id = str(run_id or task.run_id)
    with DriveLock.acquire(str(bench.drive), task.fence, task.run_id) as lock:
        task.lock = lock
        yield task


def repaired(bench: Bench, owner: Owner, strategy: Strategy, *places: Place, **changes: object) -> Task:
    newer = bool(changes.pop("accept_newer", False))
    with run(bench, owner, **changes) as task:
        repair(task, strategy, places, accept_newer=newer)
        return task


def undone(bench: Bench, owner: Owner, run_id: str, **changes: object) -> Task:
    with run(bench, owner, **changes) as task:
        undo(task, run_id)
        return task


State = tuple[dict[str, tuple[bytes, int, int]], dict[Place, object]]


def state(bench: Bench, owner: Owner) -> State:
    """Every metadata file with its mode and time, every row but for its generation, and the index."""
    found = {}
    for path in sorted(bench.drive.glob("bkt/**/xl.meta")):
        status = path.stat()
        found[str(path)] = (path.read_bytes(), status.st_mode, status.st_mtime_ns)
    entries = dict(owner.scan_index("bkt", "", None, 1_000))
    return found, {
        (row.bucket, row.key): (row.state, row.data, row.mode, row.mtime_ns, entries.get(row.key))
        for row in owner.scan(None, 1_000)
    }


CASES = [
    ("flipped byte", TO_KV),
    ("stale row", TO_KV),
    ("row of another key", TO_KV),
    ("missing row", TO_KV),
    ("resurrected tombstone", TO_KV),
    ("wrong index", TO_KV),
    ("extra row", USE_FS),
    ("stale row", TO_FS),
    ("extra row", TO_FS),
    ("changed attributes", TO_FS),
    ("changed attributes", TO_KV),
]


@pytest.mark.parametrize(("kind", "strategy"), CASES)
def test_a_repair_makes_both_agree_and_an_undo_gives_all_back(
    small: Bench, owner: Owner, kind: str, strategy: Strategy
) -> None:
    PLANTS[kind][0](small.drive, owner, ("bkt", "03"))
    before = state(small, owner)
    task = repaired(small, owner, strategy, accept_newer=True)
    assert task.committed == 1
    assert int(owner.meta("repairs") or b"0") == 1
    verified(small, owner)
    undone(small, owner, task.run_id)
    after = state(small, owner)
    if kind != "missing row":
        assert after == before
    else:
        # A row cannot be taken away; it says "read the file" instead, which is what no row says.
        assert after[0] == before[0]
        row = owner.get("bkt", "03.new")
        assert row is not None
        assert row.state is RowState.FS_RESIDENT
        assert owner.scan_index("bkt", "03.new", None, 1)[:1] != [("03.new", b"")]
    with run(small, owner) as again:
        undo(again, task.run_id)
        assert again.committed == 0
    assert state(small, owner) == after


def verified(bench: Bench, owner: Owner) -> None:
    Verification(bench.task(owner)).run()


def test_a_repair_is_told_by_the_next_verification_and_by_no_later_one(small: Bench, owner: Owner) -> None:
    """H23: what was repaired was different, and somebody has to know."""
    for key in ("03", "04"):
        PLANTS["stale row"][0](small.drive, owner, ("bkt", key))
    repaired(small, owner, TO_KV)
    for expected in (2, 0):
        task = small.task(owner)
        Verification(task).run()
        assert task.counts["repairedSince"] == expected
        assert ("warning" in task.notes) is bool(expected)


def test_an_undo_is_refused_once_rows_lead(small: Bench, owner: Owner) -> None:
    PLANTS["stale row"][0](small.drive, owner, ("bkt", "03"))
    task = repaired(small, owner, TO_KV)
    mark(small.drive, MarkerState.KV_ONLY)
    before = state(small, owner)
    with pytest.raises(MarkerError, match="restore first"):
        undone(small, owner, task.run_id)
    assert state(small, owner) == before


def test_a_retired_row_says_read_the_file_until_the_next_sweep(small: Bench, owner: Owner) -> None:
    PLANTS["stale row"][0](small.drive, owner, ("bkt", "03"))
    repaired(small, owner, USE_FS)
    row = owner.get("bkt", "03")
    assert row is not None
    assert row.state is RowState.FS_RESIDENT
    assert row.data == small.file("bkt", "03").read_bytes()


@pytest.mark.parametrize("strategy", Strategy)
def test_a_dry_run_goes_the_same_way_and_changes_nothing(
    small: Bench, owner: Owner, strategy: Strategy
) -> None:
    PLANTS["stale row"][0](small.drive, owner, ("bkt", "03"))
    if strategy is USE_KV:
        mark(small.drive, MarkerState.KV_ONLY)
    before, meta = state(small, owner), owner.meta_scan("", None, 1_000)
    task = repaired(small, owner, strategy, accept_newer=True, dry_run=True)
    assert task.committed == 1
    assert state(small, owner) == before
    assert owner.meta_scan("", None, 1_000) == [
        (name, value) if name != "fence" else (name, owner.meta("fence")) for name, value in meta
    ]
    assert not (small.drive / records.FOLDER).exists()


def test_use_kv_moves_the_file_aside_only_where_rows_alone_answer(small: Bench, owner: Owner) -> None:
    PLANTS["stale row"][0](small.drive, owner, ("bkt", "03"))
    before = state(small, owner)
    with pytest.raises(MarkerError, match="acknowledged by the data plane; use sync-to-fs"):
        repaired(small, owner, USE_KV)
    mark(small.drive, MarkerState.KV_ONLY)
    task = repaired(small, owner, USE_KV)
    assert not small.file("bkt", "03").exists()
    assert state(small, owner)[1] == before[1]
    kept = list((small.drive / records.FOLDER).rglob("*.meta"))
    assert [path.read_bytes() for path in kept] == [before[0][str(small.file("bkt", "03"))][0]]
    undone(small, owner, task.run_id)
    assert state(small, owner) == before


@pytest.mark.parametrize("kind", sorted({*PLANTS} - {"missing row"}))
def test_after_use_kv_the_final_verification_is_clean_and_a_restore_writes_what_the_row_says(
    small: Bench, owner: Owner, kind: str
) -> None:
    """The row has to say that no file is needed; of any other row a missing file is a loss."""
    PLANTS[kind][0](small.drive, owner, ("bkt", "03"))
    mark(small.drive, MarkerState.KV_ONLY)
    before = state(small, owner)
    with pytest.raises(DifferenceError):
        Verification(small.task(owner), final=True).run()
    task = repaired(small, owner, USE_KV)
    assert (task.committed, small.file("bkt", "03").exists()) == (1, False)
    Verification(small.task(owner), final=True).run()
    undone(small, owner, task.run_id)
    assert state(small, owner)[0] == before[0]
    assert state(small, owner)[1] == before[1]
    repaired(small, owner, USE_KV)
    with run(small, owner) as back:
        restore(back)
    row = owner.get("bkt", "03")
    assert row is not None
    assert small.file("bkt", "03").exists() is row.present
    verified(small, owner)


def with_part(bench: Bench, owner: Owner) -> tuple[Row, Path]:
    """A row whose object's content lies beside its file, and the file that it lies in."""
    return next(
        (row, parts[0])
        for row in owner.scan(None, 5_000)
        if not row.bucket.startswith(".")
        and (parts := sorted((bench.drive / row.bucket / row.key).glob("*/part.1")))
    )


def test_use_kv_is_refused_where_the_rows_data_is_gone(bench: Bench) -> None:
    """The file may be all that says where the data of today is."""
    bench.migrate()
    bench.verify()
    with bench.owner() as owner:
        row, part = with_part(bench, owner)
        PLANTS["changed attributes"][0](bench.drive, owner, (row.bucket, row.key))
        part.unlink()
        part.parent.rmdir()
        mark(bench.drive, MarkerState.KV_ONLY)
        with pytest.raises(DifferenceError, match=f"data that is not on the drive .{part.parent.name}"):
            repaired(bench, owner, USE_KV, (row.bucket, row.key))
        assert bench.file(row.bucket, row.key).exists()


def test_an_undo_of_use_kv_leaves_what_kv_only_has_written_since(small: Bench, owner: Owner) -> None:
    PLANTS["stale row"][0](small.drive, owner, ("bkt", "03"))
    mark(small.drive, MarkerState.KV_ONLY)
    task = repaired(small, owner, USE_KV)
    row, other = owner.get_many([("bkt", "03"), ("bkt", "05")])
    assert row is not None
    assert other is not None
    summary = dict(owner.scan_index("bkt", "", None, 1_000))["05"]
    new = replace(row, generation=owner.next_generation(), data=other.data)
    owner.commit(Batch(puts=(Put(new, summary, "any", 1),)))
    with pytest.raises(DifferenceError, match="bkt/03: it was changed since"):
        undone(small, owner, task.run_id)
    assert owner.get("bkt", "03") == new
    Verification(small.task(owner), final=True).run()


@pytest.mark.parametrize("strategy", [TO_KV, TO_FS, USE_FS])
def test_files_are_not_believed_where_rows_lead(small: Bench, owner: Owner, strategy: Strategy) -> None:
    mark(small.drive, MarkerState.KV_ONLY)
    with pytest.raises(MarkerError, match="restore first"):
        repaired(small, owner, strategy)


@pytest.mark.parametrize("strategy", [TO_KV, TO_FS, USE_FS])
def test_a_store_that_was_never_verified_proves_nothing(small: Bench, strategy: Strategy) -> None:
    """H22: a store that is empty or rebuilt looks like a drive full of differences."""
    with small.owner() as owner:
        before = state(small, owner)
        with pytest.raises(RefusedError, match="may be new, or rebuilt"):
            repaired(small, owner, strategy)
        assert state(small, owner) == before


def test_a_verification_of_another_epoch_proves_nothing(small: Bench, owner: Owner) -> None:
    owner.commit(Batch(meta={"epoch": b"3"}))
    with pytest.raises(RefusedError, match="of epoch 3 on record"):
        repaired(small, owner, TO_FS)


def test_files_are_not_changed_beside_a_server_that_may_be_writing(small: Bench, owner: Owner) -> None:
    with pytest.raises(RefusedError, match="--server-stopped"):
        repaired(small, owner, TO_FS, server_stopped=False)


def test_more_differences_than_a_person_expects_are_refused_whole(small: Bench, owner: Owner) -> None:
    for number in range(12):
        PLANTS["stale row"][0](small.drive, owner, ("bkt", f"{number:02d}"))
    before = state(small, owner)
    with run(small, owner) as task, pytest.raises(RefusedError, match=r"12 objects .* 10 may be"):
        repair(task, TO_KV)
    with run(small, owner) as task, pytest.raises(RefusedError, match=r"2 objects .* 1 may be"):
        repair(task, TO_KV, [("bkt", "00"), ("bkt", "01")], Cap(limit=1))
    assert state(small, owner) == before
    with run(small, owner) as task:
        repair(task, TO_KV, cap=Cap(percent=60))
    assert task.committed == 12


def test_only_the_named_objects_are_repaired(small: Bench, owner: Owner) -> None:
    for number in range(3):
        PLANTS["stale row"][0](small.drive, owner, ("bkt", f"{number:02d}"))
    task = repaired(small, owner, TO_KV, ("bkt", "01"), ("bkt", "07"))
    assert task.committed == 1
    assert owner.get("bkt", "01").data == small.file("bkt", "01").read_bytes()  # type: ignore[union-attr]
    assert owner.get("bkt", "02").data != small.file("bkt", "02").read_bytes()  # type: ignore[union-attr]


def test_a_directory_that_cannot_be_read_stops_it(
    small: Bench, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H13: what is not known is not different."""
    PLANTS["stale row"][0](small.drive, owner, ("bkt", "03"))
    real = os.scandir

    def failing(path: object) -> object:
        name = os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else str(path)
        if name == str(small.drive / "bkt"):
            raise OSError(5, "injected")
        return real(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", failing)
    with pytest.raises(IncompleteError, match="nothing was changed"):
        repaired(small, owner, TO_KV)


def test_a_key_that_is_being_written_is_left_to_its_writer(small: Bench, owner: Owner) -> None:
    PLANTS["stale row"][0](small.drive, owner, ("bkt", "03"))
    PLANTS["stale row"][0](small.drive, owner, ("bkt", "04"))
    with run(small, owner) as task:
        real = owner.locked

        def marking(places: object) -> object:
            owner.mark("bkt", "03")
            return real(places)  # type: ignore[arg-type]

        owner.locked = marking  # type: ignore[method-assign,assignment]
        with pytest.raises(DifferenceError, match="bkt/03: is being written"):
            repair(task, TO_KV)
    assert task.committed == 1


@pytest.mark.parametrize("strategy", [TO_FS, USE_KV])
def test_a_file_that_another_server_replaces_meanwhile_is_left(
    small: Bench, owner: Owner, strategy: Strategy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H9: between the look and the rename somebody writes who knows nothing of our locks."""
    PLANTS["stale row"][0](small.drive, owner, ("bkt", "03"))
    if strategy is USE_KV:
        mark(small.drive, MarkerState.KV_ONLY)
    newer = small.file("bkt", "09").read_bytes()
    real = records.keep_row

    def replacing(drive: str, record: records.Repaired, row: Row) -> None:
        real(drive, record, row)
        copy = small.file("bkt", "03").with_name("copy")
        copy.write_bytes(newer)
        copy.rename(small.file("bkt", "03"))

    monkeypatch.setattr(records, "keep_row", replacing)
    with pytest.raises(DifferenceError, match="was changed between the look at it and the repair"):
        repaired(small, owner, strategy, accept_newer=True)
    assert small.file("bkt", "03").read_bytes() == newer


def test_what_was_written_since_is_not_taken_back(small: Bench, owner: Owner) -> None:
    for key in ("03", "04"):
        PLANTS["stale row"][0](small.drive, owner, ("bkt", key))
    task = repaired(small, owner, TO_KV)
    PLANTS["stale row"][0](small.drive, owner, ("bkt", "03"))
    small.file("bkt", "03").write_bytes(small.file("bkt", "05").read_bytes())
    now = state(small, owner)[0]
    with pytest.raises(DifferenceError, match="bkt/03: it was changed since"):
        undone(small, owner, task.run_id)
    assert state(small, owner)[0] == now
    assert [each.key for each in records.repaired(owner, task.fence)] == ["03"]


def test_a_row_whose_data_is_gone_is_not_written_to_a_file(bench: Bench) -> None:
    """A file that names parts which are not there would be an object that nobody can read."""
    bench.migrate()
    bench.verify()
    with bench.owner() as owner:
        row, part = with_part(bench, owner)
        part.unlink()
        part.parent.rmdir()
        bench.file(row.bucket, row.key).unlink()
        with pytest.raises(DifferenceError, match=f"data that is not on the drive .{part.parent.name}"):
            repaired(bench, owner, TO_FS, (row.bucket, row.key))
        assert not bench.file(row.bucket, row.key).exists()


@pytest.mark.parametrize("strategy", [TO_KV, TO_FS, USE_FS, USE_KV])
@pytest.mark.parametrize("undoing", [False, True])
def test_cut_off_at_any_step_it_can_be_run_again(
    small: Bench, strategy: Strategy, undoing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call that changes a file or commits is the last one in turn, in the repair or in its undo."""
    places = [("bkt", "03"), ("bkt", "04")]
    small.migrate()
    small.verify()
    with small.owner() as owner:
        for place in places:
            PLANTS["stale row"][0](small.drive, owner, place)
        if strategy is USE_KV:
            mark(small.drive, MarkerState.KV_ONLY)
        before = state(small, owner)
        for step in range(1, 100):
            runs = []
            if undoing:
                runs.append(repaired(small, owner, strategy, accept_newer=True).run_id)
            with monkeypatch.context() as patch:
                crash = Crash(patch, step)
                try:
                    with run(small, owner) as task:
                        runs.append(task.run_id)
                        if undoing:
                            undo(task, runs[0])
                        else:
                            repair(task, strategy, accept_newer=True)
                except Crashed:
                    pass
            if not undoing:
                finished = repaired(small, owner, strategy, accept_newer=True)
                runs.append(finished.run_id)
                assert agree(owner, small, strategy, places)
                known = {each.run_id for each in records.audits(owner)}
                for run_id in reversed(runs):
                    if run_id in known:
                        undone(small, owner, run_id)
            else:
                undone(small, owner, runs[0])
            assert state(small, owner) == before, f"step {step}"
            if not crash.happened:
                break
        else:
            raise AssertionError("it never came to its end")
        assert step > 2


class Crashed(BaseException):
    """The process is gone."""


class Crash:
    """Ends everything at the n-th change, and lets nothing happen after it."""

    CHANGES = ("write_new", "rename", "rename_exclusive", "link", "sync_file", "sync_directory", "exchange")

    def __init__(self, patch: pytest.MonkeyPatch, step: int) -> None:
        self.left = step
        self.happened = False
        for name in self.CHANGES:
            patch.setattr(files, name, self._ending(getattr(files, name)))
        patch.setattr(Owner, "commit", self._ending(Owner.commit))

    def _ending(self, real: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object, **named: object) -> object:
            self.left -= 1
            if self.left <= 0:
                self.happened = True
                raise Crashed
            return real(*arguments, **named)

        return step


def agree(owner: Owner, bench: Bench, strategy: Strategy, places: list[Place]) -> bool:
    rows = [row for row in owner.get_many(places) if row is not None]
    if strategy is USE_KV:
        return not any(bench.file(*place).exists() for place in places)
    wanted = RowState.FS_RESIDENT if strategy is USE_FS else RowState.PRESENT
    return all(row.state is wanted and row.data == file_of(bench, row) for row in rows)


def file_of(bench: Bench, row: Row) -> bytes:
    return bench.file(row.bucket, row.key).read_bytes()


def test_two_at_once_do_no_harm(small: Bench, owner: Owner) -> None:
    PLANTS["stale row"][0](small.drive, owner, ("bkt", "03"))
    with run(small, owner) as first, pytest.raises(RefusedError, match="another verb is changing files"):
        repaired(small, owner, TO_KV)
    assert first.committed == 0
    repaired(small, owner, TO_KV)
    verified(small, owner)


def test_the_command_repairs_and_takes_back(
    small: Bench, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    small.migrate()
    small.verify()
    with small.owner() as owner:
        PLANTS["stale row"][0](small.drive, owner, ("bkt", "03"))
    where = ["--drive", str(small.drive), "--store", str(small.store)]
    names = tmp_path / "names"
    names.write_text("bkt/03\n")

    def ends(*words: str) -> int:
        return main(["engine", "repair", *words, *where])

    assert ends() == 2
    assert ends("undo", "r1", "--strategy", "use-fs") == 2
    assert ends("--strategy", "sync-to-fs") == 40
    assert ends("--strategy", "sync-to-fs", "--server-stopped") == 51
    assert ends("--strategy", "sync-to-kv", "--dry-run") == 0
    assert ends("--strategy", "sync-to-kv", "--objects-file", str(names), "--run-id", "r1") == 0
    assert "rowWritten 1" in capsys.readouterr().out
    assert main(["engine", "verify", *where]) == 0
    assert ends("undo", "r1") == 0
    assert main(["engine", "verify", *where]) == 51
    assert ends("undo", "r9") == 2
    with small.owner() as owner:
        assert [(each.verb, each.state) for each in records.audits(owner)] == [
            ("repair sync-to-fs", "done"),
            ("repair sync-to-kv", "undone"),
            ("undo r1", "done"),
        ]
    assert marker.read(str(small.drive)).state is MarkerState.FS_AUTHORITATIVE


def test_of_two_repairs_with_one_id_an_undo_takes_the_one_that_is_named(small: Bench, owner: Owner) -> None:
    fences = []
    for key in ("03", "04"):
        PLANTS["stale row"][0](small.drive, owner, ("bkt", key))
        fences.append(repaired(small, owner, TO_KV, run_id="twice").fence)
    before = state(small, owner)
    with pytest.raises(UsageError, match=f"2 repairs.*twice@{fences[0]} .*twice@{fences[1]} .*say which"):
        undone(small, owner, "twice")
    assert state(small, owner) == before
    undone(small, owner, f"twice@{fences[0]}")
    assert [each.key for fence in fences for each in records.repaired(owner, fence)] == ["04"]
    undone(small, owner, "twice")
    assert not [each.key for fence in fences for each in records.repaired(owner, fence)]


@pytest.mark.parametrize("second", ["repair", "undo"])
def test_a_run_with_the_fence_of_another_verb_is_refused_and_its_record_stays(
    small: Bench, owner: Owner, second: str
) -> None:
    """The record of a fence says how its repair is taken back: whoever overwrote it would lose that."""
    PLANTS["stale row"][0](small.drive, owner, ("bkt", "03"))
    first = repaired(small, owner, TO_KV)
    PLANTS["stale row"][0](small.drive, owner, ("bkt", "04"))
    before = state(small, owner)
    with run(small, owner) as task:
        task.fence, task.run_id = first.fence, first.run_id
        with pytest.raises(UsageError, match="give this run a fence of its own"):
            undo(task, first.run_id) if second == "undo" else repair(task, TO_FS, accept_newer=True)
    assert state(small, owner) == before
    assert [each.verb for each in records.audits(owner)] == ["repair sync-to-kv"]


def test_of_two_verbs_at_once_the_older_fence_writes_no_record_any_more(small: Bench, owner: Owner) -> None:
    """Mending is a sweep's and takes no lock of the drive: the store's fence is what keeps the two apart."""
    older = small.task(owner)
    PLANTS["stale row"][0](small.drive, owner, ("bkt", "03"))
    task = repaired(small, owner, TO_KV)
    with pytest.raises(FencedError):
        Mending(older, {}).mend([("bkt", "04")])
    told = [(each.fence, each.verb) for each in records.audits(owner)]
    assert told == [(task.fence, "repair sync-to-kv")]


def test_a_file_that_is_written_after_the_last_look_is_not_written_over(
    small: Bench, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H9: what was put aside is the file that was judged, and the one that stands there is another by now."""
    PLANTS["stale row"][0](small.drive, owner, ("bkt", "03"))
    newer = small.file("bkt", "09").read_bytes()
    real = Writer.stage

    def writing(writer: Writer, rows: list[Row]) -> list[Staged]:
        if rows:
            copy = small.file("bkt", "03").with_name("copy")
            copy.write_bytes(newer)
            copy.rename(small.file("bkt", "03"))
        return real(writer, rows)

    monkeypatch.setattr(Writer, "stage", writing)
    with pytest.raises(DifferenceError, match="bkt/03: a file came into its place"):
        repaired(small, owner, TO_FS, accept_newer=True)
    assert small.file("bkt", "03").read_bytes() == newer
    assert list((small.drive / ".dualtrack/tmp").iterdir()) == []


def test_a_file_that_appears_where_there_was_none_is_not_written_over(
    small: Bench, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H9: a server that knows nothing of our locks puts the object again while its row is written out."""
    PLANTS["extra row"][0](small.drive, owner, ("bkt", "03"))
    newer = small.file("bkt", "09").read_bytes()
    real = records.keep_row

    def appearing(drive: str, record: records.Repaired, row: Row) -> None:
        real(drive, record, row)
        small.file("bkt", "03").write_bytes(newer)

    monkeypatch.setattr(records, "keep_row", appearing)
    with pytest.raises(DifferenceError, match="bkt/03: a file came into its place"):
        repaired(small, owner, TO_FS)
    assert small.file("bkt", "03").read_bytes() == newer


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    ("plant", "strategy", "flag"),
    [("stale row", TO_FS, "EXCHANGE"), ("resurrected tombstone", USE_KV, "NOREPLACE")],
)
def test_what_a_file_system_cannot_do_in_one_step_is_refused_before_anything_is_changed(
    small: Bench,
    owner: Owner,
    monkeypatch: pytest.MonkeyPatch,
    plant: str,
    strategy: Strategy,
    flag: str,
    dry_run: bool,
) -> None:
    """As NFS answers, where what a server writes in between would be lost."""
    PLANTS[plant][0](small.drive, owner, ("bkt", "03"))
    if strategy is USE_KV:
        mark(small.drive, MarkerState.KV_ONLY)
    before = state(small, owner)

    def refused(source: str, target: str, flags: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument", source, None, target)

    monkeypatch.setattr(files, "_renameat2", refused)
    with pytest.raises(RefusedError, match=f"RENAME_{flag}"):
        repaired(small, owner, strategy, accept_newer=True, dry_run=dry_run)
    assert state(small, owner) == before


def test_a_run_that_nobody_knows_cannot_be_undone(small: Bench, owner: Owner) -> None:
    with pytest.raises(UsageError, match="no repair with the run id r7"):
        undone(small, owner, "r7")


def test_an_undo_takes_no_row_that_was_kept_of_another_object(small: Bench, owner: Owner) -> None:
    """Two kept rows change places, each whole and with a check that is right."""
    places = [("bkt", "03"), ("bkt", "05")]
    for place in places:
        PLANTS["stale row"][0](small.drive, owner, place)
    task = repaired(small, owner, TO_KV, *places)
    now = state(small, owner)
    first, second = (
        Path(record.kept(str(small.drive), "row")) for record in records.repaired(owner, task.fence)
    )
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)
    with pytest.raises(StoreCorruptError, match=r"holds the row of bkt/0[35]; nothing was changed"):
        undone(small, owner, task.run_id)
    assert state(small, owner) == now
