"""Freshly sealed files held against the store, thousands at a time; and the sums that show that none is left
over.

A row matches if it says the same of the object and its file as the file does now, is of a trusted generation,
is sealed well, and its index entry is the one that the file gives. Whatever does not match is only told by
number: whoever asked looks at it in full.

Where rows are not met in the order of the store (`coverage.py`), sums tell whether any is left over. Every
row and every index entry carries a check of its own (128 and 64 bits over drive, key and content). Two sets
of rows with the same number and the same sum of checks are the same set; so the checks of what was met,
summed, against those of all that lies in the store, say whether the store holds anything that was not met.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from dualtrack.engine.digests import full_hash
from dualtrack.engine.native import comparing, library
from dualtrack.engine.stores import envelope
from dualtrack.engine.stores.coverage import Stretch
from dualtrack.engine.stores.protocol import Place, SealedRows


@dataclass(slots=True)
class Checks:
    """Of present rows and index entries: how many, and the sums of their checks."""

    rows: int = 0
    row_sum: int = 0
    entries: int = 0
    entry_sum: int = 0

    def add(self, value: bytes | None, entry: bytes | None) -> None:
        if value is not None:
            self.rows += 1
            self.row_sum += int.from_bytes(envelope.seal_of(value), "big")
        if entry is not None:
            self.entries += 1
            self.entry_sum += int.from_bytes(envelope.check_of(entry), "big")

    def add_rows(self, values: Sequence[bytes]) -> None:
        """The same of many rows, each at least as long as an envelope."""
        words = struct.unpack(f">{2 * len(values)}Q", b"".join(map(envelope.seal_of, values)))
        self.rows += len(values)
        self.row_sum += (sum(words[::2]) << 64) + sum(words[1::2])

    def add_entries(self, entries: Sequence[bytes]) -> None:
        """The same of many index entries."""
        checks = b"".join(map(envelope.check_of, entries))
        if len(checks) != 8 * len(entries):  # damaged ones among them
            for entry in entries:
                self.add(None, entry)
            return
        self.entries += len(entries)
        self.entry_sum += sum(struct.unpack(f">{len(entries)}Q", checks))

    def include(self, other: Checks) -> None:
        self.rows += other.rows
        self.row_sum += other.row_sum
        self.entries += other.entries
        self.entry_sum += other.entry_sum


@dataclass(slots=True)
class Matched:
    """`others`: numbers of the rows that do not match. `digest`: sum of the row hashes of those that do.
    `rows` and `entries`: the stretches in which all that is there of both lies; None where it was not read in
    order.
    """

    others: list[int] = field(default_factory=list)
    checks: Checks = field(default_factory=Checks)
    digest: int = 0
    rows: list[Stretch] | None = None
    entries: list[Stretch] | None = None


@dataclass(slots=True)
class Held:
    """All that a store holds, by its checks. `tombstones` are those that may be trusted; `others` rows that
    are not present and have to be looked at: they point to their files, or may not be trusted.
    """

    checks: Checks = field(default_factory=Checks)
    tombstones: int = 0
    others: list[Place] = field(default_factory=list)


def match(
    drive: bytes,
    fresh: SealedRows,
    stored: Sequence[bytes],
    entries: Sequence[bytes],
    floor: bytes,
) -> Matched:
    """`stored` and `entries` are what lies under the keys of `fresh`, empty where nothing does; `floor` is
    the packed trust floor.
    """
    found = library.library()
    if found is None:
        return match_in_python(drive, fresh, stored, entries, floor)
    lists = fresh.fulls, fresh.values, fresh.entries, stored, entries
    compared = comparing.compare(found, drive, floor, lists)
    states = compared.states
    others = [number for number, state in enumerate(states) if not state] if 0 in states else []
    digest = compared.digests
    if comparing.UNHASHED in states:
        for full, row, state in zip(fresh.fulls, stored, states, strict=True):
            if state == comparing.UNHASHED:
                digest += full_hash(full, envelope.payload_of(row))
    count = len(states) - len(others)
    return Matched(others, Checks(count, compared.seals, count, compared.checks), digest)


def match_in_python(
    drive: bytes,
    fresh: SealedRows,
    stored: Sequence[bytes],
    entries: Sequence[bytes],
    floor: bytes,
) -> Matched:
    """The same without the library, and the reference for it."""
    found = Matched()
    checks, digest = found.checks, 0
    lists = fresh.fulls, fresh.values, fresh.entries, stored, entries
    for number, (full, value, entry, row, kept) in enumerate(zip(*lists, strict=True)):
        if (
            row
            and kept == entry
            and envelope.says_the_same(row, value)
            and envelope.glance(full, row)[2] >= floor
            and envelope.sealed_well(drive, full, row)
        ):
            checks.add(row, entry)
            digest += full_hash(full, envelope.payload_of(row))
        else:
            found.others.append(number)
    found.digest = digest
    return found
