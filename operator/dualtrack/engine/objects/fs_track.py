"""The file-system track: one object's `xl.meta` and data directories, as MinIO lays them on a single drive.

Everything is staged in `.dualtrack/tmp`, flushed, renamed and made durable in its directory, in that order,
so that a crash leaves the old state or the new one. Directories that had to be made are flushed in their
parents before anything inside them is acknowledged. Somebody may remove an emptied parent between our
`mkdir` and our `rename` (another delete, cleanup): both are tried again. Bucket directories are never made
here and never removed here.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import uuid
from collections.abc import Callable
from typing import TypeVar

from dualtrack.engine import files, naming
from dualtrack.engine.formats.legacy import v1
from dualtrack.engine.listing import links_count_subdirectories
from dualtrack.engine.marker import CONTROL
from dualtrack.engine.metafile import MetaFile, MetaReader, Unreadable
from dualtrack.engine.objects.errors import InvalidKey, NoSuchBucket, StorageFull, Unavailable
from dualtrack.engine.objects.trash import Trash, remove_tree
from dualtrack.engine.rows import Fingerprint

_RETRIES = 1000
_T = TypeVar("_T")


class FsTrack:
    def __init__(self, drive: str) -> None:
        self.drive = drive
        self.trash = Trash(os.path.join(drive, CONTROL, "tmp"))
        self.counts_links = False
        self._reader = MetaReader()
        self._making = threading.Lock()
        self._counting = threading.Lock()
        self._makers = 0

    def open(self) -> None:
        """Prepare the staging area and find out whether directories count their subdirectories as links."""
        self.trash.open()
        self.counts_links = links_count_subdirectories(self.drive)

    def object_directory(self, bucket: str, key: str) -> str:
        return f"{self.drive}/{naming.object_directory(bucket, key)}"

    def data_directory(self, bucket: str, key: str, data_dir: bytes) -> str:
        return os.path.join(self.object_directory(bucket, key), str(uuid.UUID(bytes=data_dir)))

    def read(self, bucket: str, key: str) -> MetaFile | None:
        """The object's metadata file, or None if there is none. `Unavailable` if the drive does not say."""
        found = self._reader.read_object(naming.raw(self.object_directory(bucket, key)))
        if isinstance(found, Unreadable):
            raise Unavailable(f"{bucket}/{key}: its metadata {found.message}", bucket, key)
        return found

    def status(self, bucket: str, key: str) -> os.stat_result | None:
        """That of the object's `xl.meta`; None if there is no such file."""
        try:
            found = os.stat(self._meta_path(bucket, key), follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise unavailable(error, bucket, key) from error
        return found if stat.S_ISREG(found.st_mode) else None

    def sync(self, bucket: str, key: str) -> None:
        """Make durable what was renamed into the object's directory, or out of it."""
        self.guarded(lambda: files.sync_remaining(self.object_directory(bucket, key)), bucket, key)

    def _meta_path(self, bucket: str, key: str) -> bytes:
        return naming.raw(f"{self.drive}/{naming.meta_path(bucket, key)}")

    def stage_meta(self, data: bytes) -> str:
        """A durable file with these bytes in the staging area."""
        path = self.trash.new_staging()
        files.write_new(path, data)
        return path

    def commit_meta(self, bucket: str, key: str, staged: str) -> os.stat_result:
        """Give the staged file the object's name; durable on return. Answers the file's status after it."""
        directory = self.object_directory(bucket, key)
        target = os.path.join(directory, naming.META_FILE)

        def move() -> os.stat_result:
            self._ensure(bucket, directory)
            files.rename(staged, target)
            return os.stat(target, follow_symlinks=False)

        status = self._retried(move, bucket, key)
        files.sync_directory(directory)
        return status

    def write(self, bucket: str, key: str, data: bytes) -> MetaFile:
        """Replace the object's `xl.meta` durably."""
        staged = self.guarded(lambda: self.stage_meta(data), bucket, key)
        try:
            return meta_file(data, self.commit_meta(bucket, key, staged))
        except BaseException:
            self.discard_staged(staged)
            raise

    def discard_staged(self, path: str) -> None:
        """Remove what was staged and will not be committed; gone already is fine."""
        remove_tree(path)

    def commit_data(self, bucket: str, key: str, staged: str, data_dir: bytes) -> None:
        """Move a staged data directory, its files already durable, under the object; durable on return."""
        directory = self.object_directory(bucket, key)
        target = self.data_directory(bucket, key, data_dir)

        def move() -> None:
            self._ensure(bucket, directory)
            if os.path.isdir(target) and not os.path.exists(staged):
                return  # an earlier attempt of the same commit came this far
            files.rename(staged, target)

        try:
            files.sync_directory(staged)
        except FileNotFoundError:
            pass  # an earlier attempt of the same commit came this far, or the move will tell
        except OSError as error:
            raise unavailable(error, bucket, key) from error
        self._retried(move, bucket, key)
        files.sync_directory(directory)

    def withdraw_data(self, bucket: str, key: str, staged: str, data_dir: bytes) -> None:
        """Take back what `commit_data` moved, for an object that was refused after all."""
        target = self.data_directory(bucket, key, data_dir)
        self.guarded(lambda: files.rename(target, staged), bucket, key)
        self.prune(bucket, key)

    def remove(self, bucket: str, key: str) -> None:
        """Take the `xl.meta` away durably, with an `xl.json` that it hid and the parts of that."""
        if self.status(bucket, key) is None:
            return
        directory = self.object_directory(bucket, key)
        # The hidden one first: cut off behind it, the object is still there, and not the older one again.
        hidden = self._take_away(os.path.join(directory, naming.LEGACY_FILE), bucket, key)
        if hidden:
            self.sync(bucket, key)
        gone = self._take_away(os.path.join(directory, naming.META_FILE), bucket, key)
        if gone:
            self.sync(bucket, key)
        if hidden:
            self.trash.take_parts(directory)
        for path in filter(None, (hidden, gone)):
            files.unlink(path, missing_ok=True)

    def _take_away(self, path: str, bucket: str, key: str) -> str | None:
        """Where the file was moved to; None where there is none."""
        moved = self.trash.new_trash()
        try:
            files.rename(path, moved)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise unavailable(error, bucket, key) from error
        return moved

    def discard_data(self, bucket: str, key: str, data_dir: bytes) -> None:
        """Remove a data directory that no version names any more."""
        self.trash.take(self.data_directory(bucket, key, data_dir))

    def discard_legacy(self, bucket: str, key: str) -> None:
        """Remove the content of a version from before versions that is there no more."""
        self.trash.take(os.path.join(self.object_directory(bucket, key), v1.DATA_DIRECTORY))

    def prune(self, bucket: str, key: str) -> None:
        """Remove the object's directory and its parents as far as they are empty, never the bucket's."""
        root = os.path.join(self.drive, bucket)
        directory = self.object_directory(bucket, key)
        while len(directory) > len(root):
            try:
                if not files.remove_directory(directory) and os.path.exists(directory):
                    return
            except OSError:
                return  # an empty directory that stays is no harm
            directory = os.path.dirname(directory)

    def guarded(self, action: Callable[[], _T], bucket: str, key: str) -> _T:
        """Run one file operation and raise its failure as an S3 condition."""
        try:
            return action()
        except OSError as error:
            raise unavailable(error, bucket, key) from error

    def _retried(self, move: Callable[[], _T], bucket: str, key: str) -> _T:
        for _ in range(_RETRIES):
            try:
                return move()
            except FileNotFoundError:
                continue
            except (NotADirectoryError, FileExistsError, IsADirectoryError) as error:
                raise InvalidKey(
                    f"key {key!r}: a file of another object stands where it needs a directory", bucket, key
                ) from error
            except OSError as error:
                raise unavailable(error, bucket, key) from error
        raise Unavailable(f"{bucket}/{key}: its directories were removed {_RETRIES} times", bucket, key)

    def _ensure(self, bucket: str, directory: str) -> None:
        """Make the directory and its parents below the bucket; those made are durable on return.

        While somebody else is making directories an existing one may not be durable yet, so we wait for them.
        """
        if not self._has_bucket(bucket):
            raise NoSuchBucket(f"there is no bucket {bucket!r}", bucket)
        if os.path.isdir(directory) and not self._makers:
            return
        self._count_maker(1)
        try:
            with self._making:
                files.ensure_directory(directory)
        finally:
            self._count_maker(-1)

    def _has_bucket(self, bucket: str) -> bool:
        """OSError where the drive does not say: a client must not be told that its bucket is gone."""
        try:
            return stat.S_ISDIR(os.stat(os.path.join(self.drive, bucket)).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _count_maker(self, change: int) -> None:
        with self._counting:
            self._makers += change


def unavailable(error: OSError, bucket: str, key: str) -> Unavailable | StorageFull | InvalidKey:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(f"{bucket}/{key}: the drive is full; free space or add inodes", bucket, key)
    if error.errno == errno.ENAMETOOLONG:
        return InvalidKey(f"key {key!r}: too long for the drive", bucket, key)
    return Unavailable(f"{bucket}/{key}: the drive answers {error.strerror or error}", bucket, key)


def meta_file(data: bytes, status: os.stat_result) -> MetaFile:
    return MetaFile(Fingerprint.of(status), stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, data)
