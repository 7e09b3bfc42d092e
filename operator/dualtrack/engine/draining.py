"""The drain of the dirty keys: each one's file is read again, under its stripe, and becomes its row.

A mark is cleared only when the file that it announced has been read and its row is committed, or where the
row is known to be later than the file. Where rows may be the only copy and a marked key has no file, nobody
can tell a deletion from a loss: the key is deleted, and what its row said is kept (`kept_values.py`).

When this runs, and in which thread, is `objects/drain.py`'s.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from dualtrack.engine import trust
from dualtrack.engine.journal import Token
from dualtrack.engine.marks import Marks
from dualtrack.engine.rows import Generation, Row, RowDraft, RowOrigin, RowState, is_system
from dualtrack.engine.stores.protocol import Batch, BatchResult, Outcome, Place, Put
from dualtrack.engine.stripes import Stripes
from dualtrack.errors import StoreCorruptError

DRAIN_GROUP = 32
"""Keys drained under one commit; writers of these wait for it."""
ReadDraft = Callable[[str, str], RowDraft | None]
Follow = Callable[[str, str], None]
Keep = Callable[[Sequence[Row]], None]
_log = logging.getLogger(__name__)


class Rows(Protocol):
    """What the drain needs of the owner that it works for."""

    def get(self, bucket: str, key: str) -> Row | None: ...

    def commit(self, batch: Batch) -> BatchResult: ...

    def next_generation(self) -> Generation: ...


@dataclass(frozen=True, slots=True)
class Draining:
    """One drain; see `Owner.drain` for `read` and `follow`. `keep` makes rows durable outside the store."""

    rows: Rows
    marks: Marks
    stripes: Stripes
    drive: str | None
    read: ReadDraft
    keep: Keep
    follow: Follow | None = None

    def drain(self, places: Sequence[Place]) -> int:
        """How many of these keys were settled."""
        settled = 0
        for start in range(0, len(places), DRAIN_GROUP):
            group = places[start : start + DRAIN_GROUP]
            with self.stripes.locked(group):
                settled += self._drain_group(group)
        return settled

    def _drain_group(self, places: Sequence[Place]) -> int:
        """Read these keys' files and commit their rows in one flush; the caller holds their stripes."""
        marks: list[tuple[Token, ...]] = []
        puts: list[Put] = []
        kept = 0
        rows_lead = trust.holds_only_copy(self.drive)
        files_taken = trust.files_taken(self.drive)
        for place in places:
            if not (tokens := self.marks.tokens(place)):
                continue
            try:
                row_is_later = rows_lead and self._only_in_row(place, files_taken=files_taken)
            except StoreCorruptError as error:
                _log.warning("drain error=%s: nobody knows whether it is later than its file; dirty", error)
                continue
            if row_is_later:
                if self._followed(place):
                    self.marks.clear(tokens)
                    kept += 1
                continue
            put = self._row_of_file(place)
            if put is not None and (not rows_lead or self._kept(put)):
                marks.append(tokens)
                puts.append(put)
        if not puts:
            return kept
        outcomes = self._commit_sound(puts)
        settled = [
            tokens for tokens, outcome in zip(marks, outcomes, strict=True) if outcome is not Outcome.DIRTY
        ]
        for tokens in settled:
            self.marks.clear(tokens)
        return kept + len(settled)

    def _only_in_row(self, place: Place, *, files_taken: bool) -> bool:
        """Whether, on a drive at `KvOnly` or beyond, the row wins over the mark's file, missing or not.

        It does where the row is of a write in `kv_only`, which marks nothing and leaves no file: so it is
        later than every mark; and once cleanup has taken files away, which it begins only with an empty
        journal, so that a mark can only be of a write that was cut off before its answer. Any other mark is
        of a write in `kv_primary`: the file may be the only place that has it, whatever the marker says now.
        """
        row = self.rows.get(*place)
        if row is None or is_system(place[0]):
            return False
        return row.origin is RowOrigin.KV or files_taken

    def _followed(self, place: Place) -> bool:
        """Whether nothing more is to be done for a row that is later than its file."""
        _log.warning("drain bucket=%s key=%s: the row is later and stays", *place)
        try:
            if self.follow is not None:
                self.follow(*place)
        except OSError as error:
            _log.warning(
                "drain bucket=%s key=%s error=%s: its file stays behind its row, dirty", *place, error
            )
            return False
        return True

    def _row_of_file(self, place: Place) -> Put | None:
        """What the store has to hold for the file as it is now; None if the file cannot be read now."""
        generation = self.rows.next_generation()
        try:
            draft = self.read(*place)
        except OSError as error:
            _log.warning("drain bucket=%s key=%s error=%s: stays dirty", *place, error)
            return None
        if draft is None:
            return Put(Row.tombstone(*place, generation), expect="any")
        return Put(Row.of(*place, generation, draft), draft.summary, "any", draft.versions)

    def _kept(self, put: Put) -> bool:
        """Whether what the store has of this key may be replaced: by its file, or because it is kept."""
        row = put.row
        if row.state is not RowState.TOMBSTONE or is_system(row.bucket):
            return True
        try:
            known = self.rows.get(row.bucket, row.key)
            if known is not None and known.data:
                self.keep([known])
                _log.warning("drain bucket=%s key=%s: it has no file, its row is kept", row.bucket, row.key)
        except (OSError, StoreCorruptError) as error:
            _log.warning("drain bucket=%s key=%s error=%s: stays dirty", row.bucket, row.key, error)
            return False
        return True

    def _commit_sound(self, puts: Sequence[Put]) -> Sequence[Outcome]:
        """All at once; where a stored row is damaged, one by one, so that its key alone stays dirty."""
        try:
            return self.rows.commit(Batch(puts=tuple(puts))).outcomes
        except StoreCorruptError:
            return [self._commit_alone(put) for put in puts]

    def _commit_alone(self, put: Put) -> Outcome:
        try:
            return self.rows.commit(Batch(puts=(put,))).outcomes[0]
        except StoreCorruptError as error:
            _log.warning("drain error=%s: stays dirty and is read from its file", error)
            return Outcome.DIRTY
