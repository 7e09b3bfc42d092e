"""Putting a metadata file back as it was: bytes, mode, owner and times, never half, never over a newer one.

`restore` uses it for a drive, `rehearse` for a sample of rows in a folder of its own, so that what is
rehearsed is what will be done.
"""

from __future__ import annotations

import hashlib
import os
import stat
import uuid
from dataclasses import dataclass

from dualtrack.engine import files
from dualtrack.engine.cleanup import records
from dualtrack.engine.metafile import MAX_META_SIZE
from dualtrack.engine.owner_api import OwnerApi
from dualtrack.engine.rows import Row
from dualtrack.engine.stores.protocol import Place
from dualtrack.errors import DifferenceError

STAGING = ".dualtrack/tmp"
CUT_OFF = ".dualtrack/undo/cut-off"
"""Files that somebody wrote while an exchange was cut off. They have no other name; nothing removes them."""
_EXCHANGED = "exchange-"


@dataclass(frozen=True, slots=True)
class Staged:
    """A file that is whole and durable at `path`, and is still to be renamed to where it belongs."""

    row: Row
    path: str

    @property
    def place(self) -> Place:
        return self.row.bucket, self.row.key


class Writer:
    """Stages files and puts them in place, a batch at a time: every step of a batch is flushed together."""

    def __init__(self, root: str, owner: OwnerApi | None = None) -> None:
        """`owner` knows the directories that cleanup has removed."""
        self._root = root
        self._owner = owner
        self._staging = f"{root}/{STAGING}"

    def stage(self, rows: list[Row]) -> list[Staged]:
        files.ensure_directory(self._staging)
        staged = [Staged(row, f"{self._staging}/restore-{uuid.uuid4()}") for row in rows]
        for each in staged:
            row = each.row
            files.write_new(
                each.path,
                row.data,
                mode=row.mode,
                owner=(row.uid, row.gid),
                times=(row.mtime_ns, row.mtime_ns),
                sync=False,
            )
        for each in staged:
            files.sync_file(each.path)
        return staged

    def place(self, staged: list[Staged], below: str = "", *, over: bool = True) -> None:
        """Rename each to its object's directory below `below` of the drive, and flush what was changed.

        Not `over`: a file that came into the place meanwhile stays, and `DifferenceError` names it.
        """
        changed: set[str] = set()
        for each in staged:
            target = f"{below}{each.row.path}"
            self._ensure(os.path.dirname(target), changed)
            if over:
                files.rename(each.path, f"{self._root}/{target}")
            else:
                _rename_to_free(each, f"{self._root}/{target}")
            changed.add(os.path.dirname(target))
        for path in changed:
            files.sync_directory(f"{self._root}/{path}")

    def replace(self, staged: Staged, kept: str) -> None:
        """Put it in the place of the very file that has `kept` as its second name. If another came there
        meanwhile that one stays, and `DifferenceError` names it.
        """
        target = f"{self._root}/{staged.row.path}"
        announced = self._announce(staged)
        try:
            files.exchange(announced, target)
        except FileNotFoundError as error:
            self._discard_exchanged(announced)
            raise _gone(staged) from error
        except OSError as error:
            if error.errno not in files.NO_SUCH_RENAME:
                raise
            self._rename_over(staged, announced, kept)
        else:
            if not os.path.samefile(announced, kept):
                files.exchange(announced, target)
                raise _taken(staged, self._discard_exchanged(announced))
            files.unlink(announced)
        files.sync_directory(os.path.dirname(target))

    def _announce(self, staged: Staged) -> str:
        """Cut off between the two exchanges, the staged name is the only one of somebody else's file. So it
        says beforehand, durably, that it is exchanged and what was staged: see `discard_staged`.
        """
        path = f"{self._staging}/{_EXCHANGED}{uuid.uuid4()}.{_digest(staged.row.data)}"
        files.rename(staged.path, path)
        files.sync_directory(self._staging)
        return path

    def _rename_over(self, staged: Staged, announced: str, kept: str) -> None:
        """Where the file system cannot exchange: whoever writes between this look and the rename is not seen.
        A drive that was copied there must be restored all the same; see `renaming.require_exchange`.
        """
        target = f"{self._root}/{staged.row.path}"
        try:
            if not os.path.samefile(target, kept):
                raise _taken(staged, self._discard_exchanged(announced))
        except FileNotFoundError as error:
            self._discard_exchanged(announced)
            raise _gone(staged) from error
        files.rename(announced, target)

    def discard_staged(self) -> list[str]:
        """Remove what an earlier run staged and did not put in place. What is not proven to be elsewhere is
        moved to `CUT_OFF` and returned by its path below the drive.
        """
        kept: list[str] = []
        files.ensure_directory(self._staging)
        for name in sorted(os.listdir(self._staging)):
            if name.startswith("restore-"):
                files.unlink(f"{self._staging}/{name}", missing_ok=True)
            elif name.startswith(_EXCHANGED):
                kept += self._discard_exchanged(f"{self._staging}/{name}")
        return kept

    def _discard_exchanged(self, path: str) -> list[str]:
        if _is_elsewhere(path):
            files.unlink(path)
            return []
        kept = f"{CUT_OFF}/{os.path.basename(path)}"
        files.ensure_directory(f"{self._root}/{CUT_OFF}")
        files.move_to_free(path, f"{self._root}/{kept}")
        files.sync_directory(f"{self._root}/{CUT_OFF}")
        return [kept]

    def _ensure(self, path: str, changed: set[str]) -> None:
        """Make a directory and what is missing above it, as cleanup found them or like their parents."""
        if os.path.isdir(f"{self._root}/{path}"):
            return
        parent = os.path.dirname(path)
        self._ensure(parent, changed)
        absolute = f"{self._root}/{path}"
        try:
            os.mkdir(absolute)
        except FileExistsError:
            return  # a data plane made it meanwhile
        known = records.directory_record(self._owner, path) if self._owner else None
        like = os.stat(f"{self._root}/{parent or '.'}")
        mode, uid, gid = (
            (known.mode, known.uid, known.gid)
            if known
            else (
                like.st_mode & 0o7777,
                like.st_uid,
                like.st_gid,
            )
        )
        if (uid, gid) != (os.geteuid(), os.getegid()):
            os.chown(absolute, uid, gid)
        os.chmod(absolute, mode)
        changed.update((path, parent))


