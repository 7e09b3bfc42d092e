"""What of a table was met in its own order: the stretches join, and nothing that was not met lies in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.engine.rows import Fingerprint, Generation, Row, RowOrigin, RowState
from dualtrack.engine.stores import coverage
from dualtrack.engine.stores.coverage import END, Alongside, Covered, Stretch, alongside
from dualtrack.engine.stores.keys import full_key
from dualtrack.engine.stores.lmdb import LmdbStore
from dualtrack.engine.stores.protocol import Batch, Put
from dualtrack.engine.stores.transaction import ROWS, Columnar

MAP = 64 * 1024 * 1024
KEYS = [b"%02d" % number for number in range(12)]


def behind(key: bytes) -> bytes:
    return next((each for each in KEYS if each > key), END)


@given(st.permutations(range(len(KEYS))), st.integers(0, len(KEYS)))
def test_stretches_join_in_whatever_order_they_come(order: list[int], met: int) -> None:
    covered = Covered()
    for number in order[:met]:
        assert covered.take([Stretch(KEYS[number], behind(KEYS[number]), 1)])
    missed = [KEYS[number] for number in order[met:]]
    gaps = list(covered.gaps())
    assert covered.count == met
    assert not covered.twice
    assert [key for key in KEYS if any(start <= key < end for start, end in gaps)] == sorted(missed)
    assert met < len(KEYS) or gaps == [(b"", KEYS[0])]


@pytest.mark.parametrize(
    "again",
    [(b"b", b"c"), (b"a", b"b"), (b"b", b"e"), (b"a", b"e"), (b"d", b"f"), (b"a", b"g"), (b"c", END)],
)
def test_what_is_met_twice_is_told(again: tuple[bytes, bytes]) -> None:
    covered = Covered()
    covered.take([Stretch(b"b", b"d", 2), Stretch(b"e", b"f", 1)])
    apart = again == (b"a", b"b")
    covered.take([Stretch(*again, 1)])
    assert covered.twice is not apart
    assert covered.count == (4 if apart else 3)


def test_no_more_stretches_are_kept_than_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "MOST", 2)
    covered = Covered()
    assert covered.take([Stretch(b"a", b"b", 1)])
    assert not covered.take([Stretch(b"c", b"d", 1), Stretch(b"e", b"f", 1)])
    assert covered.count == 1


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LmdbStore]:
    opened = LmdbStore.open(str(tmp_path / "store"), "drive", map_size=MAP)
    opened.open_term()
    yield opened
    opened.close()


def put(store: LmdbStore, *keys: str) -> None:
    rows = [
        Row(
            "b",
            key,
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
        for key in keys
    ]
    store.commit(Batch(puts=tuple(Put(row) for row in rows)))


@contextmanager
def reading(store: LmdbStore) -> Iterator[Columnar]:
    with store._read() as txn:
        assert isinstance(txn, Columnar)
        yield txn


NUMBERED = [f"{number:04}" for number in range(200)]
LONG = "0100" + "k" * 700


@pytest.mark.parametrize("long", [(), (LONG,), (LONG, LONG + "a")])
def test_values_and_what_lies_between_are_those_of_the_table(store: LmdbStore, long: tuple[str, ...]) -> None:
    put(store, *NUMBERED, *long)
    fulls = [full_key("b", key) for key in (*NUMBERED[20:90], *NUMBERED[120:199])]
    with reading(store) as txn:
        found = alongside(txn, ROWS, fulls)
        assert found is not None
        values = txn.get_many(ROWS, fulls)  # type: ignore[attr-defined]
    assert found.values == [values[full] for full in fulls]
    assert found.stretches == [
        Stretch(fulls[0], full_key("b", "0090"), 70),
        Stretch(fulls[70], full_key("b", "0199"), 79),
    ]


def test_a_key_that_is_not_there_has_no_value_and_is_in_no_stretch(store: LmdbStore) -> None:
    put(store, *NUMBERED)
    fulls = [full_key("b", key) for key in (*NUMBERED[:50], "0049x", *NUMBERED[50:], "z")]
    with reading(store) as txn:
        found = alongside(txn, ROWS, fulls)
    assert found is not None
    assert [number for number, value in enumerate(found.values) if not value] == [50, 201]
    covered = Covered()
    covered.take(found.stretches)
    assert (covered.count, list(covered.gaps())) == (200, [(b"", fulls[0])])


def test_keys_in_another_order_than_the_tables_are_left_to_be_asked_for(store: LmdbStore) -> None:
    put(store, *NUMBERED)
    with reading(store) as txn:
        assert alongside(txn, ROWS, [full_key("b", key) for key in reversed(NUMBERED)]) is None
        none = alongside(txn, ROWS, [])
    assert none == Alongside([], [])
