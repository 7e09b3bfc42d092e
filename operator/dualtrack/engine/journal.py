"""The dirty journal: which objects' files changed and are not in the store yet, durably, outside the store.

`mark` is durable (fdatasync, shared by whoever marks at the same time) before the caller renames the object's
file, so that after any crash each file that may differ from its row is on record. `clear` comes after the row
is committed and is not flushed: a lost clear costs one more read, a lost mark would serve an old row.

The file is a header and fixed slots of 2 KiB, allocated ahead, so that a mark changes no metadata of its
file. A slot is `crc32 | state | generation | lengths | bucket | key`, and may have a note behind it, `crc32 |
length | note`, whose CRC covers the mark as well; a torn note leaves a mark without one. A free slot begins
with zeros. One that does neither is torn, so that its mark never returned, or damaged, so that a mark is
lost: nobody can tell, and the epoch is broken. So it is where slots are missing at the end.

Byte 8 of the header says that the epoch is broken; `break_epoch` sets it when a mark cannot be written. Bytes
16 to 23 say which drive's journal it is. Bytes 24 and 25 are only ever locked: the first by whoever owns the
journal, the second by servers that write files without marks, while which nobody mends the epoch.
"""

from __future__ import annotations

import errno
import logging
import os
import struct
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace

import xxhash

from dualtrack.engine import files
from dualtrack.engine.places import file_exists
from dualtrack.engine.rows import Generation
from dualtrack.engine.stores.protocol import Place
from dualtrack.errors import StoreCorruptError, StoreLockedError, StoreVersionError

_MAGIC = b"DTJRNL\x00\x01"
_HEADER_SIZE = 4096
SLOT_SIZE = 2048
BLOCK_SLOTS = 1024
_SLOT = struct.Struct(">IB12sHH")
_NOTE = struct.Struct(">IH")
_DIRTY = 1
_CLEAN = bytes(_SLOT.size)
_BROKEN_OFFSET = len(_MAGIC)
_BROKEN_FILE = "epoch.broken"
_DRIVE_OFFSET = 16
_DRIVE_SIZE = 8
_OWNED_OFFSET = 24
_UNMARKED_OFFSET = 25
_CLOSED = -1
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Token:
    """One mark. Two marks of a key are two tokens, and the key stays dirty until both are cleared.

    `note` is what the marker wants to find after a crash; `since` is when this process saw the mark first, on
    the monotonic clock.
    """

    slot: int
    bucket: str
    key: str
    note: bytes = field(default=b"", compare=False)
    since: float = field(default=0.0, compare=False)

    @property
    def place(self) -> Place:
        return self.bucket, self.key


