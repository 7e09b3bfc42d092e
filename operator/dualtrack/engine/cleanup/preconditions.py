"""What must hold before a file is taken away, and again before each batch; each refusal says why.

The last full verification must have been clean and whole, in this epoch and since the cut-over; the marker
must be at `KvOnly`; all drives of its set must be named (a server would repair from the others) and compared
with each other; it must be at rest, not healing, and open to nobody else; and where a server runs, it must
itself say, by the store's socket, that it serves from the store alone. What the files say of the rows is
asked by `survey`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta

from dualtrack.engine import client
from dualtrack.engine.authority import require_epoch
from dualtrack.engine.cleanup import verification
from dualtrack.engine.cleanup.open_files import open_below
from dualtrack.engine.drive import SYSTEM_VOLUMES
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.mode import Engine
from dualtrack.engine.places import file_exists
from dualtrack.engine.sets import across
from dualtrack.engine.stores.location import Driver, locate
from dualtrack.engine.task import Task
from dualtrack.errors import MarkerError, OwnerError, RefusedError

QUIET_SECONDS = 30
_HEALING = (".rustfs.sys/healing.bin", ".rustfs.sys/buckets/.healing.bin", ".minio.sys/buckets/.healing.bin")


def require(task: Task, verb: str) -> None:
    """Everything that is asked once, before the first change."""
    if not task.client_only and not task.server_stopped:
        raise RefusedError(
            f"cleanup {verb} takes files away that a running server may need: say --server-stopped once no "
            "server runs on the drive, or --client-only where a data plane owns the store"
        )
    _require_at_rest(task)
    _require_store_place(task, verb)
    ask_owner(task)
    verification.require_clean(task)
    across.require(task)
    _require_marker(task, verb)


def ask_owner(task: Task) -> None:
    """Before each batch: what the owner says of itself, now."""
    found = task.owner.info()
    if task.migration_uid and found.migration_uid and found.migration_uid != task.migration_uid:
        raise OwnerError(
            f"the store belongs to migration {found.migration_uid}, this run to {task.migration_uid}: "
            "nothing more was changed; let one of them end"
        )
    if found.journal_depth or found.degraded:
        raise OwnerError(
            f"the owner's journal has {found.journal_depth} keys{' and is broken' if found.degraded else ''}:"
            " rows may be older than files; wait for the drain, then run this again"
        )
    if not task.client_only:
        if found.engine:
            raise OwnerError(
                f"a server with engine {found.engine} owns the store although --server-stopped was given; "
                "stop it, or use --client-only"
            )
        return
    if found.engine != Engine.KV_ONLY or found.fallback:
        raise OwnerError(
            f"the data plane says engine {found.engine or 'none'}, fallback {str(found.fallback).lower()}: "
            "files may go only under kv_only without fallback; finish the cut-over first"
        )
    require_epoch(task, found)


def refuse_running_server(store_dir: str) -> None:
    """Under `--server-stopped`, also where the store lies elsewhere: nobody may answer on its socket."""
    directory = locate(store_dir).directory
    if directory and client.answers(directory):
        raise OwnerError(
            f"a server owns {directory} and answers on its socket, although --server-stopped was given; "
            "stop it first"
        )


def _require_marker(task: Task, verb: str) -> None:
    """Without a data plane the first hold raises the marker itself, once the survey has passed."""
    state = task.held_lock().state.state
    if state.reached(MarkerState.KV_ONLY):
        return
    if task.client_only or verb != "hold":
        raise MarkerError(
            f"the marker of {task.drive.path} is {state}: cleanup {verb} needs {MarkerState.KV_ONLY}; "
            + ("let the operator cut over first" if task.client_only else "run cleanup hold first")
        )


def raise_marker(task: Task, state: MarkerState) -> None:
    """Move the marker forward; the verification that allows it is on record first."""
    lock = task.held_lock()
    if lock.state.state.reached(state) or task.dry_run:
        return
    verification.accept(task)
    info = task.owner.info()
    lock.move_marker(
        lock.state.moved(
            state,
            store_uuid=info.store_uuid,
            epoch=task.epoch or info.epoch,
            migration_uid=task.migration_uid or lock.state.migration_uid,
            now=task.now(),
        )
    )


def cut_over_ns(task: Task) -> int:
    """When the marker says that the files ceased to matter; the whole second counts."""
    state = task.held_lock().state
    if not state.state.reached(MarkerState.KV_ONLY):
        return int((task.now() + timedelta(seconds=1)).timestamp()) * 1_000_000_000
    return (int(datetime.fromisoformat(state.changed).timestamp()) + 1) * 1_000_000_000


def _require_at_rest(task: Task) -> None:
    root = task.drive.path
    for name in _HEALING:
        if file_exists(os.fsencode(f"{root}/{name}")):
            raise RefusedError(
                f"{root}/{name} is there: the drive is being healed by its server; wait until that is done, "
                "verify, then run this again"
            )
    _require_unopened(task)
    quiet_since = task.now().timestamp() - QUIET_SECONDS
    for volume in SYSTEM_VOLUMES:
        for path, changed in _changes(os.fsencode(f"{root}/{volume}/tmp")):
            if changed > quiet_since:
                raise RefusedError(
                    f"{os.fsdecode(path)} changed less than {QUIET_SECONDS} s ago: a server writes to this "
                    f"drive; see that none runs, wait {QUIET_SECONDS} s, then run this again"
                )


def _require_unopened(task: Task) -> None:
    """Beside a data plane there are always open files, and its owner answers for them (`ask_owner`)."""
    if task.client_only:
        return
    for process, path in open_below(task.drive.path):
        raise RefusedError(
            f"process {process} has {path} open: somebody still works on {task.drive.path}; stop it, run "
            "verify, then this again"
        )


def _changes(folder: bytes) -> Iterator[tuple[bytes, float]]:
    """When each file and directory of a staging area was last changed; what vanishes meanwhile has changed,
    which its directory tells.
    """
    try:
        yield folder, os.lstat(folder).st_mtime
    except FileNotFoundError:
        return
    for parent, directories, names in os.walk(folder, onerror=_raise):
        for name in directories + names:
            path = os.path.join(parent, name)
            try:
                yield path, os.lstat(path).st_mtime
            except FileNotFoundError:
                continue


def _raise(error: OSError) -> None:
    """What cannot be listed is not known to be at rest. A directory that vanishes has changed its parent."""
    if not isinstance(error, FileNotFoundError):
        raise error


def store_is_inside(task: Task) -> bool:
    """Whether the store lies on its drive, so that both are lost together or not at all."""
    location = locate(task.store_dir, task.drive.path)
    if location.driver is Driver.POSTGRESQL:
        return False
    root = os.path.realpath(task.drive.path)
    return os.path.commonpath([root, os.path.realpath(location.directory)]) == root


def _require_store_place(task: Task, verb: str) -> None:
    location = locate(task.store_dir, task.drive.path)
    if store_is_inside(task) or location.replicated:
        return
    what = (
        f"the store {location} lies outside its drive {task.drive.path}: after cleanup the loss of "
        "either loses the metadata"
    )
    beside = location.driver is not Driver.POSTGRESQL and _device(location.directory) == _device(
        task.drive.path
    )
    if not (task.server_stopped and beside):
        raise RefusedError(f"{what}; move the store to {task.drive.path}/.dualtrack/store before {verb}")
    task.warn(what)


def _device(path: str) -> int:
    return os.stat(path).st_dev
