"""Reading a log: from a store's position to its end, every record checked, and what to make of a bad one.

A log is a chain of segments, numbered. A segment counts up to the record before the next one's first: what
follows there was never committed (an append that failed, a tail that a power cut had torn), and whoever began
the next segment said so by its head. So nothing is ever cut off a file, and the last segment alone may end in
a torn record. A bad record there is torn if nothing says that it was durable, that is unless a later sound
head's `flushed` reaches it; that, a gap, and a chain that does not hold are `StoreCorruptError`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from dualtrack.engine.rowlog import records
from dualtrack.engine.rowlog.records import HEAD_SIZE, Head, Header, Position
from dualtrack.errors import RefusedError, StoreCorruptError

_NAME = re.compile(r"[0-9a-f]{32}-[0-9]{8}\.rows")
_LONGEST_HEADER = 4096


class LogGapError(RefusedError):
    """Store and log are not of one line: the log lacks what the store has, or has something else there."""


@dataclass(frozen=True, slots=True)
class Segment:
    path: str
    header: Header
    #: Where its records begin.
    start: int
    #: When it was begun.
    time_ns: int


@dataclass(frozen=True, slots=True)
class Record:
    seq: int
    chain: bytes
    time_ns: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """What lies behind the last sound record: bytes that were never promised."""

    path: str
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.path}: {self.size} bytes from {self.offset} on (a record that was not whole)"


def file_name(log: str, number: int) -> str:
    return f"{log}-{number:08d}.rows"


def segments(folder: str) -> list[Segment]:
    """Every segment there, by log and number."""
    names = sorted(name for name in os.listdir(folder) if _NAME.fullmatch(name))
    return [_segment(os.path.join(folder, name)) for name in names]


def later_logs(folder: str, log: str) -> list[str]:
    """Logs that were begun beside this one after its first segment that is left: this one ended where nobody
    may have ended it. Those before it are removed with its first snapshot.
    """
    found = segments(folder)
    since = min(each.time_ns for each in found if each.header.log == log)
    return sorted({each.header.log for each in found if each.header.log != log and each.time_ns > since})


def _segment(path: str) -> Segment:
    with open(path, "rb") as file:
        head = records.unpack_head(data := file.read(HEAD_SIZE))
        sound = head is not None and head.magic == records.HEADER and head.length <= _LONGEST_HEADER
        if head is None or not sound:
            raise StoreCorruptError(f"{path} does not begin like a row log's segment; {_REMEDY}")
        body, chain = records.split_rest(file.read(head.rest))
    if records.chain_of(data, body, records.START) != chain:
        raise StoreCorruptError(f"the head of {path} does not match its checksum; {_REMEDY}")
    return Segment(path, records.unpack_header(path, body), HEAD_SIZE + head.rest, head.time_ns)


class Reading:
    """The records after `at`, in order. What it found of the end is known once it is exhausted."""

    def __init__(self, folder: str, at: Position) -> None:
        """`LogGapError` where the log has not got what follows `at`."""
        self._at = at
        mine = [each for each in segments(folder) if each.header.log == at.log]
        if not mine:
            raise LogGapError(f"{folder} has no log {at.log}")
        if at.seq < mine[0].header.first - 1:
            raise LogGapError(
                f"the log in {folder} begins with record {mine[0].header.first}, the store ends with {at.seq}"
            )
        later = [number for number, each in enumerate(mine) if each.header.first - 1 <= at.seq]
        self.segments = mine[later[-1] :]
        self.seq = self.segments[0].header.first - 1
        self.chain = bytes.fromhex(self.segments[0].header.previous)
        self.time_ns = 0
        self.end = self.segments[0].start
        self.cut: Cut | None = None

    def __iter__(self) -> Iterator[Record]:
        self._compare()
        for number, segment in enumerate(self.segments):
            following = self.segments[number + 1] if number + 1 < len(self.segments) else None
            yield from self._of(segment, following)
            if following is not None and (
                following.header.first != self.seq + 1 or following.header.previous != self.chain.hex()
            ):
                raise StoreCorruptError(
                    f"the row log has a gap: {segment.path} ends with record {self.seq}, and "
                    f"{following.path} does not follow it; {_REMEDY}"
                )
        if self.seq < self._at.seq:
            raise LogGapError(f"the log ends with record {self.seq}, the store with {self._at.seq}")
        if self.seq < self._at.until:
            raise LogGapError(
                f"the log ends with record {self.seq}, before the snapshot did ({self._at.until})"
            )

    def _of(self, segment: Segment, following: Segment | None) -> Iterator[Record]:
        last = following.header.first - 1 if following is not None else None
        size = os.path.getsize(segment.path)
        with open(segment.path, "rb") as file:
            file.seek(segment.start)
            self.end = segment.start
            while self.end < size and (last is None or self.seq < last):
                record = self._next(file, size)
                if record is None:
                    self._bad(segment, file, size, final=following is None)
                    return
                self.seq, self.chain, self.time_ns = record.seq, record.chain, record.time_ns
                self.end = file.tell()
                self._compare()
                if record.seq > self._at.seq:
                    yield record

    def _next(self, file: BinaryIO, size: int) -> Record | None:
        data = file.read(HEAD_SIZE)
        head = records.unpack_head(data)
        if head is None or head.magic != records.RECORD or head.seq != self.seq + 1:
            return None
        if file.tell() + head.rest > size:
            return None
        body, chain = records.split_rest(file.read(head.rest))
        if records.chain_of(data, body, self.chain) != chain:
            return None
        return Record(head.seq, chain, head.time_ns, body)

    def _bad(self, segment: Segment, file: BinaryIO, size: int, *, final: bool) -> None:
        file.seek(self.end)
        later = _later_head(file.read(), self.seq + 1)
        if not final or (later is not None and later.flushed > self.seq):
            raise StoreCorruptError(
                f"record {self.seq + 1} of the row log, in {segment.path} at {self.end}, is damaged, and "
                f"others follow it; {_REMEDY}"
            )
        self.cut = Cut(segment.path, self.end, size - self.end)

    def _compare(self) -> None:
        if self.seq == self._at.seq and self.chain.hex() != self._at.chain:
            raise LogGapError(f"record {self.seq} of the log is not the one that the store has")


def _later_head(data: bytes, seq: int) -> Head | None:
    """The first sound head of a record after `seq`."""
    at = 0
    while (at := data.find(records.RECORD, at)) >= 0:
        head = records.unpack_head(data[at : at + HEAD_SIZE])
        if head is not None and head.seq > seq:
            return head
        at += 1
    return None


_REMEDY = (
    "if the store itself is sound, end this log (dualtrack engine row-log stop), start another and take a "
    "snapshot; if not, restore-store from the snapshot alone (--without-log) loses what was written since"
)