class Journal:
    """Thread-safe. Only the store's owner opens it."""

    def __init__(self, directory: str, descriptor: int, slots: int) -> None:
        self._directory = directory
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._sync_lock = threading.Lock()
        self._written = 0
        self._synced = 0
        self._lost = 0
        self._free = list(range(slots - 1, -1, -1))
        self._slots = slots
        self._live: dict[Place, list[Token]] = {}
        #: Whether this is a new journal: where there should have been one, its marks are lost.
        self.made = False

    @classmethod
    def open(cls, directory: str, drive_id: str = "") -> Journal:
        """Open or create `<directory>/journal` and load every dirty key. `StoreVersionError` where it is
        another drive's than `drive_id`, if that is given; `StoreLockedError` where somebody lives who has it.
        """
        files.ensure_directory(directory)
        path = os.path.join(directory, "journal")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        try:
            files.adopt(descriptor, directory)
            _own(descriptor, path)
            made = _prepare(descriptor, path)
            _refuse_foreign(descriptor, path, drive_id)
            files.sync_directory(directory)
            slots, rest = divmod(os.fstat(descriptor).st_size - _HEADER_SIZE, SLOT_SIZE)
            journal = cls(directory, descriptor, slots)
            journal.made = made
            damaged = journal._load()
            if damaged or rest or slots % BLOCK_SLOTS:
                _log.error(
                    "journal=%s damaged_slots=%d slots=%d: marks may be lost, the epoch is broken",
                    *(path, damaged, slots),
                )
                journal.break_epoch()
        except BaseException:
            os.close(descriptor)
            raise
        return journal

    def _load(self) -> int:
        """Take in every mark; returns how many slots are neither a mark nor free."""
        used: set[int] = set()
        damaged = 0
        for slot in range(self._slots):
            data = os.pread(self._descriptor, SLOT_SIZE, _offset(slot))
            found = _decode(data)
            if found is not None:
                used.add(slot)
                place, note = found
                self._live.setdefault(place, []).append(Token(slot, *place, note, time.monotonic()))
            elif not data.startswith(_CLEAN):
                damaged += 1
        self._free = [slot for slot in self._free if slot not in used]
        return damaged

    def mark(self, bucket: str, key: str, generation: Generation, note: bytes = b"") -> Token:
        """Durably on record when this returns. Raises OSError if it cannot be, with nothing recorded."""
        record = _encode(bucket, key, generation, note)
        with self._lock:
            if not self._free:
                self._grow()
            token = Token(self._free.pop(), bucket, key, note, time.monotonic())
            self._live.setdefault(token.place, []).append(token)
            try:
                os.pwrite(self._descriptor, record, _offset(token.slot))
            except OSError:
                self._forget(token)
                raise
            self._written += 1
            mine = self._written
        self._sync(mine)
        return token

    def _sync(self, mine: int) -> None:
        """Whoever comes first flushes for all who have written by then.

        A failed flush keeps its keys dirty in memory: what lies on the disk is not known. It failed for all
        who had written by then: Linux tells of a lost page once, and the next flush would succeed.
        """
        with self._sync_lock:
            if self._lost >= mine:
                raise OSError(errno.EIO, "the flush that this mark was to be part of failed")
            if self._synced >= mine:
                return
            with self._lock:
                upto = self._written
            try:
                os.fdatasync(self._descriptor)
            except OSError:
                with self._lock:
                    self._lost = self._written
                raise
            self._synced = upto

    def clear(self, tokens: Iterable[Token]) -> None:
        """Forget marks whose rows are committed (or whose files were never changed)."""
        with self._lock:
            for token in tokens:
                if token in self._live.get(token.place, ()):
                    with suppress(OSError):
                        os.pwrite(self._descriptor, _CLEAN, _offset(token.slot))
                    self._forget(token)

    def forget_note(self, token: Token) -> None:
        """What the note asked for is done; the key stays dirty. Not flushed: the second time is harmless."""
        with self._lock:
            tokens = self._live.get(token.place, [])
            if token in tokens:
                tokens[tokens.index(token)] = replace(token, note=b"")

    def _forget(self, token: Token) -> None:
        """Take a token out of memory and hand its slot back. The caller holds the lock."""
        tokens = self._live[token.place]
        tokens.remove(token)
        if not tokens:
            del self._live[token.place]
        self._free.append(token.slot)

    def _grow(self) -> None:
        size = _HEADER_SIZE + (self._slots + BLOCK_SLOTS) * SLOT_SIZE
        os.posix_fallocate(self._descriptor, 0, size)
        os.fsync(self._descriptor)
        self._free.extend(range(self._slots + BLOCK_SLOTS - 1, self._slots - 1, -1))
        self._slots += BLOCK_SLOTS

    def __contains__(self, place: object) -> bool:
        return place in self._live

    def __len__(self) -> int:
        """How many keys are dirty."""
        return len(self._live)

    def tokens(self, place: Place) -> tuple[Token, ...]:
        with self._lock:
            return tuple(self._live.get(place, ()))

    def places(self) -> Iterator[Place]:
        with self._lock:
            return iter(list(self._live))

    def places_since(self, moment: float) -> list[Place]:
        """The keys that are dirty since `moment` (of the monotonic clock) or longer."""
        with self._lock:
            return [place for place, tokens in self._live.items() if tokens[0].since <= moment]

    @property
    def depth(self) -> int:
        """How many keys are dirty."""
        return len(self._live)

    @property
    def broken(self) -> bool:
        flag = os.pread(self._descriptor, 1, _BROKEN_OFFSET)
        return flag != b"\0" or file_exists(os.fsencode(os.path.join(self._directory, _BROKEN_FILE)))

    def break_epoch(self) -> None:
        """Record durably that rows may be older than files. Raises OSError only if no way of recording
        works.
        """
        _break(self._descriptor, self._directory)

    def mend_epoch(self) -> None:
        """Take the record back, once the trust floor that answers it is durable. It stays while somebody
        writes files without marks: they would be later than rows above that floor.
        """
        try:
            files.claim(self._descriptor, _UNMARKED_OFFSET)
        except BlockingIOError:
            _log.error("epoch stays broken journal=%s: a server writes files without marks", self._directory)
            return
        try:
            os.pwrite(self._descriptor, b"\0", _BROKEN_OFFSET)
            os.fdatasync(self._descriptor)
            files.unlink(os.path.join(self._directory, _BROKEN_FILE), missing_ok=True)
            files.sync_directory(self._directory)
        finally:
            files.give_up_claim(self._descriptor, _UNMARKED_OFFSET)

    def close(self) -> None:
        """A mark that comes later fails: its descriptor must not be that of another file by then."""
        with self._sync_lock, self._lock:
            os.close(self._descriptor)
            self._descriptor = _CLOSED


