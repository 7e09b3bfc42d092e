"""Bisecting by digests names exactly the keys that a comparison row by row would, and reads little for it."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.engine import bisecting
from dualtrack.engine.bisecting import differing
from dualtrack.engine.rows import Fingerprint, Generation, Row, RowOrigin, RowState, order
from dualtrack.engine.stores.protocol import Place


def row(key: str, data: bytes = b"x", **changes: object) -> Row:
    status = Fingerprint(1, 1, 1, 1)
    made = Row("b", key, Generation(1, 1), RowState.PRESENT, RowOrigin.FS, status, 0o644, 1, 2, 5, data)
    return replace(made, **changes)


@dataclass(slots=True)
class Rows:
    """A side in memory that counts what is read of it."""

    rows: list[Row]
    read: int = 0
    keys: list[tuple[bytes, bytes]] = field(init=False)

    def __post_init__(self) -> None:
        self.keys = [order(each.bucket, each.key) for each in self.rows]

    def scan(self, after: Place | None, limit: int) -> list[Row]:
        start = bisect_right(self.keys, order(*after)) if after else 0
        page = self.rows[start : start + limit]
        self.read += len(page)
        return page


def sorted_rows(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda each: order(each.bucket, each.key))


VALUES = st.dictionaries(st.text("abc/é", min_size=1, max_size=4), st.sampled_from([b"1", b"2"]), max_size=40)


@given(VALUES, VALUES)
def test_the_keys_are_those_of_a_comparison_row_by_row(
    left: dict[str, bytes], right: dict[str, bytes]
) -> None:
    sides = [Rows(sorted_rows([row(*each) for each in side.items()])) for side in (left, right)]
    expected = {key for key in {*left, *right} if left.get(key) != right.get(key)}
    found = list(differing(*sides))
    assert found == sorted({("b", key) for key in expected}, key=lambda place: order(*place))


@pytest.mark.parametrize(
    "other",
    [
        row("0500", b"y"),
        row("0500", generation=Generation(1, 2)),
        row("0500", state=RowState.FS_RESIDENT),
        row("0500", origin=RowOrigin.KV),
        row("0500", mode=0o600),
        row("0500", mtime_ns=6),
        row("0500", fingerprint=Fingerprint(2, 1, 1, 1)),
    ],
)
def test_everything_that_a_row_says_counts(other: Row) -> None:
    rows = [row(f"{number:04d}") for number in range(1_000)]
    assert list(differing(Rows(rows), Rows([*rows[:500], other, *rows[501:]]))) == [("b", "0500")]


def test_a_difference_costs_the_halves_of_one_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bisecting, "PAGE", 256)
    monkeypatch.setattr(bisecting, "_SCAN", 16)
    rows = [row(f"{number:06d}") for number in range(2_048)]
    equal = Rows(rows), Rows(list(rows))
    assert list(differing(*equal)) == []
    wrong = Rows(rows), Rows([*rows[:1_500], row("001500", b"y"), *rows[1_501:]])
    assert list(differing(*wrong)) == [("b", "001500")]
    more = wrong[0].read + wrong[1].read - equal[0].read - equal[1].read
    assert more <= 8 * 256
