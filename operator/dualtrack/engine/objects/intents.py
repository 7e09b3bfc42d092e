"""The durable intent of a strong write: what the file of an object is about to become.

It stands in the journal beside the key's mark, so that it outlives the process and needs no store. From the
moment it is durable the write has happened: whoever finds it later, the next server or the drain, carries it
out. It says which file it replaces, so that an intent that was carried out already, or overtaken by somebody
who did not know of it, does nothing.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from dualtrack.engine.journal import Journal, Token
from dualtrack.engine.objects.errors import InvalidKey, NoSuchBucket, ObjectError
from dualtrack.engine.objects.fs_track import FsTrack
from dualtrack.engine.places import file_exists
from dualtrack.engine.rows import Fingerprint

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Intent:
    """`staged` is the name of the durable file that takes the object's place; empty for a deletion. `before`
    is the file that it replaces, None where there is none."""

    staged: str
    before: Fingerprint | None

    def pack(self) -> bytes:
        before = self.before.pack().hex() if self.before is not None else ""
        return json.dumps([self.staged, before], separators=(",", ":")).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Intent:
        staged, before = json.loads(data)
        return cls(staged, Fingerprint.unpack(bytes.fromhex(before)) if before else None)


class Pending(Protocol):
    """Where intents stand: the store's owner."""

    def intents(self, bucket: str, key: str) -> list[Token]: ...

    def carried_out(self, token: Token) -> None: ...


def file_there(fs: FsTrack, bucket: str, key: str) -> Fingerprint | None:
    status = fs.status(bucket, key)
    return None if status is None else Fingerprint.of(status)


def carry_out(fs: FsTrack, token: Token) -> bool:
    """Bring the file to what the intent says; durable on return. False where there was nothing to do, because
    it was done before or somebody has changed the file since.

    The caller holds the key's stripe, or is alone. `ObjectError` if the drive does not let us: the intent
    stands. A drive that has no place for the file (`InvalidKey`, `NoSuchBucket`) never will have: the write
    is given up.
    """
    intent, (bucket, key) = Intent.unpack(token.note), token.place
    staged = fs.trash.path(intent.staged) if intent.staged else ""
    is_staged = staged and fs.guarded(lambda: file_exists(os.fsencode(staged)), bucket, key)
    if file_there(fs, bucket, key) != intent.before or (staged and not is_staged):
        if staged:
            fs.discard_staged(staged)
        # What an earlier attempt renamed may not be durable yet.
        fs.sync(bucket, key)
        return False
    if not staged:
        fs.remove(bucket, key)
        return True
    try:
        fs.commit_meta(bucket, key, staged)
    except (InvalidKey, NoSuchBucket):
        fs.discard_staged(staged)
        raise
    return True


def settle(fs: FsTrack, pending: Pending, bucket: str, key: str) -> None:
    """Carry out what earlier writes of the key left; it stays dirty. `ObjectError` as above."""
    for token in pending.intents(bucket, key):
        try:
            carry_out(fs, token)
        except (InvalidKey, NoSuchBucket) as error:
            _log.warning("intent given up bucket=%s key=%r error=%s", bucket, key, error)
        pending.carried_out(token)


def recover(drive: str, journal: Journal) -> None:
    """Carry out every intent of an earlier process; the caller is alone on the drive. Where the drive does
    not let us, the intent stands and the key stays dirty."""
    fs = FsTrack(drive)
    for bucket, key in journal.places():
        try:
            settle(fs, _Recovered(journal), bucket, key)
        except (ObjectError, OSError) as error:
            _log.error("intent not carried out bucket=%s key=%r error=%s", bucket, key, error)


def staged_names(tokens: Iterable[Token]) -> frozenset[str]:
    """The staged files that these intents still need."""
    return frozenset(Intent.unpack(token.note).staged for token in tokens)


@dataclass(frozen=True, slots=True)
class _Recovered:
    journal: Journal

    def intents(self, bucket: str, key: str) -> list[Token]:
        return [token for token in self.journal.tokens((bucket, key)) if token.note]

    def carried_out(self, token: Token) -> None:
        self.journal.forget_note(token)
