"""What every `KvStore` and everything that speaks for one must do: the store, its owner, the owner's
client.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dualtrack.engine.client import OwnerClient
from dualtrack.engine.digests import DigestSum
from dualtrack.engine.formats.versions import Kind
from dualtrack.engine.look import look
from dualtrack.engine.owner import Owner, OwnerSettings
from dualtrack.engine.rows import Fingerprint, Generation, Row, RowOrigin, RowState, order
from dualtrack.engine.server import Server
from dualtrack.engine.stores import envelope, keys
from dualtrack.engine.stores.location import locate
from dualtrack.engine.stores.opening import open_store
from dualtrack.engine.stores.protocol import Batch, Outcome, Put, SealedRows
from dualtrack.engine.stores.transaction import ROWS
from dualtrack.engine.summary import Summary
from dualtrack.errors import (
    FencedError,
    IncompleteError,
    OwnerError,
    StoreCorruptError,
    StoreLockedError,
    StoreVersionError,
)

MAP = 512 * 1024 * 1024


@pytest.fixture(params=["lmdb", "rocksdb", "postgresql", "owner", "client"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    directory = str(tmp_path / "store")
    if request.param in ("lmdb", "rocksdb", "postgresql"):
        where = directory if request.param == "lmdb" else f"rocksdb:{directory}"
        if request.param == "postgresql":
            where = f"{request.getfixturevalue('postgresql').url}&schema=s{uuid.uuid4().hex}"
        plain = open_store(locate(where), "drive-1", map_size=MAP)
        plain.open_term()
        yield plain
        plain.close()
        return
    owner = Owner.open(None, directory, OwnerSettings(drive_id="drive-1", map_size=MAP))
    if request.param == "owner":
        yield owner
        owner.close()
        return
    server = Server(owner, directory)
    client = OwnerClient(directory, patience=0)
    yield client
    client.close()
    server.close()
    owner.close()


def row(bucket: str, key: str, counter: int = 1, data: bytes = b"xl", **changes: Any) -> Row:
    plain = Row(
        bucket,
        key,
        Generation(1, counter),
        RowState.PRESENT,
        RowOrigin.FS,
        Fingerprint(counter, len(data), 5, 6),
        0o640,
        1000,
        1001,
        5,
        data,
    )
    return replace(plain, **changes)


def put(store: Any, *rows: Row, **changes: Any) -> tuple[Outcome, ...]:
    puts = tuple(
        Put(each, b"s:" + each.key.encode(errors="surrogateescape") if each.present else b"", **changes)
        for each in rows
    )
    outcomes: tuple[Outcome, ...] = store.commit(Batch(puts=puts)).outcomes
    return outcomes


def everything(store: Any, page: int = 3) -> list[Row]:
    rows: list[Row] = []
    while found := store.scan((rows[-1].bucket, rows[-1].key) if rows else None, page):
        rows += found
    return rows


def test_a_row_comes_back_as_it_was_put(store: Any) -> None:
    mine = row("b", "a/ü\udcff", 7, bytes(range(256)))
    assert put(store, mine) == (Outcome.APPLIED,)
    assert store.get_many([("b", "a/ü\udcff"), ("b", "nothing")]) == [mine, None]


def test_packed_rows_are_the_rows_of_a_scan_and_open_as_they(store: Any) -> None:
    put(store, *(row("b", f"k{number}") for number in range(5)), Row.tombstone("b", "k9", Generation(1, 1)))
    packed = store.scan_packed(("b", "k0"), 3) + store.scan_packed(("b", "k3"), 10)
    drive = store.drive_id if hasattr(store, "drive_id") else store.info().drive_id
    opened = [envelope.unpack(drive.encode(), full, value).row for full, value in packed]
    assert opened == everything(store)[1:]
    assert store.scan_packed(("c", ""), 3) == []


def test_keys_of_every_length_keep_the_order_of_their_bytes(store: Any) -> None:
    keys = ["k" * n for n in (1, 505, 506, 507, 508, 509, 510, 511, 1000, 1010, 1011, 1024)]
    keys += ["k" * 508 + tail for tail in ("\x01", "j", "l", "k" * 500 + "a", "l" * 501 + "b", "ÿ" * 200)]
    keys += ["k" * 507 + "a" * 517, "k" * 507 + "z" * 517, "é" * 512, "日本" * 170]
    rows = [row("b", key) for key in keys]
    assert set(put(store, *reversed(rows))) == {Outcome.APPLIED}
    expected = sorted(rows, key=lambda each: order(each.bucket, each.key))
    assert everything(store) == expected
    assert [key for key, _ in store.scan_index("b", "", None, 100)] == [each.key for each in expected]
    assert store.get_many([("b", key) for key in keys]) == rows
    for each in expected:
        assert store.scan_index("b", "", each.key, 100)[:1] == [
            (later.key, b"s:" + later.key.encode())
            for later in expected[expected.index(each) + 1 : expected.index(each) + 2]
        ]


def test_buckets_do_not_run_into_each_other(store: Any) -> None:
    put(store, row("ab", "z"), row("abc", "a"), row("ab-c", "a"), row("ab", "\x01"))
    assert [(each.bucket, each.key) for each in everything(store)] == [
        ("ab", "\x01"),
        ("ab", "z"),
        ("ab-c", "a"),
        ("abc", "a"),
    ]
    assert [key for key, _ in store.scan_index("ab", "", None, 10)] == ["\x01", "z"]


def test_the_index_answers_prefix_start_and_limit(store: Any) -> None:
    put(store, *(row("b", key) for key in ("a", "a-b", "a/x", "a/y", "b", "c/1")))
    assert [key for key, _ in store.scan_index("b", "a/", None, 10)] == ["a/x", "a/y"]
    assert [key for key, _ in store.scan_index("b", "", "a/x", 2)] == ["a/y", "b"]
    assert [key for key, _ in store.scan_index("b", "a", "a", 2)] == ["a-b", "a/x"]
    assert store.scan_index("b", "a/", "b", 5) == []


def test_a_page_of_the_index_comes_unpacked_as_well(store: Any) -> None:
    def stored(*names: str) -> None:
        puts = [
            Put(row("b", name), Summary(Kind.OBJECT, 1, 5, size, f"{size:032x}", "STANDARD", False).pack())
            for size, name in enumerate(names)
        ]
        store.commit(Batch(puts=tuple(puts)))

    stored(*(f"{number:04}" for number in range(700)))
    for long in ((), ("0" + "k" * 600, "0" + "k" * 600 + "a", "0300" + "é" * 400)):
        stored(*long)
        for prefix, after, limit in (
            ("", None, 1_000),
            ("", "0004", 600),
            ("01", None, 9),
            ("03", "0299", 200),
        ):
            page = store.scan_index("b", prefix, after, limit)
            assert store.list_index("b", prefix, after, limit) == [
                (key, Summary.unpack(packed)) for key, packed in page
            ]
            expected = [key for key in _names(long) if key.startswith(prefix) and key > (after or "")]
            assert [key for key, _ in page] == expected[:limit]
    assert store.list_index("b", "z", None, 5) == store.list_index("c", "", None, 5) == []


def test_long_keys_that_are_deleted_again_leave_nothing_in_the_index(store: Any) -> None:
    long = ("k" * 600, "k" * 600 + "a")
    short = ("a", "k", "kl", "zz")
    put(store, *(row("b", key) for key in (*short, *long)))
    for count, key in enumerate(long, 1):
        put(store, Row.tombstone("b", key, Generation(1, 5)))
        left = sorted((*short, *long[count:]))
        assert [found for found, _ in store.scan_index("b", "", None, 100)] == left
        pages, after = list[str](), None
        while page := store.scan_index("b", "", after, 2):
            pages += (found for found, _ in page)
            after = page[-1][0]
        assert pages == left


def _names(long: tuple[str, ...]) -> list[str]:
    return sorted([*(f"{number:04}" for number in range(700)), *long], key=os.fsencode)


def test_an_older_generation_never_replaces_a_newer_one(store: Any) -> None:
    assert put(store, row("b", "k", 5, b"new")) == (Outcome.APPLIED,)
    assert put(store, row("b", "k", 4, b"old")) == (Outcome.NEWER,)
    assert put(store, row("b", "k", 5, b"other")) == (Outcome.NEWER,)
    assert put(store, row("b", "k", 4, b"old"), expect="any") == (Outcome.NEWER,)
    assert store.get_many([("b", "k")])[0].data == b"new"
    assert put(store, row("b", "k", 6, b"newer")) == (Outcome.APPLIED,)


def test_a_tombstone_bars_older_reads_and_leaves_the_index(store: Any) -> None:
    put(store, row("b", "k", 2))
    assert put(store, Row.tombstone("b", "k", Generation(1, 4))) == (Outcome.APPLIED,)
    assert put(store, row("b", "k", 3)) == (Outcome.NEWER,)
    assert store.scan_index("b", "", None, 10) == []
    assert store.stats().objects == {}
    assert put(store, row("b", "k", 5)) == (Outcome.APPLIED,)
    assert [key for key, _ in store.scan_index("b", "", None, 10)] == ["k"]


def test_equal_content_is_not_written_again_unless_it_is_untrusted(store: Any) -> None:
    first = row("b", "k", 2)
    put(store, first)
    again = replace(first, generation=Generation(1, 9))
    assert put(store, again) == (Outcome.SAME,)
    assert store.get_many([("b", "k")]) == [first]
    store.commit(Batch(meta={"trust_floor": Generation(1, 5).pack()}))
    assert put(store, again) == (Outcome.APPLIED,)
    assert store.get_many([("b", "k")]) == [again]


def test_a_sweep_never_replaces_what_only_the_store_holds(store: Any) -> None:
    only = row("b", "k", 2, origin=RowOrigin.KV)
    put(store, only)
    assert put(store, row("b", "k", 3, b"file")) == (Outcome.NEWER,)
    assert put(store, Row.tombstone("b", "k", Generation(1, 4))) == (Outcome.NEWER,)
    assert store.get_many([("b", "k")]) == [only]
    assert put(store, row("b", "k", 5, b"restored"), expect="any") == (Outcome.APPLIED,)


def test_a_sweep_replaces_a_row_of_kv_only_that_lost_its_trust_with_the_way_back(store: Any) -> None:
    put(store, row("b", "k", 2, origin=RowOrigin.KV))
    store.commit(Batch(meta={"trust_floor": Generation(1, 3).pack()}))
    assert put(store, row("b", "k", 4, b"file")) == (Outcome.APPLIED,)


def test_counters_follow_the_rows(store: Any) -> None:
    put(store, row("b", "one"), versions=3)
    put(store, row("b", "two"), row("c", "one"))
    put(store, row("b", "one", 2), versions=5)
    put(store, row("b", "two", 2, b"", state=RowState.FS_RESIDENT))
    stats = store.stats()
    assert (dict(stats.objects), dict(stats.versions)) == ({"b": 1, "c": 1}, {"b": 5, "c": 1})
    assert stats.used_bytes > 0
    assert stats.map_bytes == 0 or stats.fullness < 1


def test_a_later_put_of_a_batch_sees_the_earlier_one(store: Any) -> None:
    assert put(store, row("b", "k", 3), row("b", "k", 2, b"late"), row("b", "k", 4, b"last")) == (
        Outcome.APPLIED,
        Outcome.NEWER,
        Outcome.APPLIED,
    )
    assert store.get_many([("b", "k")])[0].data == b"last"
    assert store.stats().objects == {"b": 1}


def test_system_volumes_are_kept_and_not_listed(store: Any) -> None:
    system = row(".minio.sys", "buckets/b/.metadata.bin")
    assert store.commit(Batch(puts=(Put(system),))).outcomes == (Outcome.APPLIED,)
    assert everything(store) == [system]
    assert store.scan_index(".minio.sys", "", None, 10) == []


def test_cursor_and_meta_change_with_the_rows_or_not_at_all(store: Any) -> None:
    fence = store.begin("sweep-1", 0)
    store.commit(Batch(fence, (Put(row("b", "k"), b"s"),), {"n/1": b"one", "n/2": b"two"}, ("sweep", b"c1")))
    with pytest.raises(FencedError):
        store.commit(Batch(fence + 1, (Put(row("b", "l"), b"s"),), {"n/1": None}, ("sweep", b"c2")))
    assert store.meta("n/1") == b"one"
    assert store.meta("cursor/sweep") == b"c1"
    assert store.get_many([("b", "l")]) == [None]
    assert store.meta_scan("n/", None, 10) == [("n/1", b"one"), ("n/2", b"two")]
    assert store.meta_scan("n/", "n/1", 10) == [("n/2", b"two")]
    store.commit(Batch(fence, meta={"n/1": None}))
    assert store.meta("n/1") is None


def test_a_run_with_an_older_fence_is_refused(store: Any) -> None:
    old = store.begin("old", 3)
    assert store.begin("old", 3) == old
    with pytest.raises(FencedError, match="old"):
        store.begin("other", 3)
    new = store.begin("new", 7)
    with pytest.raises(FencedError, match="new"):
        store.begin("old", 3)
    with pytest.raises(FencedError):
        store.commit(Batch(old, (Put(row("b", "k"), b"s"),)))
    assert store.commit(Batch(new, (Put(row("b", "k"), b"s"),))).count(Outcome.APPLIED) == 1
    assert store.begin("next", 0) == 8


def test_the_digest_is_that_of_the_present_rows(store: Any) -> None:
    rows = [row("b", f"k{i}", 1, os.urandom(50)) for i in range(20)]
    put(store, *rows)
    put(store, Row.tombstone("b", "k3", Generation(2, 1)))
    expected = DigestSum()
    for each in rows:
        if each.key != "k3":
            expected.add(each.bucket, each.key, each.data)
    assert store.digest() == expected.value()
    assert store.digest().count == 19


def test_a_digest_ends_when_it_is_told_to(store: Any) -> None:
    if not hasattr(store, "commit_many"):
        pytest.skip("of a client: see unit/engine/test_owner.py")
    put(store, row("b", "k"))
    with pytest.raises(IncompleteError, match="interrupted"):
        store.digest(lambda: True)


def test_a_refused_batch_of_a_group_leaves_no_trace_and_stops_no_other(store: Any) -> None:
    if not hasattr(store, "commit_many"):
        pytest.skip("groups are the writer's, behind the owner")
    results = store.commit_many(
        [
            Batch(puts=(Put(row("b", "k", 2), b"s"),)),
            Batch(fence=4, puts=(Put(row("b", "other"), b"s"),), meta={"x": b"y"}),
            Batch(puts=(Put(row("b", "k", 1, b"late"), b"s"), Put(row("b", "l"), b"s")), meta={"z": b"z"}),
        ]
    )
    assert isinstance(results[1], FencedError)
    assert results[2].outcomes == (Outcome.NEWER, Outcome.APPLIED)
    assert [each.key for each in everything(store)] == ["k", "l"]
    assert (store.meta("x"), store.meta("z")) == (None, b"z")


def test_a_large_row_and_its_neighbours_come_back(store: Any) -> None:
    large = row("b", "large", 1, os.urandom(1 << 20) * 9)
    assert put(store, row("b", "a"), large, row("b", "z")) == (Outcome.APPLIED,) * 3
    assert [each.key for each in everything(store)] == ["a", "large", "z"]
    assert store.get_many([("b", "large")]) == [large]
    assert store.digest().count == 3


def test_every_entry_is_counted_apart_from_being_read(store: Any) -> None:
    if not hasattr(store, "entries"):
        pytest.skip("the count is the store's own")
    put(store, row("b", "k"), row("b", "l"), row("b", "k", 2))
    put(store, Row.tombstone("b", "l", Generation(1, 4)))
    store.commit(Batch(puts=(Put(row(".minio.sys", "x")),)))
    assert (store.entries().rows, store.entries().index) == (3, 1)


def sealed(*rows: Row) -> SealedRows:
    """The rows as a native reader hands them over."""
    packed = SealedRows()
    for each in rows:
        full, summary = keys.full_key(each.bucket, each.key), b"s:" + each.key.encode()
        check = envelope.summary_check(b"drive-1", full, summary)
        packed.fulls.append(full)
        packed.values.append(envelope.pack(b"drive-1", full, each, 1, check))
        packed.entries.append(envelope.pack_index(summary, check))
        packed.versions.append(1)
    return packed


def test_sealed_rows_fare_as_their_puts_would(store: Any) -> None:
    long = "k" * 900
    put(store, row("b", "newer", 9), row("b", "older", 1, b"was"), row("b", "same", 5))
    batch = sealed(*(row("b", key, 5) for key in ("a", "newer", "older", "same", long)))
    mixed = Batch(puts=(Put(row("b", "plain", 5), b"s:plain"),), sealed=batch)
    assert store.commit(mixed).outcomes == (
        Outcome.APPLIED,
        Outcome.APPLIED,
        Outcome.NEWER,
        Outcome.APPLIED,
        Outcome.SAME,
        Outcome.APPLIED,
    )
    assert [each.key for each in everything(store)] == ["a", long, "newer", "older", "plain", "same"]
    assert [key for key, _ in store.scan_index("b", "", None, 9)] == [each.key for each in everything(store)]
    assert store.get_many([("b", "older")]) == [row("b", "older", 5)]
    assert store.stats().objects == {"b": 6}
    assert store.digest().count == 6


@pytest.mark.parametrize("store", ["lmdb", "rocksdb", "postgresql"], indirect=True)
def test_a_key_that_comes_twice_in_a_batch_counts_once(store: Any) -> None:
    """A directory that changes while it is listed may give a name twice."""
    first, again, same = row("b", "k", 5, b"1"), row("b", "k", 5, b"2"), row("b", "l", 5)
    found = store.commit(
        Batch(puts=(Put(same, b"s:l"),), sealed=sealed(first, row("b", "x", 5), again, same))
    )
    assert found.outcomes == (
        Outcome.APPLIED,
        Outcome.APPLIED,
        Outcome.APPLIED,
        Outcome.NEWER,
        Outcome.SAME,
    )
    assert everything(store) == [first, same, row("b", "x", 5)]
    assert store.stats().objects == {"b": 3}
    assert store.digest().count == 3


@pytest.mark.parametrize("driver", ["rocksdb", "postgresql"])
def test_several_may_look_at_once_and_only_with_nobody_at_work(
    driver: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    where = f"rocksdb:{tmp_path}/store"
    if driver == "postgresql":
        where = f"{request.getfixturevalue('postgresql').url}&schema=s{uuid.uuid4().hex}"
    settings = OwnerSettings(drive_id="drive-1", map_size=MAP)
    owner = Owner.open(None, where, settings)
    put(owner, row("b", "k"))
    if driver != "postgresql":
        with pytest.raises(StoreLockedError), look(where):
            pass
    owner.close()
    with look(where) as one, look(where, drive_id="drive-1") as other:
        assert everything(one) == everything(other) == [row("b", "k")]
        assert one.digest() == other.digest()
        assert one.stats().objects == {"b": 1}
        if driver != "postgresql":
            with pytest.raises(StoreLockedError):
                Owner.open(None, where, settings)
        with pytest.raises(StoreVersionError), look(where, drive_id="another"):
            pass
    owner = Owner.open(None, where, settings)
    owner.close()


def test_rows_of_an_earlier_pass_are_told_apart(store: Any) -> None:
    rows = [
        row("b", "gone", 1),
        row("b", "kept", 3),
        row("c", "kept", 3),
        row("b", "kv", 1, origin=RowOrigin.KV),
    ]
    put(store, *rows)
    put(store, Row.tombstone("b", "deleted", Generation(1, 1)))
    older = store.scan_older(None, Generation(1, 2), Generation(0, 0), 100)
    assert older.rows == (rows[0],)
    assert older.newer == {"b": 1, "c": 1}
    assert store.scan_older(older.last, Generation(1, 2), Generation(0, 0), 100).last is None


@pytest.mark.parametrize("store", ["lmdb", "rocksdb", "postgresql"], indirect=True)
def test_a_damaged_row_refuses_all_but_a_mend(store: Any) -> None:
    summary = Summary(Kind.OBJECT, 3, 5, 6, "", "STANDARD", False).pack()
    store.commit(Batch(puts=(Put(row("b", "bad", 1), summary, versions=3),)))
    put(store, row("b", "good", 1))
    full = keys.full_key("b", "bad")
    with store._write() as txn:
        value = txn.get(ROWS, full)
        txn.delete(ROWS, full)
    with store._write() as txn:
        txn.put(ROWS, full, value[:-1] + b"?")
    assert put(store, row("b", "bad", 5), row("b", "good", 5, b"2")) == (Outcome.DAMAGED, Outcome.APPLIED)
    with pytest.raises(StoreCorruptError, match="b/bad"):
        put(store, row("b", "good", 6, b"3"), row("b", "bad", 6), expect="any")
    assert store.get("b", "good").data == b"2"
    older = store.scan_older(None, Generation(1, 5), Generation(0, 0), 100)
    assert (older.damaged, older.newer) == ((("b", "bad"),), {"b": 1})
    mended = put(store, row("b", "bad", 2), row("b", "bad", 3, b"4"), expect="mend", versions=2)
    assert mended == (Outcome.APPLIED, Outcome.APPLIED)
    assert (store.stats().objects, store.stats().versions) == ({"b": 2}, {"b": 3})
    assert store.digest().count == 2


@pytest.mark.parametrize("store", ["client"], indirect=True)
def test_an_owner_takes_no_sealed_row_that_is_not_what_it_says(store: Any) -> None:
    good = row("b", "good", 5)
    for spoilt, error in (
        (sealed(replace(good, origin=RowOrigin.KV)), OwnerError),
        (sealed(good, row("b", "other", 6)), OwnerError),
        (sealed(good, good), OwnerError),
        (sealed(row(".sys", "good", 5)), OwnerError),
    ):
        with pytest.raises(error):
            store.commit(Batch(sealed=spoilt))
    flipped = sealed(good)
    flipped.values[0] = flipped.values[0][:-1] + b"?"
    with pytest.raises(StoreCorruptError):
        store.commit(Batch(sealed=flipped))
    assert everything(store) == []