def write_unmarked(directory: str) -> int:
    """Record durably that files change from now on with no marks. Until the descriptor that this returns is
    closed, or its process ends, no owner takes that for mended. OSError if it cannot be recorded.
    """
    path = os.path.join(directory, "journal")
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        files.share_claim(descriptor, _UNMARKED_OFFSET)
        _break(descriptor, directory)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _break(descriptor: int, directory: str) -> None:
    with suppress(OSError):
        os.pwrite(descriptor, b"\xff", _BROKEN_OFFSET)  # no flipped bit makes a zero of it
        os.fdatasync(descriptor)
        return
    files.write_atomic(os.path.join(directory, _BROKEN_FILE), b"broken\n")


def _own(descriptor: int, path: str) -> None:
    try:
        files.claim(descriptor, _OWNED_OFFSET)
    except BlockingIOError as error:
        raise StoreLockedError(
            f"{path} is kept by another process, perhaps with another store: one of the two is not this "
            "drive's; stop one, or speak to it over its socket"
        ) from error


def _offset(slot: int) -> int:
    return _HEADER_SIZE + slot * SLOT_SIZE


def _prepare(descriptor: int, path: str) -> bool:
    """Write a new journal's header, or check an old one's. Whether it is a new one."""
    size = os.fstat(descriptor).st_size
    if size <= _HEADER_SIZE:
        os.posix_fallocate(descriptor, 0, _HEADER_SIZE + BLOCK_SLOTS * SLOT_SIZE)
        os.pwrite(descriptor, _MAGIC, 0)
        os.fsync(descriptor)
        return True
    head = os.pread(descriptor, len(_MAGIC), 0)
    if head == bytes(len(_MAGIC)):
        # A crash between allocating and naming it: no mark can have been made yet.
        os.pwrite(descriptor, _MAGIC, 0)
        os.fsync(descriptor)
        return True
    if head[:-1] == _MAGIC[:-1] and head[-1] > _MAGIC[-1]:
        raise StoreVersionError(
            f"{path} is of version {head[-1]}, this build knows {_MAGIC[-1]}; use a newer one"
        )
    if head != _MAGIC:
        raise StoreCorruptError(
            f"{path} does not begin like a journal; which keys are dirty is not known: move it away, raise "
            "the epoch, and let the sweep read every file again"
        )
    return False


def _refuse_foreign(descriptor: int, path: str, drive_id: str) -> None:
    """Marks of another drive say nothing of this one. A journal that names none gets this drive's name."""
    if not drive_id:
        return
    mine = xxhash.xxh3_64_digest(drive_id.encode())
    found = os.pread(descriptor, _DRIVE_SIZE, _DRIVE_OFFSET)
    if found == bytes(_DRIVE_SIZE):
        os.pwrite(descriptor, mine, _DRIVE_OFFSET)
        os.fsync(descriptor)
    elif found != mine:
        raise StoreVersionError(
            f"{path} is not the journal of drive {drive_id}; find out where it comes from. Without it, which "
            "keys are dirty is not known: move it away, raise the epoch, and let the sweep read every file "
            "again"
        )


def _encode(bucket: str, key: str, generation: Generation, note: bytes) -> bytes:
    names = os.fsencode(bucket), os.fsencode(key)
    body = generation.pack() + struct.pack(">HH", len(names[0]), len(names[1])) + names[0] + names[1]
    if len(body) + 5 + (_NOTE.size + len(note) if note else 0) > SLOT_SIZE:
        raise OSError(f"{bucket}/{key} is too long for a slot of the journal")
    payload = bytes((_DIRTY,)) + body
    record = zlib.crc32(payload).to_bytes(4, "big") + payload
    return record + _NOTE.pack(zlib.crc32(payload + note), len(note)) + note if note else record


def _decode(slot: bytes) -> tuple[Place, bytes] | None:
    """The dirty key of a slot and its note; None if it is free, cleared or torn."""
    if len(slot) < SLOT_SIZE:
        return None
    crc, state, _, bucket_length, key_length = _SLOT.unpack_from(slot)
    end = _SLOT.size + bucket_length + key_length
    if state != _DIRTY or end > SLOT_SIZE or zlib.crc32(slot[4:end]) != crc:
        return None
    middle = _SLOT.size + bucket_length
    place = os.fsdecode(slot[_SLOT.size : middle]), os.fsdecode(slot[middle:end])
    return place, _decode_note(slot, end)


def _decode_note(slot: bytes, end: int) -> bytes:
    """Behind a mark that ends at `end`; empty if there is none, or another mark's."""
    if end + _NOTE.size > SLOT_SIZE:
        return b""
    crc, length = _NOTE.unpack_from(slot, end)
    note = slot[end + _NOTE.size : end + _NOTE.size + length]
    return note if length and zlib.crc32(slot[4:end] + note) == crc else b""
