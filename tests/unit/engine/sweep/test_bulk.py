"""The quick ways of a verification, of the store's owner and beside it: the merge's answer, or none."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from dualtrack.engine import beside, bulk, verify
from dualtrack.engine.departed import Accepted
from dualtrack.engine.native import library
from dualtrack.engine.owner import Owner
from dualtrack.engine.rows import Row, RowOrigin
from dualtrack.engine.stores import coverage, envelope
from dualtrack.engine.stores.keys import full_key
from dualtrack.engine.stores.lmdb import LmdbStore
from dualtrack.engine.stores.protocol import Batch, Put
from dualtrack.engine.stores.reading import pack_entries
from dualtrack.engine.stores.transaction import INDEX
from dualtrack.engine.task import Task
from dualtrack.engine.walk import Range
from dualtrack.errors import DifferenceError
from sweepbench import Bench

pytestmark = pytest.mark.skipif(library.library() is None, reason="built without a C compiler")


def found(task: Task) -> tuple[dict[str, int], object, int]:
    return dict(+task.counts), task.notes["digest"], task.scanned


def unreachable(*_: Any) -> Any:
    raise AssertionError("the merge was asked")


WAYS = pytest.mark.parametrize("way", [Bench.verify, Bench.verify_beside])
Way = Callable[[Bench], Task]


@WAYS
def test_it_counts_and_sums_as_the_merge_does(
    bench: Bench, some: tuple[str, str], monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    shutil.rmtree(bench.drive / some[0] / some[1])
    task = bench.migrate()
    shutil.copytree(bench.drive / some[0], bench.drive / "later")
    bench.migrate()
    shutil.rmtree(bench.drive / "later")
    bench.migrate(accepted=Accepted(everything=True))
    with monkeypatch.context() as patch:
        patch.setattr(library, "library", lambda: None)
        merged = found(way(bench))
    monkeypatch.setattr(verify, "pairs", unreachable)
    assert found(way(bench)) == merged
    assert merged[0]["equal"] == task.counts["applied"]
    assert merged[0]["absent"] > 0


@WAYS
def test_it_is_done_where_every_batch_is_small_or_out_of_order(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    bench.migrate()
    merged = found(bench.verify())
    monkeypatch.setattr(verify, "pairs", unreachable)
    for module, most in ((bulk, 5), (beside, 5)):
        monkeypatch.setattr(module, "BATCH_ROWS", most)
    assert found(way(bench)) == merged
    monkeypatch.setattr(coverage, "MOST", 1)
    assert found(way(bench)) == merged
    monkeypatch.setattr(coverage, "_PATIENCE", -1)
    assert found(way(bench)) == merged


@WAYS
def test_a_row_too_many_and_one_too_few_are_both_found(bench: Bench, some: tuple[str, str], way: Way) -> None:
    """As many rows as files, but not the same ones."""
    bench.migrate()
    with bench.owner() as owner:
        kept, entry = stored(owner, some)
        tombstone = Row.tombstone(*some, owner.next_generation())
        owner.commit(Batch(puts=(Put(tombstone, versions=0),)))
        stray = Row(some[0], some[1] + "-stray", owner.next_generation(), *astuple(kept)[3:])
        owner.commit(Batch(puts=(Put(stray, entry),)))
    with pytest.raises(DifferenceError) as caught:
        way(bench)
    assert "2 objects differ" in str(caught.value)


@WAYS
@pytest.mark.parametrize("key", ["!first", "{some}-stray", "\udcfflast"])
def test_an_index_entry_alone_is_found_wherever_it_lies(
    bench: Bench, some: tuple[str, str], way: Way, key: str
) -> None:
    bench.migrate()
    place = some[0], key.format(some=some[1])
    with bench.owner() as owner:
        _, entry = stored(owner, some)
        full = full_key(*place)
        check = envelope.summary_check(owner.store.drive_id.encode(), full, entry)
        store = owner.store
        assert isinstance(store, LmdbStore)
        with store._write() as txn:
            txn.put(INDEX, full, envelope.pack_index(entry, check))
            counted = store._entries(txn)
            store._put_meta(txn, "entries", pack_entries(replace(counted, index=counted.index + 1)))
    with pytest.raises(DifferenceError, match=r"1 objects differ.*: index"):
        way(bench)


@WAYS
def test_a_tombstone_that_may_not_be_trusted_is_found(bench: Bench, some: tuple[str, str], way: Way) -> None:
    bench.migrate()
    with bench.owner() as owner:
        old = owner.next_generation()
    bench.verify()
    with bench.owner() as owner:
        floor = owner.next_generation()
        owner.commit(Batch(meta={"trust_floor": floor.pack()}))
    bench.migrate()
    with bench.owner() as owner:
        owner.commit(Batch(puts=(Put(Row.tombstone(some[0], "never-there", old), versions=0),)))
    with pytest.raises(DifferenceError, match="never-there: untrusted"):
        way(bench)


@WAYS
def test_a_final_one_counts_and_sums_as_the_merge_does(
    bench: Bench, some: tuple[str, str], monkeypatch: pytest.MonkeyPatch, way: Callable[..., Task]
) -> None:
    """Overwritten, new, and deleted with and without a file, in `kv_only`; all else untouched."""
    bench.migrate()
    with bench.owner() as owner:
        row, entry = stored(owner, some)
        rows = [each for each in owner.scan(None, 1_000) if not each.bucket.startswith(".")]
        other = next(each for each in rows if each.present and each.key != some[1])
        kept = replace(row, origin=RowOrigin.KV)
        for made, summary in (
            (replace(kept, data=row.data + b"x"), entry),
            (replace(kept, key="new"), entry),
            (Row.tombstone("never", "there", row.generation, RowOrigin.KV), b""),
            (Row.tombstone(other.bucket, other.key, row.generation, RowOrigin.KV), b""),
        ):
            newer = replace(made, generation=owner.next_generation())
            owner.commit(Batch(puts=(Put(newer, summary, "any", int(newer.present)),)))
    with monkeypatch.context() as patch:
        patch.setattr(library, "library", lambda: None)
        merged = found(way(bench, final=True))
    monkeypatch.setattr(verify, "pairs", unreachable)
    assert found(way(bench, final=True)) == merged
    assert (merged[0]["superseded"], merged[0]["kvOnly"], merged[0]["absent"]) == (2, 1, 1)


@WAYS
def test_a_name_that_is_met_twice_is_left_to_the_merge(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    """As when a directory is changed while it is listed."""
    bench.migrate()
    merged = found(bench.verify())
    once = bulk.walk

    def twice(*given: Any, **named: Any) -> Iterator[Range]:
        yield from once(*given, **named)
        yield from (each for each in once(*given, **named) if each.sealed)

    monkeypatch.setattr(bulk, "walk", twice)
    assert found(way(bench)) == merged


def stored(owner: Owner, place: tuple[str, str]) -> tuple[Row, bytes]:
    row = owner.get(*place)
    assert row is not None
    return row, dict(owner.scan_index(*place, None, 1))[place[1]]


def astuple(row: Row) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in row.__slots__)


@WAYS
def test_an_old_row_is_not_trusted_though_its_bytes_are_right(bench: Bench, way: Way) -> None:
    bench.migrate()
    with bench.owner() as owner:
        owner.commit(Batch(meta={"trust_floor": owner.next_generation().pack()}))
    with pytest.raises(DifferenceError, match="untrusted"):
        way(bench)
