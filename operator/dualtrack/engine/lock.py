"""The drive's lock, and the fence in it: who may rename and remove files under a drive apart from its server.

A fence in the store stops an obsolete Job's commits, not its renames. So cleanup, restore and mark hold
`flock` on `<drive>/.dualtrack/lock`, write their fence into that file, and read it again, with the marker,
before each batch of files. The kernel gives the lock back when the process dies, on the same machine and in
any container of it.
"""

from __future__ import annotations

import json
import os
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from types import TracebackType
from typing import TypedDict

from dualtrack.engine import audit, checked, files, marker
from dualtrack.engine.audit import Begun, Record
from dualtrack.errors import FencedError, MarkerError, RefusedError


class _Content(TypedDict):
    fence: int
    runID: str


class DriveLock:
    """Held from `acquire` to `release`."""

    def __init__(
        self, drive: str, descriptor: int | None, fence: int, run_id: str, state: marker.Marker
    ) -> None:
        self._drive = drive
        self._descriptor = descriptor
        self._fence = fence
        self._run_id = run_id
        #: What stands in the file for as long as nobody takes over.
        self._known = fence, run_id
        self._marker = state

    @classmethod
    def acquire(cls, drive: str, fence: int, run_id: str) -> DriveLock:
        """Take the lock and raise its fence. `RefusedError` if held, `FencedError` if a newer run had it."""
        files.ensure_directory(marker.control_directory(drive))
        descriptor = _held(drive)
        try:
            lock = cls(drive, descriptor, fence, run_id, marker.read(drive))
            lock._raise_fence()
        except BaseException:
            os.close(descriptor)
            raise
        return lock

    @classmethod
    def look(cls, drive: str, run_id: str) -> DriveLock:
        """For a dry run: nobody else changes files meanwhile, but no fence is raised, so that the run whose
        fence it is can go on afterwards. Where nobody ever took the lock, no file is made for it.
        """
        descriptor = _held(drive) if os.path.lexists(_path(drive)) else None
        try:
            lock = cls(drive, descriptor, 0, run_id, marker.read(drive))
            lock._known = _standing(descriptor)
        except BaseException:
            if descriptor is not None:
                os.close(descriptor)
            raise
        return lock

    @property
    def state(self) -> marker.Marker:
        """The marker as it was when this lock was taken, or last moved under it."""
        return self._marker

    def check(self) -> None:
        """Before each batch of files: still our lock, our fence and the marker that we began with."""
        fence, run_id = _standing(self._descriptor)
        if not self._is_in_place() or (fence, run_id) != self._known:
            raise FencedError(
                f"the lock of {self._drive} was taken over by run {run_id} (fence {fence}); "
                f"run {self._run_id} is obsolete and must end"
            )
        if (found := marker.read(self._drive)) != self._marker:
            raise MarkerError(
                f"the marker of {self._drive} changed from {self._marker.state} to {found.state} during run "
                f"{self._run_id}; nothing more was changed: find out who moved it before going on"
            )

    def move_marker(self, new: marker.Marker) -> None:
        """Write the marker, once the step that it names has been verified."""
        self.check()
        old = self._marker
        undo = f"dualtrack engine mark --state {old.state}"
        if new.state.reached(marker.MarkerState.KV_ONLY):
            undo = "dualtrack engine restore"
        with self.recorded("move marker", undo, new.epoch, old=str(old.state), new=str(new.state)):
            marker.write(self._drive, new)
            self._marker = new

    def recorded(
        self, verb: str, undo: str, epoch: int = 0, **details: object
    ) -> AbstractContextManager[Record]:
        """Entries in the drive's audit before and after what is done within, in the name of this run."""
        begun = Begun(verb, self._run_id, self._fence, undo, details, epoch or self._marker.epoch)
        return audit.step(self._drive, begun, Record(), now=lambda: datetime.now(UTC))

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def __enter__(self) -> DriveLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _is_in_place(self) -> bool:
        """Whether the file is still ours that everybody locks; where a dry run found none, that none is."""
        try:
            found = os.stat(_path(self._drive))
        except FileNotFoundError:
            return self._descriptor is None
        return self._descriptor is not None and os.path.samestat(os.fstat(self._descriptor), found)

    def _raise_fence(self) -> None:
        assert self._descriptor is not None
        known, mine = _read(self._descriptor), self._fence
        if known["fence"] > mine or (known["fence"] == mine and known["runID"] not in ("", self._run_id)):
            raise FencedError(
                f"run {self._run_id} has fence {mine}, but run {known['runID']} with fence {known['fence']} "
                f"has already changed files on {self._drive}; this run is obsolete and must end"
            )
        # In place: a new file would not be the one that others wait on.
        text = checked.pack({"fence": mine, "runID": self._run_id})
        os.pwrite(self._descriptor, text.ljust(512), 0)
        os.fsync(self._descriptor)


def _path(drive: str) -> str:
    return os.path.join(marker.control_directory(drive), "lock")


def _held(drive: str) -> int:
    path = _path(drive)
    descriptor = files.lock_file(path)
    if descriptor is None:
        raise RefusedError(
            f"{path} is held by {_holder(path)}: another verb is changing files on this drive; "
            "wait for it or stop it, then try again"
        )
    return descriptor


def _standing(descriptor: int | None) -> tuple[int, str]:
    """Fence and run in the file; where there is none, nobody's."""
    if descriptor is None:
        return 0, ""
    known = _read(descriptor)
    return known["fence"], known["runID"]


def _read(descriptor: int) -> _Content:
    data = os.pread(descriptor, 512, 0)
    if not data.strip(b" \0"):
        return {"fence": 0, "runID": ""}
    try:
        fields = checked.unpack(json.loads(data), ("fence", "runID"))
        return {"fence": int(fields["fence"]), "runID": str(fields["runID"])}
    except (ValueError, KeyError, TypeError) as error:
        raise FencedError(
            f"the drive's lock file cannot be read ({error}); find out which run changed files last"
        ) from error


def _holder(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return f"run {json.loads(file.read(512))['runID']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def known_fence(drive: str) -> int:
    """The highest fence that has changed files on this drive; 0 if none has."""
    try:
        descriptor = os.open(_path(drive), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        return _read(descriptor)["fence"]
    finally:
        os.close(descriptor)
