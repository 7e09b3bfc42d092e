"""Verification: clean where it is clean, and every kind of planted difference found and named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import pytest

from dualtrack.engine import confirming
from dualtrack.engine import verify as module
from dualtrack.engine.digests import DigestSum
from dualtrack.engine.drive import Drive
from dualtrack.engine.native import library
from dualtrack.engine.owner import Owner
from dualtrack.engine.rows import Row, RowOrigin
from dualtrack.engine.stores.protocol import Batch, Put
from dualtrack.engine.task import Task
from dualtrack.engine.walk import walk
from dualtrack.errors import DifferenceError, DualTrackError, IncompleteError, OwnerError, StoreCorruptError
from dualtrack.waivers import list_digest, waiver_id
from sweepbench import Bench, unreadable

Place = tuple[str, str]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirming, "PAUSE_SECONDS", 0.001)


def test_a_migrated_drive_is_equal_and_that_is_recorded(bench: Bench) -> None:
    bench.migrate()
    task = bench.verify()
    expected = DigestSum()
    for part in walk(Drive.open(bench.drive), system=True):
        for found in part.objects:
            expected.add(found.bucket, found.key, found.data)
    assert task.notes["digest"] == str(expected.value())
    record = bench.record()
    assert record is not None
    assert (record["digest"], record["count"]) == (str(expected.value()), expected.value().count)
    assert (record["kind"], record["epoch"], record["quarantined"]) == ("full", 0, 0)


def change_file(bench: Bench, place: Place) -> None:
    path = bench.file(*place)
    other = next(
        each
        for each in sorted(bench.drive.glob("*/*/xl.meta"))
        if each != path and each.read_bytes() != path.read_bytes()
    )
    copy = path.with_name("copy")
    shutil.copy2(other, copy)
    os.replace(copy, path)


def remove_file(bench: Bench, place: Place) -> None:
    shutil.rmtree(bench.file(*place).parent)


def change_mode(bench: Bench, place: Place) -> None:
    bench.file(*place).chmod(0o600)


def change_time(bench: Bench, place: Place) -> None:
    os.utime(bench.file(*place), (1, 1))


def corrupt_file(bench: Bench, place: Place) -> None:
    path = bench.file(*place)
    status = path.stat()
    path.write_bytes(path.read_bytes()[:30])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def new_file(bench: Bench, place: Place) -> None:
    path = bench.file(place[0], place[1] + "-new")
    path.parent.mkdir()
    shutil.copy2(bench.file(*place), path)


def in_store(change: Callable[[Owner, Row], None]) -> Callable[[Bench, Place], None]:
    def apply(bench: Bench, place: Place) -> None:
        with bench.owner() as owner:
            row = owner.get(*place)
            assert row is not None
            change(owner, row)

    return apply


def put(owner: Owner, row: Row, summary: bytes) -> None:
    owner.commit(Batch(puts=(Put(replace(row, generation=owner.next_generation()), summary, "any"),)))


def summary_of(owner: Owner, row: Row) -> bytes:
    return owner.scan_index(row.bucket, row.key, None, 1)[0][1]


def change_row(owner: Owner, row: Row) -> None:
    put(owner, replace(row, data=row.data + b"x"), summary_of(owner, row))


def change_summary(owner: Owner, row: Row) -> None:
    put(owner, row, b"\1" + summary_of(owner, row)[1:-1] + b"!")


def drop_summary(owner: Owner, row: Row) -> None:
    put(owner, row, b"")


def bury(owner: Owner, row: Row) -> None:
    put(owner, Row.tombstone(row.bucket, row.key, row.generation), b"")


def distrust(owner: Owner, row: Row) -> None:
    floor = owner.next_generation()
    rows: list[Row] = []
    while page := owner.scan((rows[-1].bucket, rows[-1].key) if rows else None, 1000):
        rows += page
    owner.commit(Batch(meta={"trust_floor": floor.pack()}))
    entries = {row_place(each): summary_of(owner, each) for each in rows if not each.bucket.startswith(".")}
    for each in rows:
        if each != row:
            put(owner, each, entries.get(row_place(each), b""))


def row_place(row: Row) -> Place:
    return row.bucket, row.key


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        (change_file, "content"),
        (remove_file, "missingFile"),
        (change_mode, "attributes"),
        (change_time, "attributes"),
        (corrupt_file, "notSetAside"),
        (new_file, "missingRow"),
        (in_store(change_row), "content"),
        (in_store(change_summary), "index"),
        (in_store(drop_summary), "index"),
        (in_store(bury), "deleted"),
        (in_store(distrust), "untrusted"),
    ],
)
@pytest.mark.parametrize("way", [Bench.verify, Bench.verify_beside])
def test_one_planted_difference_is_found_and_named(
    bench: Bench, some: Place, plant: Callable[[Bench, Place], None], kind: str, way: Callable[[Bench], Task]
) -> None:
    bench.migrate()
    way(bench)
    before = bench.record()
    plant(bench, some)
    with pytest.raises(DifferenceError, match=f"{some[1]}.*: {kind}"):
        way(bench)
    assert bench.record() == before


def test_a_damaged_row_ends_the_verification(bench: Bench, some: Place) -> None:
    bench.migrate()
    path = bench.store / "data.mdb"
    data = bench.file(*some).read_bytes()
    path.write_bytes(path.read_bytes().replace(data, data[:-1] + bytes((data[-1] ^ 1,))))
    with pytest.raises(StoreCorruptError, match=some[1]):
        bench.verify()


def test_a_quarantined_object_must_be_waived_by_name_and_content(bench: Bench, some: Place) -> None:
    bench.file(*some).write_bytes(b"XL2 nothing")
    bench.migrate()
    with pytest.raises(IncompleteError, match=f"{some[0]}/{some[1]}"):
        bench.verify()
    assert bench.record() is None
    accepted = waiver_id(*some, sha256(b"XL2 nothing").hexdigest())
    task = bench.verify(waived=frozenset({accepted}))
    assert task.notes["waiversDigest"] == task.notes["quarantineDigest"] == list_digest([accepted])
    record = bench.record()
    assert record is not None
    assert record["quarantined"] == 1


def test_a_file_that_changed_since_has_no_waiver(bench: Bench, some: Place) -> None:
    accepted = waiver_id(*some, sha256(b"XL2 nothing").hexdigest())
    bench.file(*some).write_bytes(b"XL2 nothing")
    bench.migrate()
    bench.file(*some).write_bytes(b"XL2 anything")
    with pytest.raises(IncompleteError, match="accept each as it is"):
        bench.verify(waived=frozenset({accepted}))


def test_a_link_in_the_place_of_a_file_counts_as_quarantined(bench: Bench, some: Place) -> None:
    path = bench.file(*some)
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")
    bench.migrate()
    with pytest.raises(IncompleteError, match="not in the store"):
        bench.verify()
    accepted = waiver_id(*some, sha256(b"symlink:elsewhere").hexdigest())
    assert bench.verify(waived=frozenset({accepted})).counts["quarantined"] == 1


@pytest.mark.parametrize("native", [True, False])
def test_a_directory_that_cannot_be_read_makes_it_incomplete(
    bench: Bench, some: Place, monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    bench.migrate()
    if native and library.library() is None:
        pytest.skip("built without a C compiler")
    unreadable(monkeypatch, bench.drive / some[0])
    if not native:
        monkeypatch.setattr(library, "library", lambda: None)
    with pytest.raises(IncompleteError):
        bench.verify()
    assert bench.record() is None


def test_a_key_that_stays_dirty_makes_it_incomplete(
    bench: Bench, some: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.migrate()
    change_file(bench, some)
    monkeypatch.setattr(module, "settle_journal", lambda task: set())
    with bench.owner() as owner:
        owner.mark(*some)
        task = bench.task(owner)
        with pytest.raises(IncompleteError, match="could not be compared"):
            module.Verification(task).run()
        assert task.names == [f"{some[0]}/{some[1]}: stays dirty"]


def test_a_difference_that_passes_is_none(bench: Bench, some: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that is behind its file at first sight, and is there at the second."""
    bench.migrate()
    with bench.owner() as owner:
        row = owner.get(*some)
        assert row is not None
        entry = summary_of(owner, row)
        put(owner, replace(row, data=row.data + b"x"), entry)
        looks: list[int] = []

        def mend() -> bool:
            looks.append(1)
            if len(looks) == 4:
                put(owner, row, entry)
            return False

        task = bench.task(owner, stop=mend)
        module.Verification(task).run()
    assert task.counts["differences"] == 0
    assert bench.record() is not None


