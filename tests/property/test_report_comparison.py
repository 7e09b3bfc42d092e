"""Comparing a side with a report: every difference found, none invented, whatever the side looks like."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dualtrack.engine.proof.compare import Seen, compare
from dualtrack.engine.proof.document import Range, Ranges
from dualtrack.engine.proof.leaves import range_digest
from dualtrack.engine.rows import order

places = st.tuples(st.sampled_from(["a", "b", "c"]), st.text("xyz/-\udcff", min_size=1, max_size=3))
sides = st.dictionaries(places, st.integers(0, 2), max_size=30)


def leaf(place: tuple[str, str], content: int) -> bytes:
    return bytes.fromhex(range_digest([repr((place, content)).encode()]))


def in_order(side: dict[tuple[str, str], int]) -> list[tuple[tuple[str, str], int]]:
    return sorted(side.items(), key=lambda each: order(*each[0]))


def recorded(side: dict[tuple[str, str], int], size: int, *, detailed: bool = True) -> list[Range]:
    ranges = Ranges(size, detailed)
    for place, content in in_order(side):
        ranges.add(*place, leaf(place, content))
    ranges.close()
    return ranges.done


def seen(side: dict[tuple[str, str], int]) -> list[Seen]:
    return [Seen(place, leaf(place, content)) for place, content in in_order(side)]


@given(before=sides, after=sides, size=st.integers(1, 7))
def test_all_that_differs_is_named(
    before: dict[tuple[str, str], int], after: dict[tuple[str, str], int], size: int
) -> None:
    found = list(compare(recorded(before, size), seen(after)))
    named = {(each.bucket, each.key) for each in found if each.what in ("changed", "added")}
    assert named == {place for place, content in after.items() if before.get(place) != content}
    gone = sum(1 for place, content in before.items() if after.get(place) != content)
    taken = sum(1 for each in found if each.what == "changed")
    assert sum(1 for each in found if each.what == "missing") + taken == gone


@given(before=sides, size=st.integers(1, 7), detailed=st.booleans())
def test_the_same_is_the_same(before: dict[tuple[str, str], int], size: int, detailed: bool) -> None:
    assert not list(compare(recorded(before, size, detailed=detailed), seen(before)))


@given(before=sides, after=sides, size=st.integers(1, 7))
def test_ranges_without_leaves_still_differ(
    before: dict[tuple[str, str], int], after: dict[tuple[str, str], int], size: int
) -> None:
    found = list(compare(recorded(before, size, detailed=False), seen(after)))
    assert bool(found) == (before != after)


@given(before=sides, data=st.data(), size=st.integers(1, 7))
def test_a_part_of_the_files_is_no_difference_where_they_were_taken_away(
    before: dict[tuple[str, str], int], data: st.DataObject, size: int
) -> None:
    kept = data.draw(st.sets(st.sampled_from(sorted(before)))) if before else set()
    part = {place: before[place] for place in kept}
    assert not list(compare(recorded(before, size), seen(part), partial=True))
