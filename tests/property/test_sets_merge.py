"""A set of drives through any history of writes, with drives away: what was acknowledged is what it holds.

The model knows for each version id what may be read: the last acknowledged write, or any later one that was
cut off before its quorum. Nothing else, nothing older, and of undecided versions nothing is claimed.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from dualtrack.engine.formats.bodies import NULL_ID, DeleteBody, ObjectBody
from dualtrack.engine.formats.versions import Kind, Version, build_version
from dualtrack.engine.formats.xlmeta import XlMeta
from dualtrack.engine.sets.merge import Copy, Deviation, Merged, merge

IDS = [NULL_ID, *(uuid.UUID(int=number).bytes for number in (1, 2, 3))]
SIZES = {4: 2, 5: 3, 6: 4, 8: 4}


@dataclass
class Set:
    """`drives` hold versions by id; `allowed` what may be read of an id (None: nothing)."""

    size: int
    data: int
    clock: count[int] = field(default_factory=lambda: count(1))
    drives: list[dict[bytes, Version]] = field(init=False)
    allowed: dict[bytes, list[int | None]] = field(default_factory=lambda: {each: [None] for each in IDS})

    def __post_init__(self) -> None:
        self.drives = [{} for _ in range(self.size)]

    def write_quorum(self, marker: bool) -> int:
        if marker:
            return self.size // 2 + 1
        return self.data + (self.data * 2 == self.size)

    def write(self, version_id: bytes, online: set[int], *, kind: str) -> None:
        """Reaches the drives in `online`; acknowledged if they are enough."""
        now = next(self.clock)
        for place in online:
            if kind == "remove":
                self.drives[place].pop(version_id, None)
            else:
                self.drives[place][version_id] = self.version(version_id, now, place, kind == "marker")
        outcome = None if kind == "remove" else now
        if len(online) >= self.write_quorum(kind == "marker"):
            self.allowed[version_id] = [outcome]
        elif online:
            self.allowed[version_id].append(outcome)

    def version(self, version_id: bytes, now: int, place: int, marker: bool) -> Version:
        if marker:
            return build_version(DeleteBody(version_id, now, {}), Kind.DELETE_MARKER, 0)
        body = ObjectBody(
            version_id, version_id, 1, self.data, self.size - self.data, 1 << 20, place + 1, (1,), 1,
            (1,), (), (7,), (7,), (), 7, now, {}, {"etag": str(now)},
        )  # fmt: skip
        return build_version(body, Kind.OBJECT, 2)

    def merged(self, seen: set[int]) -> Merged:
        copies = []
        for place in sorted(seen):
            versions = sorted(self.drives[place].values(), key=lambda each: each.sort_key, reverse=True)
            copies.append(Copy(place, XlMeta(tuple(versions)) if versions else None))
        return merge(copies, self.size, bodies=True)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Set, set[int]]:
    size = draw(st.sampled_from(sorted(SIZES)))
    drives = Set(size, SIZES[size])
    everyone = st.sets(st.integers(0, size - 1))
    for _ in range(draw(st.integers(1, 12))):
        version_id, kind = draw(st.sampled_from(IDS)), draw(st.sampled_from(["put", "marker", "remove"]))
        drives.write(version_id, draw(everyone), kind=kind)
    return drives, draw(everyone)


def claimed(merged: Merged) -> dict[bytes, int]:
    return {held.version.version_id: held.version.mod_time_ns for held in merged.versions}


def name_of(version_id: bytes) -> str:
    return "null" if version_id == NULL_ID else str(uuid.UUID(bytes=version_id))


@given(histories())
def test_the_whole_set_holds_what_was_acknowledged(history: tuple[Set, set[int]]) -> None:
    drives, _ = history
    merged = drives.merged(set(range(drives.size)))
    found = claimed(merged)
    for version_id, allowed in drives.allowed.items():
        if name_of(version_id) in merged.undecided:
            assert len(allowed) > 1, "only a write that was cut off leaves a version without a quorum"
        else:
            assert found.get(version_id) in allowed
    times = [held.version.mod_time_ns for held in merged.versions]
    assert times == sorted(times, reverse=True)


@given(histories())
def test_a_part_of_the_set_claims_nothing_that_the_rest_could_refute(history: tuple[Set, set[int]]) -> None:
    drives, seen = history
    if 2 * (drives.size - len(seen)) >= drives.size:
        return  # the rest could hold objects between them; `Deployment.blind` says so
    merged = drives.merged(seen)
    found = claimed(merged)
    for version_id, allowed in drives.allowed.items():
        if name_of(version_id) not in merged.undecided:
            whole = claimed(drives.merged(set(range(drives.size)))).get(version_id)
            assert found.get(version_id) in (*allowed, whole)


@given(histories())
def test_each_deviation_is_true(history: tuple[Set, set[int]]) -> None:
    """And a set without deviations is one whose drives are all the same."""
    drives, _ = history
    merged = drives.merged(set(range(drives.size)))
    found = claimed(merged)
    for each in merged.deviants:
        version_id = NULL_ID if each.version_key == "null" else uuid.UUID(each.version_key).bytes
        mine = drives.drives[each.place].get(version_id)
        match each.deviation:
            case Deviation.MISSING:
                assert mine is None
                assert version_id in found
            case Deviation.STALE:
                assert mine is not None
                assert mine.mod_time_ns < found[version_id]
            case Deviation.EXTRA:
                assert mine is not None
                assert mine.mod_time_ns > found.get(version_id, -1)
            case other:
                raise AssertionError(other)
    if not merged.deviants:
        for drive in drives.drives:
            assert {version_id: each.mod_time_ns for version_id, each in drive.items()} == found
