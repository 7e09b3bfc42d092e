"""Which rows may be served, and whether this store is the drive's at all: settled when an owner opens it.

A row below the trust floor is not served. The floor is raised to "now" when the journal broke or is gone, and
when an `fs` data plane comes with another epoch than the recorded one, or with less on the dual track than
the last one had: files may change then with no row and no mark. The same holds of rows that were swept or
verified, in part or whole, while some keys were on no dual track, or that such a data plane comes to. With
the floor goes what relied on the rows: the record of the sweep and of the verification. A data plane in
`kv_primary` or `kv_only` writes every row before it answers, so its epoch is recorded and the rows stay good;
with a marker at `KvOnly` or `Purged` the store holds the only copy and the floor never moves. A restart alone
raises the term, not the floor.
"""

from __future__ import annotations

import logging
import os
from decimal import Decimal

from dualtrack.engine import marker
from dualtrack.engine.drive import HOLD_DIRECTORY
from dualtrack.engine.journal import Journal
from dualtrack.engine.marker import Marker, MarkerState
from dualtrack.engine.mode import Engine, Mode
from dualtrack.engine.places import file_exists
from dualtrack.engine.rows import ZERO, Generation
from dualtrack.engine.stores.protocol import Batch, OwnedStore
from dualtrack.engine.sweepstate import CURSOR, State
from dualtrack.errors import MarkerError, StoreVersionError, UsageError

UNMENDED = "unmended"
"""Meta value: the journal broke after a sweep, and no sweep has been through the drive since."""
_log = logging.getLogger(__name__)


def check_marker(drive: str | None, store: OwnedStore, mode: Mode | None) -> None:
    """A missing marker says that nothing has happened to the drive. No server (`mode`) starts on that where
    the store knows better; a verb does, because that is how a drive that was replaced gets its marker back.
    """
    if drive is None:
        return
    found = marker.read(drive)
    known = (store.meta("store_uuid") or b"").decode()
    if found.store_uuid and found.store_uuid != known:
        raise StoreVersionError(
            f"the marker of {drive} ({found.state}) names store {found.store_uuid}, but this one is {known}; "
            f"give the --store that the drive was migrated to; {_way_out(found)}"
        )
    last = _last_mode(store)
    if mode is not None and last is not None and last[0] is not Engine.FS and not marker.exists(drive):
        raise MarkerError(
            f"{marker.path_of(drive)} is gone, and the last server of this store was in {last[0]}: rows may "
            "be the only copy; restore the marker from a backup, or find out what state the drive is in"
        )


def refuse_lost(drive: str, store: str) -> None:
    """Where no store lies at `store`: `UsageError` if the drive has had one. A new one would be refused, too,
    and lie in the place of the one that is to come back.
    """
    found = marker.read(drive)
    if found.store_uuid:
        raise UsageError(
            f"--store {store}: there is no store, and the marker of {drive} ({found.state}) names one, "
            f"{found.store_uuid}: give its --store; {_way_out(found)}"
        )


def _way_out(found: Marker) -> str:
    if found.state.reached(MarkerState.KV_ONLY):
        return "if it is lost, dualtrack engine restore-store makes it anew from a snapshot"
    return "if it is lost, dualtrack engine rebuild makes it anew from the drive's files"


def holds_only_copy(drive: str | None) -> bool:
    return drive is not None and marker.read(drive).state.reached(MarkerState.KV_ONLY)


def files_taken(drive: str | None) -> bool:
    """Whether cleanup has begun to take files away."""
    if drive is None or not holds_only_copy(drive):
        return False
    held = os.fsencode(f"{drive}/{HOLD_DIRECTORY}")
    return marker.read(drive).state is MarkerState.PURGED or file_exists(held)


def settle(store: OwnedStore, journal: Journal | None, drive: str | None, mode: Mode | None) -> None:
    """Raise the trust floor where the rules in this module's docstring say so; record mode and epoch."""
    last = _last_mode(store)
    # A drive that was replaced has neither: there is nothing that its rows could be older than.
    known_drive = drive is not None and marker.exists(drive)
    lost = journal is not None and journal.made and known_drive and last is not None and last[1] > 0
    if lost:
        _log.error("the journal of %s is gone: marks may be lost, the epoch is broken", drive)
    broken = lost or (journal is not None and journal.broken)
    known = store.meta("epoch") or b"0"
    new_epoch = mode is not None and mode.epoch != int(known)
    untracked = mode is not None and (
        (mode.engine is Engine.FS and (new_epoch or _weaker(store, mode)))
        or _swept_beside_untracked(store, mode)
    )
    meta: dict[str, bytes | None] = {}
    if mode is not None:
        meta |= {"epoch": str(mode.epoch).encode(), "mode": f"{mode.engine} {mode.ratio}".encode()}
    if (broken or untracked) and not holds_only_copy(drive):
        _log.info("trust floor term=%d broken=%s mode=%s", store.term, broken, mode)
        meta["trust_floor"] = Generation(store.term, 0).pack()
        # A sweep that had been through the drive already has to go again before anybody relies on the rows.
        swept = store.meta("swept_epoch") or store.meta(UNMENDED)  # it may break again before that
        meta[UNMENDED] = b"1" if not untracked and swept else None
        meta |= {"swept_epoch": None, "verified": None}
    elif new_epoch and mode is not None and store.meta("swept_epoch") == known:
        # Every write has made its row since that sweep, so the rows are as complete in the new epoch.
        meta["swept_epoch"] = str(mode.epoch).encode()
    if meta:
        store.commit(Batch(meta=meta))
    if broken and journal is not None:
        journal.mend_epoch()


def _weaker(store: OwnedStore, mode: Mode) -> bool:
    """Whether the last data plane tracked more than this one will, so that some rows are kept up no
    longer.
    """
    last = _last_mode(store)
    if last is None:
        return False
    order = tuple(Engine)
    return (order.index(mode.engine), mode.ratio) < (order.index(last[0]), last[1])


def _swept_beside_untracked(store: OwnedStore, mode: Mode) -> bool:
    """Whether a sweep or a verification is on record, or rows of a sweep that has not ended are trusted, and
    the last data plane or this one changes files that leave no mark: what was true of these rows need not be
    true any more."""
    if store.meta("swept_epoch") is None and store.meta("verified") is None and not _is_swept_in_part(store):
        return False
    modes = ((mode.engine, mode.ratio), _last_mode(store))
    return any(each is not None and each[0] is Engine.FS and each[1] < 1 for each in modes)


def _is_swept_in_part(store: OwnedStore) -> bool:
    """Whether a sweep has come as far as a cursor, above the floor that holds now."""
    cursor, floor = store.meta(f"cursor/{CURSOR}"), store.meta("trust_floor") or ZERO.pack()
    return cursor is not None and State.unpack(cursor).floor == floor.hex()


def _last_mode(store: OwnedStore) -> tuple[Engine, Decimal] | None:
    last = store.meta("mode")
    if last is None:
        return None
    engine, ratio = last.decode().split()
    return Engine(engine), Decimal(ratio)
