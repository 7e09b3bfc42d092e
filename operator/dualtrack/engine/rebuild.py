"""`rebuild`: a new store made from the drive's files, verified, and put in the place of one that is lost.

Only while files are the truth: never from `KvOnly` on, or where something was held and the old store does not
say that a restore has brought back all of it, because rows may be the only copy then. The new store is swept
and verified in `STORE.rebuild`; then both directories change places in one system call, so that at every
moment a whole store lies at the path. The old one is kept beside it under a dated name, with a note in it
that keeps it from being opened. Cut off anywhere, it can be run again: a half-built store begins anew, and
nothing of the old one is ever deleted.

The new store has the old one's UUID, because it is this drive's store to marker and operator, and whatever
meta values can still be read and do not follow from the rows (waivers, audit, fence, epoch, mode). They are
read in a child process, which a damaged file may kill.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from dualtrack.engine import marker, rebuild_schema, replacing
from dualtrack.engine.cleanup import records
from dualtrack.engine.drive import HOLD_DIRECTORY, Drive
from dualtrack.engine.lock import DriveLock
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.migrate import Sweep
from dualtrack.engine.owner import Owner, OwnerSettings
from dualtrack.engine.owner_api import OwnerApi
from dualtrack.engine.pace import Pace
from dualtrack.engine.places import file_exists
from dualtrack.engine.rowlog.opening import SETTING, Setting
from dualtrack.engine.storelock import REPLACED
from dualtrack.engine.stores.location import Driver, Location, locate
from dualtrack.engine.stores.opening import open_store
from dualtrack.engine.stores.protocol import Batch
from dualtrack.engine.task import Task
from dualtrack.engine.verify import Verification
from dualtrack.errors import DualTrackError, MarkerError, RefusedError

_SALVAGE_SECONDS = 600
_HOLDS = ("held/", "hold/")
# What rows and files say anew, or what was true of the old rows alone.
_DERIVED = (
    "count/",
    "children",
    "entries",
    "schema",
    "drive_id",
    "cursor/",
    "swept_epoch",
    "verified",
    "trust_floor",
    "unmended",
    "sampled",
    "snapshot",
    "rowlog",
    "quarantine/",
)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """`kept`: where the old store lies now; empty in a dry run, and where there was none. `lost`: what
    could not be carried over. `log`: where the old store had a row log; the new one begins another there
    when it is opened.
    """

    task: Task
    kept: str
    lost: tuple[str, ...]
    log: str = ""


def rebuild(
    drive: Drive, location: Location, lock: DriveLock, task_of: Callable[[OwnerApi], Task], *, dry_run: bool
) -> Rebuilt:
    """Build, verify, swap. A dry run does all but the swap, and removes what it built."""
    _refuse(drive, location, lock)
    if dry_run:
        return _rebuild(drive, location, lock, task_of, dry_run=True)
    kept = "schema …_old_<time>" if location.driver is Driver.POSTGRESQL else f"{location}.replaced-<time>"
    undo = f"the old store is kept as {kept}: exchange the two while nobody owns them"
    with lock.recorded("rebuild", undo, store=str(location)) as record:
        done = _rebuild(drive, location, lock, task_of, dry_run=False)
        record.counts = {str(name): count for name, count in done.task.counts.items()}
        record.undo = _way_back(location, done.kept)
        done.task.notes["undo"] = record.undo
    return done


def _way_back(location: Location, kept: str) -> str:
    """What a person does to have the old store again."""
    if not kept:
        return "none: there was no store before; rebuild again"
    if location.driver is Driver.POSTGRESQL:
        return f"rename {kept} to that of {location} and drop its table {REPLACED!r}, while nobody owns it"
    return f"put {kept} in place of {location} and remove its file {REPLACED!r}, while nobody owns it"


def _rebuild(
    drive: Drive, location: Location, lock: DriveLock, task_of: Callable[[OwnerApi], Task], *, dry_run: bool
) -> Rebuilt:
    with replacing.held(location, dry_run=dry_run):
        carried, lost = _carry(drive, location, lock)
        setting = carried.pop(SETTING, None)
        known = Setting.of(setting)
        log = known.directory if known is not None else ""
        if location.driver is Driver.POSTGRESQL:
            schema = rebuild_schema.fresh_location(drive, location, datetime.now(UTC))
            rebuild_schema.begin(schema)
            task = _build(drive, schema, carried, task_of)
            lock.check()
            if dry_run:
                rebuild_schema.discard(schema)
                return Rebuilt(task, "", lost)
            return Rebuilt(task, rebuild_schema.swap(drive, location, schema, task.now()), lost)
        with replacing.building(location, dry_run=dry_run) as fresh:
            where = f"rocksdb:{fresh}" if location.driver is Driver.ROCKSDB else fresh
            task = _build(drive, locate(where), carried, task_of)
            lock.check()
            if dry_run:
                return Rebuilt(task, "", lost, log)
            if setting is not None:
                _go_on_logging(locate(where), drive, setting)
            return Rebuilt(task, replacing.swap(location, fresh, task.now()), lost, log)


def _refuse(drive: Drive, location: Location, lock: DriveLock) -> None:
    replacing.refuse_mount(location)
    if lock.state.state.reached(MarkerState.KV_ONLY):
        raise MarkerError(
            f"{drive.path} is at {lock.state.state}: its rows may be the only copy, and a store made from "
            "files would lack them; make it from a snapshot (dualtrack engine restore-store), or bring the "
            "files back first (dualtrack engine restore)"
        )
    if drive.held:
        raise RefusedError(
            f"{drive.path} has files on hold: rows are the only metadata of these objects; put a snapshot in "
            "the store's place, or restore first"
        )


def _carry(
    drive: Drive, location: Location, lock: DriveLock
) -> tuple[dict[str, bytes | None], tuple[str, ...]]:
    """The old store's meta values that the new one keeps, and what could not be read of them."""
    database = location.driver is Driver.POSTGRESQL
    found, lost = rebuild_schema.salvage(drive, location) if database else _salvaged(location)
    _refuse_held(drive, location, found, lost)
    kept: dict[str, bytes | None] = {
        name: value for name, value in found.items() if name == SETTING or not name.startswith(_DERIVED)
    }
    if lock.state.store_uuid:
        kept["store_uuid"] = lock.state.store_uuid.encode()
    kept.setdefault("epoch", str(lock.state.epoch).encode())
    return kept, lost


