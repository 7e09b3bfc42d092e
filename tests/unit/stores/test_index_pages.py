"""A page of the index comes in parts, and each part is checked: what is damaged is named wherever it lies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dualtrack.engine.formats.versions import Kind
from dualtrack.engine.rows import Fingerprint, Generation, Row, RowOrigin, RowState
from dualtrack.engine.stores.keys import full_key
from dualtrack.engine.stores.lmdb import LmdbStore
from dualtrack.engine.stores.protocol import Batch, Put
from dualtrack.engine.stores.transaction import INDEX
from dualtrack.engine.summary import Summary
from dualtrack.errors import StoreCorruptError

MAP = 64 * 1024 * 1024
KEYS = [f"{number:04}" for number in range(2_500)]
LONG = "0100" + "k" * 600


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LmdbStore]:
    opened = LmdbStore.open(str(tmp_path / "store"), "drive", map_size=MAP)
    opened.open_term()
    put(opened, *KEYS)
    yield opened
    opened.close()


def put(store: LmdbStore, *names: str) -> None:
    packed = Summary(Kind.OBJECT, 1, 5, 7, f"{7:032x}", "STANDARD", False).pack()
    rows = (
        Row(
            "b",
            name,
            Generation(1, 1),
            RowState.PRESENT,
            RowOrigin.FS,
            Fingerprint(1, 2, 3, 4),
            0,
            0,
            0,
            0,
            b"x",
        )
        for name in names
    )
    store.commit(Batch(puts=tuple(Put(row, packed) for row in rows)))


@pytest.mark.parametrize("number", [0, 31, 32, 991, 992, 2_016, 2_499])
def test_a_damaged_entry_is_named_in_whichever_part_it_lies(store: LmdbStore, number: int) -> None:
    full = full_key("b", KEYS[number])
    with store._write() as txn:
        entry = txn.get(INDEX, full)
        assert entry is not None
        txn.put(INDEX, full, entry[:-1] + bytes([entry[-1] ^ 1]))
    for read in (store.scan_index, store.list_index):
        assert [key for key, _ in read("b", "", None, number)] == KEYS[:number]
        assert [key for key, _ in read("b", "", KEYS[number], 5_000)] == KEYS[number + 1 :]
        with pytest.raises(StoreCorruptError, match=f"b/{KEYS[number]} has an index entry"):
            read("b", "", None, number + 1)


def test_the_first_long_key_of_a_store_is_in_the_next_page(store: LmdbStore) -> None:
    assert [key for key, _ in store.scan_index("b", "", None, 5_000)] == KEYS
    put(store, LONG)
    for read in (store.scan_index, store.list_index):
        assert [key for key, _ in read("b", "", None, 5_000)] == sorted([*KEYS, LONG])
        assert [key for key, _ in read("b", "0100", None, 5)] == ["0100", LONG]
