"""Buckets: a directory each, and their metadata in the system volume, which both servers read.

The metadata (creation, versioning, object lock …) are decoded once for each state of their file, because
every request asks for a bucket's versioning.
"""

from __future__ import annotations

import os
import stat
import threading
import time
import uuid

from dualtrack.engine import files, naming
from dualtrack.engine.drive import Drive
from dualtrack.engine.formats import bucket_metadata as formats
from dualtrack.engine.formats.bucket_metadata import BucketMetadata
from dualtrack.engine.formats.xlmeta import XlMeta
from dualtrack.engine.objects.documents import decode_meta
from dualtrack.engine.objects.errors import (
    BucketExists,
    InvalidBucketState,
    NoSuchBucket,
    Unavailable,
)
from dualtrack.engine.objects.fs_track import unavailable
from dualtrack.engine.objects.names import check_bucket, check_new_bucket
from dualtrack.engine.objects.system_volume import SystemVolume
from dualtrack.engine.objects.types import Bucket, Versioning
from dualtrack.engine.places import file_exists
from dualtrack.engine.rows import Fingerprint
from dualtrack.errors import FormatError

_STATES: dict[str, Versioning] = {"": "", "Enabled": "Enabled", "Suspended": "Suspended"}


class Buckets:
    def __init__(self, drive: Drive, system: SystemVolume) -> None:
        self._drive = drive
        self._system = system
        self._changing = threading.Lock()
        self._known: dict[str, tuple[Fingerprint, BucketMetadata]] = {}

    def list(self) -> list[Bucket]:
        return [self.get(name) for name in self._drive.buckets()]

    def get(self, name: str) -> Bucket:
        status = self._require(name)
        metadata = self.metadata(name)
        created = metadata.created_ns if metadata else 0
        return Bucket(name, created if created > 0 else status.st_mtime_ns)

    def versioning(self, name: str) -> Versioning:
        self._require(name)
        metadata = self.metadata(name)
        if metadata is None:
            return ""
        try:
            return _STATES[metadata.versioning]
        except FormatError as error:
            raise Unavailable(f"bucket {name}: {error}", name) from error

    def metadata(self, name: str) -> BucketMetadata | None:
        """The decoded metadata; None for a bucket that has none (MinIO made it before it kept any)."""
        key = formats.object_key(name)
        path = os.path.join(self._drive.path, naming.meta_path(self._system.volume, key))
        try:
            found = Fingerprint.of(os.stat(path, follow_symlinks=False))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise unavailable(error, name, "") from error
        known = self._known.get(name)
        if known is not None and known[0] == found:
            return known[1]
        return self._read(name, key)

    def _read(self, name: str, key: str) -> BucketMetadata | None:
        file = self._system.fs.read(self._system.volume, key)
        if file is None:
            return None
        try:
            metadata = formats.from_xlmeta(decode_meta(file.data, self._system.volume, key))
        except FormatError as error:
            raise Unavailable(f"bucket {name}: its metadata cannot be read ({error})", name) from error
        self._known[name] = (file.fingerprint, metadata)
        return metadata

    def create(self, name: str) -> None:
        """Metadata first, so that what an earlier bucket of the name left behind never comes back to life."""
        check_new_bucket(name)
        path = os.path.join(self._drive.path, name)
        with self._changing:
            try:
                # Unknown is not absent: what follows would replace the metadata of a bucket that is there.
                exists = file_exists(os.fsencode(path))
            except OSError as error:
                raise unavailable(error, name, "") from error
            if exists:
                raise BucketExists(f"bucket {name} exists", name)
            now = time.time_ns()
            self._save(name, formats.new_bucket(name, now), now, None)
            try:
                os.mkdir(path, 0o755)
                files.sync_directory(self._drive.path)
            except OSError as error:
                raise unavailable(error, name, "") from error

    def remove(self, name: str) -> bool:
        """Remove an empty bucket; False if its directory is not empty. The caller bars new objects."""
        root = os.path.join(self._drive.path, name)
        with self._changing:
            _remove_empty(root)
            if not files.remove_directory(root):
                return False
            files.sync_directory(self._drive.path)
            key = formats.object_key(name)
            self._system.erase(key)
            metadata = os.path.join(self._drive.path, self._system.volume, key)
            if files.remove_directory(metadata):
                files.remove_directory(os.path.dirname(metadata))
            self._known.pop(name, None)
        return True

    def set_versioning(self, name: str, state: Versioning) -> None:
        self._require(name)
        with self._changing:
            metadata = self.metadata(name)
            now = time.time_ns()
            if metadata is not None and metadata.lock_enabled and state != "Enabled":
                raise InvalidBucketState(f"bucket {name} has object lock: its versioning stays Enabled", name)
            changed = (metadata or formats.new_bucket(name, now)).with_versioning(
                formats.Versioning(state), now
            )
            self._save(name, changed, now, self._previous(name))

    def _previous(self, name: str) -> XlMeta | None:
        key = formats.object_key(name)
        file = self._system.fs.read(self._system.volume, key)
        return None if file is None else decode_meta(file.data, self._system.volume, key)

    def _save(self, name: str, metadata: BucketMetadata, now: int, previous: XlMeta | None) -> None:
        meta = formats.to_xlmeta(metadata, now, uuid.uuid4().bytes, previous)
        self._system.save(formats.object_key(name), meta)

    def _require(self, name: str) -> os.stat_result:
        check_bucket(name)
        try:
            status = os.stat(os.path.join(self._drive.path, name), follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            raise NoSuchBucket(f"there is no bucket {name}", name) from None
        except OSError as error:
            raise unavailable(error, name, "") from error
        if not stat.S_ISDIR(status.st_mode):
            raise NoSuchBucket(f"there is no bucket {name}", name)
        return status


def _remove_empty(path: str) -> None:
    """Remove the empty directories below `path`, deepest first; whatever holds a file stays."""
    try:
        children = [entry.path for entry in os.scandir(path) if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return
    for child in children:
        _remove_empty(child)
        files.remove_directory(child)