def kept_of_exchange(kept: list[str]) -> str:
    """What to tell of the files that `discard_staged` has kept."""
    return (
        f"somebody wrote files while an earlier run was cut off; they are kept: {', '.join(kept)}; find out "
        "who writes to this drive and which objects they are of, before you remove any"
    )


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def _is_elsewhere(path: str) -> bool:
    """Whether a file has another name, as one has that was put aside, or is what was staged from a row."""
    status = os.lstat(path)
    if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
        return True
    try:
        data, _ = files.read_regular(path, MAX_META_SIZE)
    except OSError:
        return False
    return _digest(data) == path.rpartition(".")[2]


def _rename_to_free(staged: Staged, target: str) -> None:
    try:
        files.move_to_free(staged.path, target)
    except FileExistsError as error:
        files.unlink(staged.path)
        raise _taken(staged, []) from error


def _gone(staged: Staged) -> DifferenceError:
    return DifferenceError(
        f"{staged.row.bucket}/{staged.row.key}: the file in its place went away meanwhile, and none was put "
        "there; find out who writes to this drive, then run this again"
    )


def _taken(staged: Staged, kept: list[str]) -> DifferenceError:
    also = f", and another is kept as {kept[0]}" if kept else ""
    return DifferenceError(
        f"{staged.row.bucket}/{staged.row.key}: a file came into its place meanwhile, and was left{also}; "
        "find out who writes to this drive, then run this again"
    )
