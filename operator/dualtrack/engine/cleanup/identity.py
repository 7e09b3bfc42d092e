"""`format.json` while files are held: stock servers must refuse a drive whose metadata is in the store.

Before the first file is held, `format` becomes `dualtrack-held`, which makes MinIO exit and RustFS stay
unready; both leave the file alone. The original is durable in three places first: the store, `.dualtrack/`
and the run's result. A drive that RustFS adopted from MinIO has two such files, and both are held, because
either server would start on its own.
"""

from __future__ import annotations

import base64
import json
import os
import stat
from dataclasses import asdict, dataclass
from typing import Any

from dualtrack.engine import files
from dualtrack.engine.drive import HELD_FORMAT, ORIGINAL_FORMAT, SYSTEM_VOLUMES
from dualtrack.engine.task import Task
from dualtrack.errors import DriveError

_META = "format/"
_MAX_SIZE = 1 << 20


@dataclass(frozen=True, slots=True)
class _Original:
    data: str
    mode: int
    uid: int
    gid: int
    atime_ns: int
    mtime_ns: int
    directory_mtime_ns: int

    @property
    def bytes(self) -> bytes:
        return base64.b64decode(self.data)


def hold_identity(task: Task) -> None:
    """Make stock servers refuse the drive. Again and again harmless."""
    for volume in SYSTEM_VOLUMES:
        read = _read(task, volume)
        if read is None:
            continue
        data, status = read
        document = _document(task, volume, data)
        if document.get("format") == HELD_FORMAT:
            _original(task, volume)
            continue
        task.notes["formatJSON"] = data.decode("utf-8", "replace")
        if task.dry_run:
            continue
        directory = os.stat(os.path.dirname(_path(task, volume)))
        original = _Original(
            base64.b64encode(data).decode(),
            stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_atime_ns,
            status.st_mtime_ns,
            directory.st_mtime_ns,
        )
        held = json.dumps(document | {"format": HELD_FORMAT}, separators=(",", ":")).encode()
        path = _path(task, volume)
        with task.recorded("hold format.json", "dualtrack engine restore", path=path):
            task.commit(meta={_META + volume: json.dumps(asdict(original)).encode()})
            _write(_aside(task, volume), original.bytes, original)
            files.write_atomic(path, held, mode=original.mode, owner=(original.uid, original.gid))


def give_identity_back(task: Task) -> None:
    """The original bytes, mode, owner and time; then the copies of it go. Again and again harmless."""
    if task.dry_run:
        return
    for volume in SYSTEM_VOLUMES:
        read = _read(task, volume)
        if read is None:
            continue
        held = _document(task, volume, read[0]).get("format") == HELD_FORMAT
        # An earlier run may have been cut off when the file was back and its directory's time was not.
        if held or task.owner.meta(_META + volume) is not None:
            original = _original(task, volume)
            if held:
                path = _path(task, volume)
                with task.recorded("give back format.json", "dualtrack engine cleanup hold", path=path):
                    files.discard_temporaries(path)
                    _write(path, original.bytes, original)
            parent = os.path.dirname(_path(task, volume))
            os.utime(parent, ns=(os.stat(parent).st_atime_ns, original.directory_mtime_ns))
            files.sync_directory(parent)
        aside = _aside(task, volume)
        files.unlink(aside, missing_ok=True)
        files.sync_directory(os.path.dirname(aside))
        if task.owner.meta(_META + volume) is not None:
            task.commit(meta={_META + volume: None})


def _write(path: str, data: bytes, original: _Original) -> None:
    files.write_atomic(
        path,
        data,
        mode=original.mode,
        owner=(original.uid, original.gid),
        times=(original.atime_ns, original.mtime_ns),
    )


def _original(task: Task, volume: str) -> _Original:
    """From the store; from `.dualtrack/` where the store is a snapshot that was taken before."""
    if value := task.owner.meta(_META + volume):
        return _Original(**json.loads(value))
    aside = _aside(task, volume)
    try:
        data, status = files.read_regular(aside, _MAX_SIZE)
    except FileNotFoundError as error:
        raise DriveError(
            f"{_path(task, volume)} is held, and its original is neither in the store nor at {aside}: "
            "write it there from the result of the hold"
        ) from error
    parent = os.stat(os.path.dirname(_path(task, volume)))
    return _Original(
        base64.b64encode(data).decode(),
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        status.st_atime_ns,
        status.st_mtime_ns,
        parent.st_mtime_ns,
    )


def _path(task: Task, volume: str) -> str:
    return f"{task.drive.path}/{volume}/format.json"


def _aside(task: Task, volume: str) -> str:
    """`Drive.open` looks for the one of the server that writes now."""
    suffix = "" if volume == task.drive.system_volume else volume
    return f"{task.drive.path}/{ORIGINAL_FORMAT}{suffix}"


def _read(task: Task, volume: str) -> tuple[bytes, os.stat_result] | None:
    try:
        return files.read_regular(_path(task, volume), _MAX_SIZE)
    except FileNotFoundError:
        return None


def _document(task: Task, volume: str, data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError as error:
        raise DriveError(f"{_path(task, volume)} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise DriveError(f"{_path(task, volume)} holds no object")
    return document