@pytest.mark.parametrize("broken", ["unmended", "epoch"])
def test_it_refuses_what_it_cannot_vouch_for(bench: Bench, broken: str) -> None:
    bench.migrate()
    expected: type[DualTrackError] = OwnerError
    if broken == "unmended":
        expected = IncompleteError
        with bench.owner() as owner:
            owner.commit(Batch(meta={"unmended": b"1"}))
    with pytest.raises(expected):
        bench.verify(epoch=7 if broken == "epoch" else 0)
    assert bench.record() is None


def test_in_kv_only_rows_may_be_newer_than_files(bench: Bench, some: Place) -> None:
    """Overwritten, deleted and new since the cut-over; what no one touched must still be equal."""
    bench.migrate()
    others = sorted(bench.drive.glob("*/*/xl.meta"))
    places = [(path.parent.parent.name, path.parent.name) for path in others if path.parent.name != some[1]]
    deleted = next(place for place in places if not place[0].startswith("."))
    with bench.owner() as owner:
        row = owner.get(*some)
        assert row is not None
        entry = summary_of(owner, row)
        put(owner, replace(row, origin=RowOrigin.KV, data=row.data + b"x"), entry)
        put(owner, replace(row, key="new", origin=RowOrigin.KV), entry)
        put(owner, Row.tombstone(*deleted, row.generation, RowOrigin.KV), b"")
    task = bench.verify(final=True)
    assert (task.counts["superseded"], task.counts["kvOnly"]) == (2, 1)
    record = bench.record()
    assert record is not None
    assert record["kind"] == "final"
    with pytest.raises(DifferenceError):
        bench.verify()
    change_file(bench, next(place for place in places if place not in (some, deleted)))
    with pytest.raises(DifferenceError, match="content"):
        bench.verify(final=True)
