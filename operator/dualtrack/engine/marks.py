"""Marks of what is dirty: said durably before a file changes, forgotten once its row has followed.

A mark names a key and holds no metadata, so whoever meets one reads the file again. One that carries an
intent is the commit point of a write in `strong`: it is carried out before the key is read, also after a
restart. Where the journal cannot be written the epoch is broken: durably, so that the next owner knows too.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable
from itertools import islice

from dualtrack.engine import trust
from dualtrack.engine.journal import Journal, Token
from dualtrack.engine.rows import Generation, is_system
from dualtrack.engine.stores.protocol import Place
from dualtrack.errors import StoreError

_log = logging.getLogger(__name__)


class Marks:
    """Thread-safe. Without a journal (a store that is looked at without its drive) nothing is dirty, and
    nothing can be marked.
    """

    def __init__(
        self, journal: Journal | None, drive: str | None, next_generation: Callable[[], Generation]
    ) -> None:
        self._journal = journal
        self._drive = drive
        self._next_generation = next_generation
        self._break_recorded = False
        #: Whether rows may be older than files with no mark to say so: no read may come from the store.
        #: So it begins where a server lives that marks nothing, while which the epoch cannot be mended.
        self.broken = journal is not None and journal.broken

    def mark(self, bucket: str, key: str) -> Token | None:
        """Record durably, before the file is renamed, that its row is about to be out of date.

        None where the journal cannot be written: the epoch is broken then, durably, reads no longer come from
        the store, and the write goes on. `StoreError` where the marker has gone to `KvOnly` meanwhile: the
        next server believes rows alone, and must not miss this write. The caller holds the key's stripe from
        here to the rename.
        """
        assert self._journal is not None
        if not self.broken:
            try:
                return self._journal.mark(bucket, key, self._next_generation())
            except OSError as error:
                self.broken = True
                _log.error("journal error=%s: epoch broken, reads from the store are off", error)
        if not self._break_recorded:
            self._journal.break_epoch()
            self._break_recorded = True
        if not is_system(bucket) and trust.holds_only_copy(self._drive):
            raise StoreError(f"{bucket}/{key}: the journal cannot be written, and rows alone are to answer")
        return None

    def intend(self, bucket: str, key: str, intent: bytes) -> Token:
        """A mark that carries an intent, durable on return. `StoreError` if it cannot be: the write must not
        go on. The caller holds the key's stripe."""
        assert self._journal is not None
        if self.broken:
            raise StoreError("the journal broke: start the server again once the drive can be written")
        try:
            return self._journal.mark(bucket, key, self._next_generation(), intent)
        except OSError as error:
            for token in self.intents(bucket, key):
                self.carried_out(token)  # not by this process; a flush that failed may have come through
            raise StoreError(f"the journal cannot be written: {error}") from error

    def intents(self, bucket: str, key: str) -> list[Token]:
        """Those of a key that are not carried out yet."""
        return [token for token in self.tokens((bucket, key)) if token.note]

    def all_intents(self) -> list[Token]:
        return [token for place in self.places(sys.maxsize) for token in self.intents(*place)]

    def carried_out(self, token: Token) -> None:
        """The intent is done; the key stays dirty."""
        if self._journal is not None:
            self._journal.forget_note(token)

    def clear(self, tokens: Iterable[Token]) -> None:
        """Forget marks whose rows are committed, or whose files were not changed after all."""
        if self._journal is not None:
            self._journal.clear(tokens)

    def tokens(self, place: Place) -> tuple[Token, ...]:
        """The marks of a key."""
        return self._journal.tokens(place) if self._journal is not None else ()

    def __contains__(self, place: Place) -> bool:
        return self._journal is not None and place in self._journal

    def places(self, limit: int) -> list[Place]:
        """Some of the dirty keys."""
        return list(islice(self._journal.places(), limit)) if self._journal is not None else []

    def places_since(self, moment: float) -> list[Place]:
        """The keys that have been dirty since `moment` of the monotonic clock, or longer."""
        return self._journal.places_since(moment) if self._journal is not None else []

    @property
    def depth(self) -> int:
        """How many marks there are."""
        return self._journal.depth if self._journal is not None else 0
