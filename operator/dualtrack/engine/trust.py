"""Which rows may be served, and whether this store is the drive's at all: settled when an owner opens it.

A row below the trust floor is not served. The floor is raised to "now" when the journal broke, and when an
`fs` data plane comes with another epoch than the recorded one, or with less on the dual track than the last
one had: files may change then with no row and no mark. With the floor goes what relied on the rows: the
record of the sweep and of the verification. A data plane in `kv_primary` or `kv_only` writes every row before
it answers, so its epoch is recorded and the rows stay good; with a marker at `KvOnly` or `Purged` the store
holds the only copy and the floor never moves. A restart alone raises the term, not the floor.
"""

from __future__ import annotations

import logging
import os
from decimal import Decimal

from dualtrack.engine import marker
from dualtrack.engine.drive import HOLD_DIRECTORY
from dualtrack.engine.journal import Journal
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.mode import Engine, Mode
from dualtrack.engine.rows import Generation
from dualtrack.engine.stores.lmdb import LmdbStore
from dualtrack.engine.stores.protocol import Batch
from dualtrack.errors import StoreVersionError

UNMENDED = "unmended"
"""Meta value: the journal broke after a sweep, and no sweep has been through the drive since."""
_log = logging.getLogger(__name__)


def check_marker(drive: str | None, store: LmdbStore) -> None:
    if drive is None:
        return
    found = marker.read(drive)
    known = (store.meta("store_uuid") or b"").decode()
    if found.store_uuid and found.store_uuid != known:
        raise StoreVersionError(
            f"the marker of {drive} ({found.state}) names store {found.store_uuid}, but this one is {known}; "
            "give the --store that the drive was migrated to"
        )


def holds_only_copy(drive: str | None) -> bool:
    return drive is not None and marker.read(drive).state.reached(MarkerState.KV_ONLY)


def files_taken(drive: str | None) -> bool:
    """Whether cleanup has begun to take files away."""
    if drive is None or not holds_only_copy(drive):
        return False
    return marker.read(drive).state is MarkerState.PURGED or os.path.isdir(f"{drive}/{HOLD_DIRECTORY}")


def settle(store: LmdbStore, journal: Journal | None, drive: str | None, mode: Mode | None) -> None:
    """Raise the trust floor where the rules in this module's docstring say so; record mode and epoch."""
    broken = journal is not None and journal.broken
    known = store.meta("epoch") or b"0"
    new_epoch = mode is not None and mode.epoch != int(known)
    untracked = mode is not None and mode.engine is Engine.FS and (new_epoch or _weaker(store, mode))
    meta: dict[str, bytes | None] = {}
    if mode is not None:
        meta |= {"epoch": str(mode.epoch).encode(), "mode": f"{mode.engine} {mode.ratio}".encode()}
    if (broken or untracked) and not holds_only_copy(drive):
        _log.info("trust floor term=%d broken=%s mode=%s", store.term, broken, mode)
        meta["trust_floor"] = Generation(store.term, 0).pack()
        # A sweep that had been through the drive already has to go again before anybody relies on the rows.
        meta[UNMENDED] = b"1" if not untracked and store.meta("swept_epoch") else None
        meta |= {"swept_epoch": None, "verified": None}
    elif new_epoch and mode is not None and store.meta("swept_epoch") == known:
        # Every write has made its row since that sweep, so the rows are as complete in the new epoch.
        meta["swept_epoch"] = str(mode.epoch).encode()
    if meta:
        store.commit(Batch(meta=meta))
    if broken and journal is not None:
        journal.mend_epoch()


def _weaker(store: LmdbStore, mode: Mode) -> bool:
    """Whether the last data plane tracked more than this one will, so that some rows are kept up no
    longer.
    """
    last = store.meta("mode")
    if last is None:
        return False
    engine, ratio = last.decode().split()
    order = tuple(Engine)
    return (order.index(mode.engine), mode.ratio) < (order.index(Engine(engine)), Decimal(ratio))
