"""What a file system can do beyond a plain rename, tried before anybody relies on it.

To move without ever replacing, and to exchange two names, are flags of `renameat2` that a file system may not
know: NFS and most of FUSE know neither, CIFS and older ZFS not the exchange. The kernel looks names up before
it asks the file system, so only real files tell. The two that are tried with are removed again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dualtrack.engine import files
from dualtrack.engine.marker import control_directory
from dualtrack.errors import RefusedError


def require_exclusive(drive: str, verb: str) -> None:
    """`RefusedError` where a file of the drive cannot be moved aside in one step. The caller has its lock."""
    if not moves_to_free(f"{control_directory(drive)}/rename-probe"):
        raise RefusedError(
            f"the file system of {drive} cannot move a file without risking to replace another (renameat2 "
            f"with RENAME_NOREPLACE, which NFS and most of FUSE do not know), so {verb} cannot be done here "
            "and nothing was changed: copy the drive to ext4, XFS or btrfs, mount it in this place, then "
            "migrate, verify and run this again"
        )


def require_exchange(drive: str, verb: str) -> None:
    """`RefusedError` where two files of the drive cannot change places. The caller has its lock."""
    if not exchanges(f"{control_directory(drive)}/rename-probe"):
        raise RefusedError(
            f"the file system of {drive} cannot exchange two files in one step (renameat2 with "
            f"RENAME_EXCHANGE), so {verb} might lose what a server writes at that moment, and nothing was "
            "changed: write or delete the object through its server, or copy the drive to ext4, XFS or "
            "btrfs, mount it in this place and run this again"
        )


def moves_to_free(prefix: str) -> bool:
    """Whether `files.rename_exclusive` works in the directory of `prefix`, with which both names begin."""
    with _probe(prefix) as (one, other):
        return _works(lambda: files.rename_exclusive(one, other))


def exchanges(prefix: str) -> bool:
    """Whether `files.exchange` does."""
    with _probe(prefix) as (one, other):
        files.write_new(other, b"", sync=False)
        return _works(lambda: files.exchange(one, other))


@contextmanager
def _probe(prefix: str) -> Iterator[tuple[str, str]]:
    """A file, and a name for another. What a killed run has left of them goes, too."""
    names = (f"{prefix}.one", f"{prefix}.other")
    try:
        for name in names:
            files.unlink(name, missing_ok=True)
        files.write_new(names[0], b"", sync=False)
        yield names
    finally:
        for name in names:
            files.unlink(name, missing_ok=True)


def _works(rename: Callable[[], None]) -> bool:
    try:
        rename()
    except OSError as error:
        if error.errno not in files.NO_SUCH_RENAME:
            raise
        return False
    return True
