"""What one object needs by the strategy that somebody chose: a pure function of what is there.

Each strategy believes one side. None of them deletes: a file is moved aside or linked aside before another
takes its name, a row is replaced by one that says "read the file" or by a tombstone. Where the believed side
has nothing sound to offer, the object is refused with the reason, and left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from dualtrack.engine.drafts import draft_of_found
from dualtrack.engine.judging import Evidence, Verdict
from dualtrack.engine.listing import Found, Problem
from dualtrack.engine.naming import MetaName
from dualtrack.engine.rows import Generation, Row, RowState, is_system


class Strategy(StrEnum):
    #: The row is right and stands alone from now; a file is moved aside. Only where rows alone answer.
    USE_KV = "use-kv"
    #: The file is right; the row is retired, and the next sweep makes it anew.
    USE_FS = "use-fs"
    #: The file is right; its row is made from it now.
    SYNC_TO_KV = "sync-to-kv"
    #: The row is right; its file is written from it now.
    SYNC_TO_FS = "sync-to-fs"

    @property
    def changes_files(self) -> bool:
        return self in (Strategy.USE_KV, Strategy.SYNC_TO_FS)


class Action(StrEnum):
    NOTHING = "equal"
    PUT_ROW = "rowWritten"
    RETIRE_ROW = "rowRetired"
    BURY_ROW = "rowBuried"
    HOLD_FILE = "fileHeld"
    #: There is no file; the row becomes one that needs none, as `kv_only` writes them.
    KEEP_ROW = "rowKept"
    WRITE_FILE = "fileWritten"
    REFUSE = "refused"


@dataclass(frozen=True, slots=True)
class Choice:
    action: Action
    why: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """What the choice depends on besides the object. `files_answer`: no server reads from rows now.
    `accept_newer`: a file may be replaced although it is younger than its row.
    """

    strategy: Strategy
    floor: Generation
    files_answer: bool
    accept_newer: bool = False


def choose(seen: Evidence, verdict: Verdict, setting: Setting) -> Choice:
    left_behind = setting.strategy is Strategy.USE_KV and verdict is Verdict.SUPERSEDED
    if not (verdict.differs or left_behind):
        return Choice(Action.NOTHING)
    if verdict is Verdict.DAMAGED_ROW:
        return _refuse(
            "its row is damaged, and no row is put over one that cannot be read: rebuild the store"
        )
    if isinstance(seen.file, Problem) and seen.file.transient:
        return _refuse(f"its file cannot be read now ({seen.file.reason})")
    match setting.strategy:
        case Strategy.USE_KV:
            return _use_kv(seen, setting)
        case Strategy.USE_FS:
            return _use_fs(seen, setting)
        case Strategy.SYNC_TO_KV:
            return _sync_to_kv(seen)
        case Strategy.SYNC_TO_FS:
            return _sync_to_fs(seen, setting)
        case _:
            assert_never(setting.strategy)


def _use_kv(seen: Evidence, setting: Setting) -> Choice:
    row = seen.row
    if isinstance(seen.file, Problem):
        return _refuse(f"its file is not one that cleanup would take ({seen.file.reason})")
    if row is not None and is_system(row.bucket):
        return _refuse("servers read the system volume's files in every mode, and its rows are a backup")
    if row is not None and row.state is RowState.FS_RESIDENT:
        return _refuse("its row says that the file is to be read: without it nothing would be left")
    if untrusted := _trusted(row, setting):
        return untrusted
    if row is not None and row.present and row.name is MetaName.XL_JSON:
        return _refuse("its row is of an xl.json, which no server of ours can write: restore the drive")
    if seen.file is not None:
        return Choice(Action.HOLD_FILE)
    return Choice(Action.KEEP_ROW if row is not None and row.present else Action.NOTHING)


def _use_fs(seen: Evidence, setting: Setting) -> Choice:
    if seen.file is None:
        return Choice(Action.BURY_ROW)
    if unsound := _unsound(seen.file):
        return unsound
    if not setting.files_answer:
        return _refuse("rows answer listings now, and a retired row would hide it: use sync-to-kv")
    return Choice(Action.RETIRE_ROW)


def _sync_to_kv(seen: Evidence) -> Choice:
    if seen.file is None:
        return _refuse("it has no file to copy; if it was deleted, use-fs buries the row")
    return _unsound(seen.file) or Choice(Action.PUT_ROW)


def _sync_to_fs(seen: Evidence, setting: Setting) -> Choice:
    row = seen.row
    if row is None or not row.present:
        return _refuse("its row holds no bytes to write; no strategy deletes a file here")
    if is_system(row.bucket):
        return _refuse("servers write the system volume's files themselves, and its rows are a backup")
    if untrusted := _trusted(row, setting):
        return untrusted
    if isinstance(seen.file, Problem):
        return _refuse(f"something else stands in the place of its file ({seen.file.reason})")
    if isinstance(seen.file, Found) and not setting.accept_newer and _is_newer(seen.file, row):
        return _refuse("its file is newer than its row; if the row is right all the same: --accept-newer")
    return Choice(Action.WRITE_FILE)


def _trusted(row: Row | None, setting: Setting) -> Choice | None:
    if row is None:
        return _refuse("it has no row")
    if not row.data and row.present:
        return _refuse("its row is empty")
    if row.generation < setting.floor:
        return _refuse("its row is older than the trust floor, so it proves nothing: run migrate")
    return None


def _unsound(file: Found | Problem) -> Choice | None:
    draft = draft_of_found(file) if isinstance(file, Found) else file
    if isinstance(draft, Problem):
        return _refuse(f"its file cannot be read ({draft.reason}): run migrate, which sets it aside by name")
    return None


def _is_newer(file: Found, row: Row) -> bool:
    return file.fingerprint.ctime_ns >= row.fingerprint.ctime_ns


def _refuse(why: str) -> Choice:
    return Choice(Action.REFUSE, why)
