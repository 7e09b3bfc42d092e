"""The writing half of a store: one transaction for fence, compare-and-set, index, counters and cursor.

Knows transactions, not the library behind them, so that every backend has the same terms, fences, outcomes
and counters. What a batch does to the rows that it finds is decided in `decide.py`.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar

from dualtrack.engine.rows import ZERO, Generation
from dualtrack.engine.stores import envelope, keys
from dualtrack.engine.stores.comparing import Comparing
from dualtrack.engine.stores.decide import Change, Counters, decide
from dualtrack.engine.stores.protocol import Batch, BatchResult, Entries, Place, SealedRows, StoreStats
from dualtrack.engine.stores.readers import Readers
from dualtrack.engine.stores.reading import ENTRIES, READ_ROWS, pack_entries
from dualtrack.engine.stores.recording import POSITION, ChangeLog, Recording
from dualtrack.engine.stores.recording import Change as StoredChange
from dualtrack.engine.stores.sealed import added, count_new, in_order, open_one, to_be_judged
from dualtrack.engine.stores.standing import standing, unpack_all
from dualtrack.engine.stores.transaction import INDEX, META, ROWS, Transaction, WriteTransaction
from dualtrack.errors import (
    DualTrackError,
    FencedError,
    StoreCorruptError,
    StoreFullError,
    StoreVersionError,
)

SCHEMA = 2
"""2 counts its entries (`reading.py`); a store of schema 1 is counted when it is first opened."""

_COUNT = "count/"
_NO_FENCE = b'{"fence": 0, "runID": ""}'
_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)


class Writing(Comparing):
    """See `KvStore`. `open_term` must have been called before anything is committed."""

    def __init__(self, drive_id: str, name: str) -> None:
        super().__init__(drive_id, name)
        self._term = -1
        #: Where each change is written down before it is committed; set before the first one.
        self.log: ChangeLog | None = None

    def _write(self) -> AbstractContextManager[WriteTransaction]:
        """A write transaction; the store behind gives it."""
        raise TypeError("a store defines its own transactions")

    def _change(self, work: Callable[[WriteTransaction], _Result]) -> _Result:
        """`work` in one durable transaction. A backend may run it again from the start."""
        if self.log is not None:
            return self._logged(self.log, work)
        with self._write() as txn:
            return work(txn)

    def _logged(self, log: ChangeLog, work: Callable[[WriteTransaction], _Result]) -> _Result:
        """As `_change`, with what is changed in the log first. The log has each transaction that the store
        has, and is told of one that the store has not.
        """
        appended = False
        try:
            with self._write() as txn:
                recording = Recording(txn)
                result = work(recording)
                if recording.changes:
                    position = log.append(recording.changes, self._stored_term(txn))
                    appended = True
                    self._put_meta(txn, POSITION, position)
        except BaseException as error:
            if appended:
                log.failed(rolled_back=isinstance(error, StoreFullError))
            raise
        return result

    def replay(self, changes: Iterator[StoredChange], position: Callable[[int], bytes | None]) -> None:
        """Lay logged changes over what is there, and note how far the store is then (`rowlog/replaying.py`).
        Whoever does this has the store for himself; no fence and no term are asked.
        """

        with self._write() as txn:
            for table, key, value in changes:
                if value is None:
                    txn.delete(table, key)
                else:
                    txn.put(table, key, value)
            self._put_meta(txn, POSITION, position(self._stored_term(txn)))

    def _stored_term(self, txn: Transaction) -> int:
        return int(self._get_meta(txn, "term") or b"0")

    def identify(self, drive_id: str) -> None:
        """Check, or write into a new store, whose rows these are; bring an older schema up to this one."""

        def work(txn: WriteTransaction) -> str:
            found = self._get_meta(txn, "schema")
            schema = int(found) if found is not None else 0
            if schema > SCHEMA:
                raise StoreVersionError(
                    f"{self.name} has schema {schema}, this build knows {SCHEMA}; use a newer one"
                )
            known = (self._get_meta(txn, "drive_id") or b"").decode() if schema else drive_id
            self._require_drive(drive_id, known)
            if schema == 0:
                self._put_meta(txn, "drive_id", drive_id.encode())
                self._put_meta(txn, "store_uuid", str(uuid.uuid4()).encode())
            if schema < SCHEMA:
                entries = _count_entries(txn)
                if schema:
                    _log.warning("store %s schema=%d: now %d, %s", self.name, schema, SCHEMA, entries)
                self._put_meta(txn, ENTRIES.decode(), pack_entries(entries))
                self._put_meta(txn, "schema", str(SCHEMA).encode())
            return known

        self._drive = self._change(work).encode()

    def recognize(self, drive_id: str) -> None:
        """What `identify` checks, for whoever only reads."""
        with self._read() as txn:
            schema = int(self._get_meta(txn, "schema") or b"0")
            known = (self._get_meta(txn, "drive_id") or b"").decode()
        if schema != SCHEMA:
            raise StoreVersionError(
                f"{self.name} has schema {schema}, this build reads {SCHEMA}; "
                + ("let its owner open it once" if schema < SCHEMA else "use a newer one")
            )
        self._require_drive(drive_id, known)
        self._drive = known.encode()

    def _require_drive(self, drive_id: str, known: str) -> None:
        if drive_id and known != drive_id:
            raise StoreVersionError(
                f"{self.name} is the store of drive {known or '(none)'}, not of {drive_id}; "
                "give the --store that belongs to this --drive"
            )

    # -- terms and fences ------------------------------------------------------------------------------------

    @property
    def term(self) -> int:
        return self._term

    def open_term(self) -> int:
        """Raise the store's term and commit under it from now on; every earlier opener is fenced off."""

        def work(txn: WriteTransaction) -> int:
            term = self._stored_term(txn) + 1
            self._put_meta(txn, "term", str(term).encode())
            return term

        self._term = self._change(work)
        return self._term

    def begin(self, run_id: str, fence: int) -> int:
        """See `OwnerApi.begin`."""

        def work(txn: WriteTransaction) -> int:
            self._check_term(txn)
            known = json.loads(self._get_meta(txn, "fence") or _NO_FENCE)
            wanted = fence or int(known["fence"]) + 1
            if wanted < known["fence"] or (wanted == known["fence"] and run_id != known["runID"]):
                raise FencedError(
                    f"run {run_id} has fence {wanted}, but run {known['runID']} has already begun with "
                    f"{known['fence']}; this run is obsolete and must end"
                )
            self._put_meta(txn, "fence", json.dumps({"fence": wanted, "runID": run_id}).encode())
            return wanted

        return self._change(work)

    def fence(self) -> int:
        value = self.meta("fence")
        return int(json.loads(value)["fence"]) if value else 0

    def _check_term(self, txn: Transaction) -> None:
        term = self._stored_term(txn)
        if term != self._term:
            raise FencedError(
                f"this process opened the store in term {self._term}, but it is in term {term}: another "
                "owner has taken over and this one must end"
            )

    def _check_fence(self, txn: Transaction, fence: int) -> None:
        known = json.loads(self._get_meta(txn, "fence") or _NO_FENCE)
        if fence != known["fence"]:
            raise FencedError(
                f"this run has fence {fence}, but the store is at {known['fence']} (run {known['runID']}); "
                "this run is obsolete and must end"
            )

    # -- batches ---------------------------------------------------------------------------------------------

    def commit(self, batch: Batch) -> BatchResult:
        result = self.commit_many([batch])[0]
        if isinstance(result, DualTrackError):
            raise result
        return result

    def commit_many(
        self, batches: Sequence[Batch], dirty: Container[Place] = ()
    ) -> list[BatchResult | DualTrackError]:
        """Several batches in one durable transaction; a refused one leaves no trace and stops no other."""

        def work(txn: WriteTransaction) -> list[BatchResult | DualTrackError]:
            results: list[BatchResult | DualTrackError] = []
            for batch in batches:
                try:
                    results.append(self._commit_one(txn, batch, dirty))
                except (FencedError, StoreCorruptError, StoreVersionError) as error:
                    results.append(error)
            return results

        return self._change(work)

    def _commit_one(self, txn: WriteTransaction, batch: Batch, dirty: Container[Place]) -> BatchResult:
        """Everything that can refuse comes before the first write."""
        self._check_term(txn)
        if batch.fence is not None:
            self._check_fence(txn, batch.fence)
        sealed = batch.sealed or SealedRows()
        fulls = [keys.full_key(put.row.bucket, put.row.key) for put in batch.puts]
        stored = txn.get_many(ROWS, fulls + sealed.fulls)
        judged = to_be_judged(sealed, stored, dirty, fulls)
        puts = (*batch.puts, *(open_one(self._drive, sealed, number) for number in judged))
        fulls += [sealed.fulls[number] for number in judged]
        known, broken = unpack_all(self._drive, stored)
        index = txn.get_many(INDEX, broken) if broken else {}
        damaged = {
            full: standing(self._drive, full, stored[full], index.get(full), message)
            for full, message in broken.items()
        }
        floor = self._get_meta(txn, "trust_floor")
        trust = Generation.unpack(floor) if floor else ZERO
        outcomes, changes, counters = decide(self._drive, fulls, puts, known, damaged, trust, dirty)
        entries = self._entries(txn)
        self._apply(txn, changes)
        new = sum(full not in stored for full in changes)
        listed = sum(bool(change.index) - change.unlist for change in changes.values())
        if len(judged) < len(sealed):
            unjudged = self._apply_new(txn, sealed, judged)
            outcomes = in_order(len(batch.puts), outcomes, judged, len(sealed))
            counters = added(counters, count_new(sealed, unjudged))
            new, listed = new + len(unjudged), listed + len(unjudged)
        self._add_counts(txn, counters)
        if new or changes:
            after = Entries(entries.rows + new, entries.index + listed, entries.changes + 1)
            self._put_meta(txn, ENTRIES.decode(), pack_entries(after))
        for name, value in batch.meta.items():
            self._put_meta(txn, name, value)
        if batch.cursor:
            self._put_meta(txn, "cursor/" + batch.cursor[0], batch.cursor[1])
        return BatchResult(outcomes)

    def _apply(self, txn: WriteTransaction, changes: dict[bytes, Change]) -> None:
        for full in sorted(changes):
            change = changes[full]
            txn.put(ROWS, full, change.value)
            if change.index:
                txn.put(INDEX, full, change.index)
            elif change.unlist:
                txn.delete(INDEX, full)

    def _apply_new(self, txn: WriteTransaction, rows: SealedRows, judged: Sequence[int]) -> list[int]:
        """Write the rows whose keys nothing in the store knows as they came; returns their numbers."""
        without = frozenset(judged)
        new = [number for number in range(len(rows)) if number not in without]
        new.sort(key=rows.fulls.__getitem__)
        txn.put_many(ROWS, [(rows.fulls[number], rows.values[number]) for number in new])
        txn.put_many(INDEX, [(rows.fulls[number], rows.entries[number]) for number in new])
        return new

    def _add_counts(self, txn: WriteTransaction, counters: Counters) -> None:
        for bucket, (objects, versions) in counters.items():
            old = json.loads(self._get_meta(txn, _COUNT + bucket) or b"[0, 0]")
            total = [old[0] + objects, old[1] + versions]
            self._put_meta(txn, _COUNT + bucket, json.dumps(total).encode() if any(total) else None)

    def _put_meta(self, txn: WriteTransaction, name: str, value: bytes | None) -> None:
        encoded = os.fsencode(name)
        if value is None:
            txn.delete(META, encoded)
        else:
            txn.put(META, encoded, envelope.pack_meta(encoded, value))

    # -- figures ---------------------------------------------------------------------------------------------

    def stats(self) -> StoreStats:
        counts: dict[str, tuple[int, int]] = {}
        after = None
        while page := self.meta_scan(_COUNT, after, READ_ROWS):
            counts.update((name[len(_COUNT) :], tuple(json.loads(value))) for name, value in page)
            after = page[-1][0]
        used, capacity, size = self._sizes()
        return StoreStats(
            {bucket: count[0] for bucket, count in counts.items()},
            {bucket: count[1] for bucket, count in counts.items()},
            used,
            capacity,
            size,
        )

    def readers(self) -> Readers:
        """None to tell of, unless old readers make a store grow."""
        return Readers()

    def _sizes(self) -> tuple[int, int, int]:
        """Bytes used, bytes that there can be (0: cannot be known), bytes on the disk."""
        raise TypeError("a store knows its own sizes")


def _count_entries(txn: Transaction) -> Entries:
    rows, index = (sum(1 for _ in txn.iterate(table, b"", inclusive=True)) for table in (ROWS, INDEX))
    return Entries(rows, index, 0)
