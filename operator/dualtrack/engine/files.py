"""The one module of the engine and the gateway that names, renames and removes files.

Everything that can lose data on a drive goes through these few functions, so that a reader can check them all
at once and a test can assert that nobody else imports the primitives. What they promise:

- `write_atomic`: after it returns, the name holds the new bytes, also after a power cut; before, the old
  ones.
- `rename`, `unlink`, `remove_directory` do one system call; durability is the caller's, by `sync_directory`,
  so that a batch pays for one flush.
- `remove_directory` is `rmdir`: it never removes anything that is not empty.
- What root makes here belongs to whoever has the directory that it is made in (`adopt`), unless its owner was
  given: a first run as root must not lock out the Jobs and servers that come after it.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import secrets
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
_AT_FDCWD = -100
_FALLOC_KEEP_SIZE = 1
NO_SUCH_RENAME = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
"""What `rename_exclusive` and `exchange` fail with where the file system does not know them."""
_NO_OWNERS = {errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
# Of this process: to find it by name would run a program at every start.
_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def directory(path: str | bytes) -> Iterator[int]:
    """A descriptor of a directory, never through a symbolic link at its last step."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def sync_directory(path: str | bytes) -> None:
    """Make the names in a directory durable."""
    with directory(path) as descriptor:
        os.fsync(descriptor)


def sync_remaining(path: str) -> None:
    """Make a removal from the directory `path` durable, or its own: once empty, somebody may have removed it,
    and what lies above it tells of that.
    """
    while True:
        try:
            sync_directory(path)
        except FileNotFoundError:
            path = _parent(path)
        else:
            return


def ensure_directory(path: str, mode: int = 0o755) -> None:
    """Create `path` and its missing parents, each made durable in its parent."""
    if os.path.isdir(path):
        return
    parent = _parent(path)
    ensure_directory(parent, mode)
    with suppress(FileExistsError):
        os.mkdir(path, mode)
        with directory(path) as descriptor:
            adopt(descriptor, parent)
    sync_directory(parent)


def adopt(made: int | str, parent: str | bytes) -> None:
    """Give what root made (a descriptor, or the name of a socket) the owner and group of its `parent`, and
    its group the rights of its owner where the parent's group may write (a volume with an `fsGroup`).

    Never a file with two names, nor one of somebody else: it may have been put in our way. Where root may not
    do this either (no CAP_CHOWN, an owner whom our user namespace does not know, a file system without
    owners), it stays root's.
    """
    found = os.fstat(made) if isinstance(made, int) else os.lstat(made)
    if os.geteuid() != 0 or found.st_uid != 0 or (stat.S_ISREG(found.st_mode) and found.st_nlink != 1):
        return
    above = os.stat(parent)
    if (above.st_uid, above.st_gid) == (0, 0):
        return
    try:
        if (found.st_uid, found.st_gid) != (above.st_uid, above.st_gid):
            os.chown(made, above.st_uid, above.st_gid, follow_symlinks=isinstance(made, int))
        if isinstance(made, int) and above.st_mode & stat.S_IWGRP:
            mode = stat.S_IMODE(found.st_mode)
            os.fchmod(made, mode | (mode & stat.S_IRWXU) >> 3)
    except OSError as error:
        if error.errno not in _NO_OWNERS:
            raise


def make_empty(path: str, mode: int) -> None:
    """Have a file for a library that would make it as whoever we are; one that is there is left alone, and
    where none can be made the library will tell."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            adopt(descriptor, _parent(path))
        finally:
            os.close(descriptor)


def _parent(path: str) -> str:
    return os.path.dirname(os.path.abspath(path))


def write_all(descriptor: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def write_new(
    path: str,
    data: bytes,
    *,
    mode: int = 0o644,
    owner: tuple[int, int] | None = None,
    times: tuple[int, int] | None = None,
    sync: bool = True,
) -> None:
    """Create `path` (it must not exist) with exactly these bytes, mode, owner and times, and flush it.

    Without an `owner` it is ours, or as `adopt` says.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        write_all(descriptor, data)
        if owner is not None and owner != (os.fstat(descriptor).st_uid, os.fstat(descriptor).st_gid):
            os.fchown(descriptor, *owner)
        os.fchmod(descriptor, mode)
        if owner is None:
            adopt(descriptor, _parent(path))
        if times is not None:
            os.utime(descriptor, ns=times)
        if sync:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(
    path: str,
    data: bytes,
    *,
    mode: int = 0o644,
    owner: tuple[int, int] | None = None,
    times: tuple[int, int] | None = None,
) -> None:
    """Replace `path` by `data`: temporary file, fsync, rename, fsync of the directory."""
    parent = _parent(path)
    temporary = os.path.join(parent, f".{os.path.basename(path)}.{secrets.token_hex(8)}.tmp")
    try:
        write_new(temporary, data, mode=mode, owner=owner, times=times)
        os.rename(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_directory(parent)


def discard_temporaries(path: str) -> None:
    """Remove what a killed `write_atomic` of `path` has left beside it. Nobody else may be writing it."""
    parent, name = os.path.split(os.path.abspath(path))
    leftover = re.compile(rf"\.{re.escape(name)}\.[0-9a-f]{{16}}\.tmp")
    for found in os.listdir(parent):
        if leftover.fullmatch(found):
            os.unlink(os.path.join(parent, found))


def sync_file(path: str | bytes) -> None:
    """Make a file's bytes, mode, owner and times durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file_system(path: str) -> None:
    """Flush the file system that holds `path`: one call where a flush a directory would be thousands."""
    with directory(path) as descriptor:
        if _libc.syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), path)


def drop_cached(path: str | bytes) -> None:
    """Ask the kernel to forget a flushed file's pages, so that the next read comes from the device."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def rename(source: str | bytes, target: str | bytes) -> None:
    """Move, replacing `target`. Not durable before `sync_directory` of both directories."""
    os.rename(source, target)


def rename_exclusive(source: str, target: str) -> None:
    """Move, but never over an existing name (`FileExistsError`)."""
    _renameat2(source, target, _RENAME_NOREPLACE)


def move_to_free(source: str, target: str) -> None:
    """As `rename_exclusive`, for a file, also where the file system cannot do that in one step (NFS, many of
    FUSE): a drive that was copied there must still be restored. Cut off in between, it has both names.
    """
    try:
        rename_exclusive(source, target)
    except OSError as error:
        if error.errno not in NO_SUCH_RENAME:
            raise
        link(source, target)
        unlink(source)


def exchange(one: str, other: str) -> None:
    """Two names change places at once: at every moment each of them is there."""
    _renameat2(one, other, _RENAME_EXCHANGE)


def _renameat2(source: str, target: str, flags: int) -> None:
    result = _libc.renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), flags)
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), source, None, target)


