"""One side, a drive or a store, held against a report's ranges: pure, in one pass, a range at a time.

A range reaches from the key behind the one before to its own last key; the last of a bucket to the bucket's
end, so every object of the side falls into exactly one. Where its digest is not the recorded one, the leaves'
prefixes tell which keys changed, which came and between which keys one is gone. A report without prefixes
still names the range.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dualtrack.engine.proof.document import Range
from dualtrack.engine.proof.leaves import PREFIX, range_digest
from dualtrack.engine.rows import order
from dualtrack.engine.stores.protocol import Place


@dataclass(frozen=True, slots=True)
class Seen:
    """An object of the side. `leaf` is None where it is gone (a tombstone); `newer`: written after the
    report.
    """

    place: Place
    leaf: bytes | None
    newer: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """`what`: `changed`, `added`, `missing` or `range`. `number` is the range's in the report, -1 for a
    bucket that it does not have. Of a missing object only the neighbours are known: it lies behind `key` and
    before `before` (None: the bucket's end), unless it is the range's first or last.
    """

    number: int
    bucket: str
    what: str
    key: str | None = None
    before: str | None = None
    newer: bool = False


def compare(ranges: Sequence[Range], side: Iterable[Seen], *, partial: bool = False) -> Iterator[Finding]:
    """What of the side is not as recorded. `partial`: an object may be absent, its file held or gone."""
    for number, seen in _assigned(ranges, side):
        if number < 0:
            for each in seen:
                if each.leaf is not None:
                    yield Finding(-1, each.place[0], "added", each.place[1], newer=each.newer)
            continue
        recorded = ranges[number]
        present = [each for each in seen if each.leaf is not None]
        if range_digest(each.leaf for each in present if each.leaf) == recorded.digest:
            continue
        found = list(_differing(number, recorded, seen, partial=partial)) if recorded.prefixes else []
        yield from found
        # Leaves are cut to a few bytes, and whoever makes a report may make them up: the digest decides.
        all_here = len(present) >= recorded.objects if recorded.prefixes else bool(present)
        if not found and (all_here or not partial):
            newer = any(each.newer for each in seen)
            yield Finding(number, recorded.bucket, "range", newer=newer)


def _assigned(ranges: Sequence[Range], side: Iterable[Seen]) -> Iterator[tuple[int, list[Seen]]]:
    """Each range with what the side has of it, in order, those of which it has nothing included."""
    number, taken = 0, list[Seen]()
    for seen in side:
        place = order(*seen.place)
        while number < len(ranges) and _ends_before(ranges, number, place):
            yield number, taken
            number, taken = number + 1, []
        if number < len(ranges) and ranges[number].bucket == seen.place[0]:
            taken.append(seen)
        else:
            yield -1, [seen]
    for rest in range(number, len(ranges)):
        yield rest, taken
        taken = []


def _ends_before(ranges: Sequence[Range], number: int, place: tuple[bytes, bytes]) -> bool:
    mine = ranges[number]
    if order(mine.bucket, "")[0] != place[0]:
        return order(mine.bucket, "")[0] < place[0]
    more = number + 1 < len(ranges) and ranges[number + 1].bucket == mine.bucket
    return more and order(mine.bucket, mine.last) < place


def _differing(number: int, recorded: Range, seen: list[Seen], *, partial: bool) -> Iterator[Finding]:
    """Both in key order: what stands between two objects that are as recorded belongs together."""
    at = {prefix: place for place, prefix in enumerate(recorded.prefixes)}
    strangers: list[Seen] = []
    last, before = -1, ""
    for each in seen:
        place = at.get(each.leaf[:PREFIX]) if each.leaf is not None else None
        if place is None or place <= last:
            strangers.append(each)
            continue
        yield from _gap(number, recorded, (last, place), strangers, (before, each.place[1]), partial)
        strangers, last, before = [], place, each.place[1]
    yield from _gap(number, recorded, (last, recorded.objects), strangers, (before, None), partial)


def _gap(
    number: int,
    recorded: Range,
    places: tuple[int, int],
    strangers: list[Seen],
    keys: tuple[str, str | None],
    partial: bool,
) -> Iterator[Finding]:
    """Recorded objects from one place to the next that were not met, and what was met in their stead."""
    lost = list(range(places[0] + 1, places[1]))
    gone = Counter(each.newer for each in strangers if each.leaf is None)
    for each in (each for each in strangers if each.leaf is not None):
        # A stranger takes the place of one that is missing, as long as there is one.
        what = "changed" if lost else "added"
        del lost[:1]
        yield Finding(number, recorded.bucket, what, each.place[1], newer=each.newer)
    if partial:
        return
    for place in lost:
        known = {0: recorded.first, recorded.objects - 1: recorded.last}.get(place)
        newer = gone[True] > 0
        gone[True] -= 1
        if known is not None:
            yield Finding(number, recorded.bucket, "missing", known, known, newer=newer)
        else:
            yield Finding(number, recorded.bucket, "missing", *keys, newer=newer)
