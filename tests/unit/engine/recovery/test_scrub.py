"""Each class of damage in a store is found and named, and the entries around it are still read."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dualtrack.cli.main import main
from dualtrack.engine.client import OwnerClient
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.quarantine import all_quarantined
from dualtrack.engine.scrub import scrub
from dualtrack.engine.server import Server
from dualtrack.engine.stores.keys import full_key
from dualtrack.engine.stores.transaction import INDEX, META, ROWS
from dualtrack.errors import StoreCorruptError
from layers import mark
from sweepbench import Bench

Damage = Callable[[str, bytes], bytes]


def listed(bench: Bench) -> list[bytes]:
    with bench.owner() as owner:
        return [full_key("versioned", key) for key, _ in owner.scan_index("versioned", "", None, 100)]


def scrubbed(bench: Bench) -> tuple[dict[str, int], list[str], str]:
    """Counts, names and the error of a scrub that must fail."""
    with bench.owner() as owner:
        task = bench.task(owner)
        with pytest.raises(StoreCorruptError) as caught:
            scrub(task)
        return dict(task.counts), task.names, str(caught.value)


def test_a_sound_store_is_read_whole(bench: Bench) -> None:
    with bench.owner() as owner:
        task = bench.task(owner)
        scrub(task)
        digest = owner.digest()
        rows = sum(1 for _ in owner.scan(None, 10_000))
    assert task.counts["rows"] == rows >= digest.count > 0
    assert task.counts["index"] > 0
    assert {name for name in task.counts if name.startswith("damaged")} == set()


def test_every_damaged_row_is_named_and_quarantined(bench: Bench, damage: Damage) -> None:
    keys = listed(bench)[:2]
    for key in keys:
        damage(ROWS, key)
    counts, names, told = scrubbed(bench)
    assert counts["damaged_row"] == 2
    assert names == [f"{key.decode().replace(chr(0), '/')}: row" for key in keys]
    assert "dualtrack engine rebuild makes" in told
    scrubbed(bench)
    with bench.owner() as owner:
        records = {each.name: each for each in all_quarantined(owner)}
    for key in keys:
        record = records[key.decode().replace("\0", "/")]
        assert (record.reason, record.attempts) == ("store", 2)


def test_a_damaged_index_entry_and_a_damaged_meta_value_are_named(bench: Bench, damage: Damage) -> None:
    key = damage(INDEX, listed(bench)[1])
    damage(META, b"verified")
    counts, names, _ = scrubbed(bench)
    assert (counts["damaged_index"], counts["damaged_meta"]) == (1, 1)
    assert names == [f"{key.decode().replace(chr(0), '/')}: index", "meta value verified"]


def test_values_under_wrong_keys_are_named(bench: Bench) -> None:
    one, other = listed(bench)[:2]
    with bench.owner() as owner, owner.store._write() as txn:  # type: ignore[attr-defined]
        for table in (ROWS, INDEX):
            first, second = txn.get(table, one), txn.get(table, other)
            txn.put(table, one, second)
            txn.put(table, other, first)
    counts, names, _ = scrubbed(bench)
    assert (counts["damaged_row"], counts["damaged_index"]) == (2, 2)
    assert len(names) == 4


def test_a_row_and_an_entry_that_do_not_belong_together_are_named(bench: Bench) -> None:
    one, other = listed(bench)[:2]
    with bench.owner() as owner, owner.store._write() as txn:  # type: ignore[attr-defined]
        txn.delete(INDEX, one)
        txn.delete(ROWS, other)
    counts, names, _ = scrubbed(bench)
    assert counts["damaged_pair"] == 2
    assert [name.rpartition(": ")[2] for name in names[:2]] == ["pair", "pair"]
    assert counts["missing"] == 2


def test_rows_that_are_gone_with_their_entries_are_missed(bench: Bench) -> None:
    gone = listed(bench)[0]
    with bench.owner() as owner, owner.store._write() as txn:  # type: ignore[attr-defined]
        txn.delete(INDEX, gone)
        txn.delete(ROWS, gone)
    counts, _, told = scrubbed(bench)
    assert counts["missing"] == 2
    assert "0 entries" in told
    assert "2 missing" in told


def test_a_client_is_told_the_same(bench: Bench, damage: Damage) -> None:
    damage(ROWS, listed(bench)[0])
    damage(META, b"swept_epoch")
    with bench.owner() as owner:
        server = Server(owner, str(bench.store))
        client = OwnerClient(str(bench.store), patience=0)
        try:
            assert client.scrub(b"") == owner.scrub(b"")
            assert client.scrub(b"").damaged
            assert client.scrub_meta() == ["swept_epoch"]
        finally:
            client.close()
            server.close()


def test_a_page_that_kills_its_reader_is_an_error_and_not_a_signal(bench: Bench) -> None:
    path = bench.store / "data.mdb"
    pages = path.stat().st_size // 4096
    data = bytearray(path.read_bytes())
    for page in range(2, pages):  # all but the two meta pages
        data[page * 4096 : page * 4096 + 4096] = b"\xff" * 4096
    path.write_bytes(data)
    where = ["--drive", str(bench.drive), "--store", str(bench.store)]
    assert main(["engine", "scrub", *where]) == StoreCorruptError.exit_code
    assert main(["engine", "rebuild", *where]) == 0
    assert main(["engine", "scrub", *where]) == 0


def test_where_rows_are_the_only_copy_the_way_out_is_a_snapshot(bench: Bench, damage: Damage) -> None:
    damage(ROWS, listed(bench)[0])
    mark(bench.drive, MarkerState.KV_ONLY)
    told = scrubbed(bench)[2]
    assert "dualtrack engine restore-store makes" in told
    assert "rebuild makes" not in told