def link(source: str | bytes, target: str | bytes) -> None:
    """A second name for the same file; fails where `target` exists."""
    os.link(source, target, follow_symlinks=False)


def unlink(path: str | bytes, *, missing_ok: bool = False) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        if not missing_ok:
            raise


def remove_directory(path: str | bytes) -> bool:
    """Remove an empty directory. False if it is not empty or already gone; other errors are raised."""
    try:
        os.rmdir(path)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            return False
        raise
    return True


def read_regular(path: str | bytes, limit: int) -> tuple[bytes, os.stat_result]:
    """Bytes and status of one opened regular file, never through a symbolic link, never more than `limit`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        if status.st_size > limit:
            raise OSError(errno.EFBIG, f"larger than {limit} bytes", path)
        pieces = []
        left = limit + 1
        while left and (piece := os.read(descriptor, min(left, 1 << 20))):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces), status
    finally:
        os.close(descriptor)


def lock_file(path: str, *, shared: bool = False) -> int | None:
    """An exclusive `flock` on `path` (created if missing), or one for readers; None if somebody else holds
    it. Close to release.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        adopt(descriptor, _parent(path))
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_log(path: str) -> int:
    """A file that only grows, its name durable. Close to release its claims."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        # Also where it is not new: whoever made it may have been killed before this.
        adopt(descriptor, _parent(path))
        sync_directory(_parent(path))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def exclusively(descriptor: int) -> Iterator[None]:
    """`flock` for the few writes of an append; whoever else wants it waits."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def append(descriptor: int, data: bytes) -> None:
    """Write at the end of a log and flush it. Cut off, a part of `data` may be there."""
    write_all(descriptor, data)
    os.fsync(descriptor)


def sync_data(descriptor: int) -> None:
    """Make what was written through this descriptor durable, and as much of its size as is needed to read
    it.
    """
    os.fdatasync(descriptor)


def reserve(descriptor: int, size: int) -> None:
    """Have room for `size` bytes more behind the end, without changing it. OSError where there is none."""
    end = os.fstat(descriptor).st_size
    if _libc.fallocate(descriptor, _FALLOC_KEEP_SIZE, ctypes.c_long(end), ctypes.c_long(size)) != 0:
        code = ctypes.get_errno()
        if code not in (errno.EOPNOTSUPP, errno.ENOSYS):  # such a file system finds out at the write
            raise OSError(code, os.strerror(code))


def claim(descriptor: int, offset: int) -> None:
    """Lock one byte for as long as this descriptor is open. Unlike a PID, the kernel's lock on an open file
    means the same in every container, and ends with the process. OSError if somebody else has it.
    """
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _lock(fcntl.F_WRLCK, offset))


def share_claim(descriptor: int, offset: int) -> None:
    """The same beside others who share it; waits while somebody has it alone."""
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLKW, _lock(fcntl.F_RDLCK, offset))


def give_up_claim(descriptor: int, offset: int) -> None:
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _lock(fcntl.F_UNLCK, offset))


def is_claimed(descriptor: int, offset: int) -> bool:
    """Whether another open file has this byte."""
    answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _lock(fcntl.F_WRLCK, offset))
    return bool(struct.unpack_from("h", answer)[0] != fcntl.F_UNLCK)


def _lock(kind: int, offset: int) -> bytes:
    """`struct flock` of one byte."""
    return struct.pack("hhqqi0q", kind, os.SEEK_SET, offset, 1, 0)
