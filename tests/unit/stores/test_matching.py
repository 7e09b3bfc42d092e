"""Rows held against the store in bulk: the library's answer is Python's, whatever was changed."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from dualtrack.engine.native import comparing, library
from dualtrack.engine.rows import Fingerprint, Generation, Row, RowOrigin, RowState
from dualtrack.engine.stores import envelope, keys
from dualtrack.engine.stores.matching import Checks, match, match_in_python
from dualtrack.engine.stores.protocol import SealedRows

DRIVE = b"6b6b8a3c-0000-4000-8000-000000000001"
FLOOR = Generation(2, 7)
TRUSTED = Generation(2, 8)

Asked = tuple[bytes, SealedRows, list[bytes], list[bytes], bytes]

needs_library = pytest.mark.skipif(library.library() is None, reason="built without a C compiler")


@dataclass
class Both:
    """What a file gives now, and what the store holds: the same but for generation and inode."""

    fresh: SealedRows = field(default_factory=SealedRows)
    stored: dict[bytes, bytes] = field(default_factory=dict)
    entries: dict[bytes, bytes] = field(default_factory=dict)

    def put(self, key: str, data: bytes, generation: Generation = TRUSTED) -> bytes:
        full = keys.full_key("bucket", key)
        summary = b"summary of " + full
        check = envelope.summary_check(DRIVE, full, summary)
        values = [
            envelope.pack(DRIVE, full, _row(key, data, when, inode), 1, check)
            for when, inode in ((Generation(9, 9), 5), (generation, 6))
        ]
        self.fresh.fulls.append(full)
        self.fresh.values.append(values[0])
        self.fresh.entries.append(envelope.pack_index(summary, check))
        self.fresh.versions.append(1)
        self.stored[full], self.entries[full] = values[1], self.fresh.entries[-1]
        return full

    def asked(self) -> Asked:
        """What `match` is asked."""
        rows, entries = (
            [kept.get(full, b"") for full in self.fresh.fulls] for kept in (self.stored, self.entries)
        )
        return DRIVE, self.fresh, rows, entries, FLOOR.pack()

    def others(self) -> list[int]:
        """Where the two sides do not match; both ways must say the same, sums included."""
        asked = self.asked()
        ours = match(*asked)
        assert ours == match_in_python(*asked)
        return ours.others


def _row(key: str, data: bytes, generation: Generation, inode: int) -> Row:
    file = Fingerprint(inode, len(data), 3, 4)
    return Row("bucket", key, generation, RowState.PRESENT, RowOrigin.FS, file, 0o640, 1, 2, 3, data)


@pytest.fixture
def both() -> Both:
    made = Both()
    for number in range(40):
        made.put(f"key-{number:03}", bytes([number]) * (number * 29 % 700))
    made.put("large", bytes(range(256)) * 600)
    return made


def test_equal_rows_match_whatever_their_generation_and_inode(both: Both) -> None:
    found = match_in_python(*both.asked())
    assert (found.others, found.checks.rows, found.checks.entries) == ([], 41, 41)


@needs_library
def test_both_ways_give_the_same_sums(both: Both) -> None:
    long = Both()
    for full, data in ((full, bytes(300)) for full in both.stored):
        long.put(full.decode().partition("\0")[2], data)
    short = Both()
    short.put("short", bytes(150))
    assert long.others() == short.others() == []
    assert match(*short.asked()).digest == match_in_python(*short.asked()).digest != 0


@needs_library
def test_no_changed_byte_of_row_or_entry_passes() -> None:
    whole = Both()
    full = whole.put("object", bytes(250))
    whole.put("beside", bytes(400))
    value, entry = whole.stored[full], whole.entries[full]
    for at in range(len(value)):
        whole.stored[full] = value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]
        assert whole.others() == [0], f"byte {at} of the row"
    whole.stored[full] = value
    for at in range(len(entry)):
        whole.entries[full] = entry[:at] + bytes([entry[at] ^ 1]) + entry[at + 1 :]
        assert whole.others() == [0], f"byte {at} of the entry"


@needs_library
@pytest.mark.parametrize("size", [0, 1, 5, 50, 101, 102, 103, 351])
def test_what_is_cut_off_or_not_there_does_not_match(size: int) -> None:
    whole = Both()
    first = whole.put("a", bytes(250))
    last = whole.put("b", bytes(250))
    whole.stored[first] = whole.stored[first][:size]
    del whole.entries[last]
    assert whole.others() == [0, 1]


@needs_library
def test_a_row_below_the_trust_floor_and_one_of_another_key_do_not_match() -> None:
    whole = Both()
    whole.put("at-the-floor", bytes(300), FLOOR)
    whole.put("below-it", bytes(300), Generation(2, 6))
    whole.put("other-term", bytes(300), Generation(1, 99))
    one, other = whole.put("one", bytes(300)), whole.put("two", bytes(300))
    whole.stored[one], whole.stored[other] = whole.stored[other], whole.stored[one]
    assert whole.others() == [1, 2, 3, 4]


@needs_library
def test_lists_of_different_lengths_are_refused() -> None:
    found = library.library()
    assert found is not None
    with pytest.raises(ValueError, match="different lengths"):
        comparing.compare(found, DRIVE, FLOOR.pack(), ([b"a"], [], [], [], []))


def test_checks_of_many_are_those_of_each(both: Both) -> None:
    many, each = Checks(), Checks()
    values, entries = list(both.stored.values()), [*both.entries.values(), b"short", b""]
    many.add_rows(values)
    many.add_entries(entries)
    for value in values:
        each.add(value, None)
    for entry in entries:
        each.add(None, entry)
    assert many == each
