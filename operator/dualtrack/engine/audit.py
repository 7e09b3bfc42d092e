"""An entry before and after every step that takes something away, moves a truth or says that something may.

    with step(drive, Begun(…)) as record:
        …                       # nothing is changed before the entry is durable

Whoever cannot write the first entry is refused (`RefusedError`): what nobody could trace is not done. An
error ends the step's entry as well as the step. Where the last entry cannot be written the step counts as cut
off, which its next run says, and the error tells that it was done.

A step that takes nothing away (`required=False`: a sweep, a verification) is put down for the history, and
goes on with a warning where that is not possible.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dualtrack.engine.auditlog import AuditLog, Line, path_of
from dualtrack.engine.marker import control_directory
from dualtrack.errors import DriveError, DualTrackError, RefusedError

_LONGEST = 512
_MOST = 32

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Begun:
    """What is known before a step. `undo` says in words or as a command how it is taken back; `generation` is
    the owner's then: every row up to it was there before.
    """

    verb: str
    run_id: str
    fence: int
    undo: str
    arguments: Mapping[str, object] = field(default_factory=dict)
    epoch: int = 0
    generation: tuple[int, int] | None = None
    migration_uid: str = ""

    def fields(self, now: datetime) -> dict[str, Any]:
        return {
            "time": _time(now),
            "verb": self.verb,
            "run": self.run_id,
            "fence": self.fence,
            "epoch": self.epoch,
            "generation": list(self.generation) if self.generation else None,
            "migrationUID": self.migration_uid,
            "who": who(),
            "arguments": _bounded(self.arguments),
            "undo": self.undo[:_LONGEST],
        }


@dataclass(slots=True)
class Record:
    """What a step adds to its last entry, and what its caller should tell."""

    counts: dict[str, int] = field(default_factory=dict)
    undo: str = ""
    warning: str = ""


@contextmanager
def step(drive: str, begun: Begun, record: Record, *, now: Clock, required: bool = True) -> Iterator[Record]:
    """Entries before and after what is done within. `RefusedError` where there can be none before it."""
    log: AuditLog | None = None
    try:
        log = AuditLog(drive)
        line = log.begin(begun.fields(now()))
    except OSError as error:
        if log is not None:
            log.close()
        why = f"the audit {path_of(drive)} cannot be written ({error.strerror or error})"
        if required:
            remedy = "make room or mend the drive"
            if isinstance(error, PermissionError):
                remedy = f"it is another user's: chown -R --reference={drive} {control_directory(drive)}"
            raise RefusedError(
                f"{why}, so {begun.verb} was not begun: {remedy}, then run it again"
            ) from error
        record.warning = f"{why}; {begun.verb} goes on without an entry"
        yield record
        return
    try:
        yield from _within(log, line, begun, record, now, required)
    finally:
        log.close()


def _within(
    log: AuditLog, line: Line, begun: Begun, record: Record, now: Clock, required: bool
) -> Iterator[Record]:
    try:
        yield record
    except BaseException as error:
        try:
            log.end(line, _ended(record, now(), error))
        except OSError as other:
            error.add_note(f"the audit could not be written either ({other})")
        raise
    try:
        log.end(line, _ended(record, now(), None))
    except OSError as error:
        why = f"{begun.verb} was done, but its end could not be written to the audit ({error})"
        if required:
            raise DriveError(f"{why}; its entry {line.number} will say interrupted: run it again") from error
        record.warning = why


def _ended(record: Record, now: datetime, error: BaseException | None) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "time": _time(now),
        "result": "failed" if error is not None else "done",
        "exitCode": 0,
        "counts": dict(list(record.counts.items())[:_MOST]),
    }
    if record.undo:
        fields["undo"] = record.undo[:_LONGEST]
    if error is not None:
        fields["exitCode"] = error.exit_code if isinstance(error, DualTrackError) else 1
        fields["error"] = f"{type(error).__name__}: {error}"[:_LONGEST]
    return fields


def who() -> dict[str, object]:
    """The process that does it. In a cluster the host is the Job's pod, and the run is the Job."""
    uid = os.getuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = ""
    return {"user": user, "uid": uid, "host": os.uname().nodename, "pid": os.getpid()}


def _bounded(arguments: Mapping[str, object]) -> dict[str, object]:
    """Values as JSON has them, short enough for a line."""
    return {name: _short(value) for name, value in list(arguments.items())[:_MOST]}


def _short(value: object) -> object:
    match value:
        case bool() | int() | float() | None:
            return value
        case Mapping():
            return {str(name)[:_LONGEST]: _short(each) for name, each in sorted(value.items())[:10]}
        case list() | tuple() | set() | frozenset():
            told = [str(each)[:_LONGEST] for each in sorted(value, key=str)[:10]]
            return told if len(told) == len(value) else [*told, f"and {len(value) - len(told)} more"]
        case _:
            return str(value)[:_LONGEST]


def _time(now: datetime) -> str:
    return now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