def _refuse_held(drive: Drive, location: Location, found: Mapping[str, bytes], lost: Sequence[str]) -> None:
    """What was held stays in its folder when a restore has written its file from the row. That this was done
    for all of it is told by the old store alone, beside a marker that the restore has lowered: where either
    is gone, or says less, rows may be the only metadata.
    """
    folder = os.fsencode(f"{drive.path}/{HOLD_DIRECTORY}")
    if not file_exists(folder) and not any(name.startswith(_HOLDS) for name in found):
        return
    if records.all_restored(found) and not lost and marker.exists(drive.path):
        return
    raise RefusedError(
        f"{drive.path} has or had files on hold, and {location} does not say that a restore has brought back "
        "all of them: rows may be the only metadata of these objects; put a snapshot in the store's place "
        "and restore first"
    )


def _go_on_logging(fresh: Location, drive: Drive, setting: bytes) -> None:
    """The new store has a log where the old one had its own, but no place in that one, which is not its
    line: whoever opens it begins another beside it, and nothing of the old one is ever laid over this store.
    """
    store = open_store(fresh, drive.drive_id)
    try:
        store.open_term()
        store.commit(Batch(meta={SETTING: setting}))
    finally:
        store.close()


def _salvaged(location: Location) -> tuple[dict[str, bytes], tuple[str, ...]]:
    if not location.exists():
        return {}, (f"{location}: there is no store",)
    command = "import sys; from dualtrack.engine.rebuild import salvage; salvage(sys.argv[1])"
    try:
        child = subprocess.run(
            [sys.executable, "-c", command, location.directory],
            capture_output=True,
            timeout=_SALVAGE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {}, (f"{location}: not read within {_SALVAGE_SECONDS} s",)
    if child.returncode != 0:
        told = child.stderr.decode(errors="replace").strip().splitlines()
        return {}, (f"{location}: {told[-1] if told else f'its reader ended with {child.returncode}'}",)
    values = json.loads(child.stdout)
    found = {name: base64.b64decode(value) for name, value in values.items() if value is not None}
    return found, tuple(f"meta value {name}" for name, value in values.items() if value is None)


def salvage(directory: str) -> None:
    """Write every meta value of a store to standard output, as JSON; null for a damaged one."""
    try:
        store = open_store(locate(directory))
        values = {
            name: None if value is None else base64.b64encode(value).decode()
            for name, value in store.scrub_meta()
        }
        store.close()
    except DualTrackError as error:
        sys.exit(str(error))
    sys.stdout.write(json.dumps(values))


def _build(
    drive: Drive,
    fresh: Location,
    carried: dict[str, bytes | None],
    task_of: Callable[[OwnerApi], Task],
) -> Task:
    """A whole sweep and a whole verification; then the store is closed, opened again and summed."""
    store = open_store(fresh, drive.drive_id)
    try:
        store.open_term()
        # Last of all the term: an owner of the new store must give generations above every one of the old.
        store.commit(Batch(meta=carried))
    finally:
        store.close()
    settings = OwnerSettings(drive_id=drive.drive_id)
    owner = Owner.of(fresh, settings)
    try:
        task = task_of(owner)
        Sweep(task, Pace(None, None)).run()
        Verification(task, strict=False).run()
    finally:
        owner.close()
    again = Owner.of(fresh, settings)
    try:
        digest = str(again.digest(task.stop))
    finally:
        again.close()
    if digest != task.notes["digest"]:
        raise RefusedError(f"{fresh} has digest {digest}, not {task.notes['digest']}; run rebuild again")
    return task
