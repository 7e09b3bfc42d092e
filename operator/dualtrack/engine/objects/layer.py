"""The object layer: buckets and objects over one drive, in whichever mode the data plane runs.

This module only joins the parts: names are checked at the door, a bucket's gate is held through each write,
an object's stripe through each read-modify-write (in `writes`), and the plane of the mode decides where
metadata live. Everything is synchronous and may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dualtrack.engine import marker as markers
from dualtrack.engine.drive import Drive
from dualtrack.engine.formats import changes
from dualtrack.engine.mode import Engine, Mode
from dualtrack.engine.objects import listing
from dualtrack.engine.objects.acknowledgement import acknowledgement
from dualtrack.engine.objects.buckets import Buckets
from dualtrack.engine.objects.documents import Track, meta_user
from dualtrack.engine.objects.errors import BucketNotEmpty, MethodNotAllowed, UnknownContent
from dualtrack.engine.objects.gates import Gates
from dualtrack.engine.objects.instant import KnownContent
from dualtrack.engine.objects.keeping import Keeping
from dualtrack.engine.objects.multipart import Uploads
from dualtrack.engine.objects.names import check_key
from dualtrack.engine.objects.opening import Opened
from dualtrack.engine.objects.plane import Wanted
from dualtrack.engine.objects.reads import Reader
from dualtrack.engine.objects.references import HASH_KEY
from dualtrack.engine.objects.staging import stage
from dualtrack.engine.objects.system_volume import SystemVolume
from dualtrack.engine.objects.types import (
    SEPARATE_FROM,
    Attributes,
    Bucket,
    Check,
    Content,
    CopiedSource,
    Deleted,
    Meter,
    Page,
    Part,
    PartPage,
    Settings,
    Source,
    Span,
    Stored,
    Upload,
    UploadPage,
    Versioning,
    VersionPage,
    Written,
)
from dualtrack.engine.objects.upload_pages import part_page, upload_page
from dualtrack.engine.objects.writes import Changes
from dualtrack.errors import DriveError


class ObjectLayer:
    """See `api.ObjectApi` for what the methods promise."""

    def __init__(self, opened: Opened, settings: Settings) -> None:
        self.opened = opened
        self._plane = opened.plane
        self._settings = settings
        self._gates = Gates()
        kv = opened.kv if opened.mode.ratio > 0 else None
        self._buckets = Buckets(opened.drive, SystemVolume(opened.fs, opened.drive.system_volume, kv))
        self._reader = Reader(self._plane, lambda bucket: bool(self._buckets.versioning(bucket)))
        self._changes = Changes(self._plane, opened.locked, self._buckets.versioning)
        self._known: KnownContent | None = None
        if settings.instant and opened.kv is not None and opened.mode.engine is not Engine.FS:
            self._known = KnownContent(opened.kv, self._plane, opened.locked, opened.meter)
        self._uploads = Uploads(opened.fs, self._changes)
        self.keeping = Keeping(opened, settings)
        try:
            self.keeping.start()
        except BaseException:
            opened.close()
            raise

    @classmethod
    def open(cls, drive_path: str, mode: Mode, settings: Settings, metrics: Meter) -> ObjectLayer:
        """Open a drive. `MarkerError` where the drive does not allow the mode, `StoreError` where the mode
        needs a store that cannot be had, `DriveError` where the drive is none or one of several."""
        drive = Drive.open(drive_path)
        if drive.drive_count != 1:
            raise DriveError(
                f"{drive_path}: this server serves a drive that is alone in its deployment; "
                f"format.json names {drive.drive_count} drives"
            )
        marker = markers.read(drive.path)
        mode.check(marker)
        return cls(Opened(drive, mode, marker, settings, metrics), settings)

    # -- buckets -----------------------------------------------------------------------------------------

    def list_buckets(self) -> list[Bucket]:
        return self._buckets.list()

    def bucket(self, name: str) -> Bucket:
        return self._buckets.get(name)

    def create_bucket(self, name: str) -> None:
        self._buckets.create(name)

    def delete_bucket(self, name: str) -> None:
        with self._gates.alone(name):
            self._buckets.get(name)
            cursor = self._plane.versions(Wanted(name, "", "", 1, False))
            try:
                occupied = cursor.next() is not None
            finally:
                cursor.close()
            if not occupied:
                self._plane.clear_leftovers(name)
            if occupied or not self._buckets.remove(name):
                raise BucketNotEmpty(f"bucket {name} is not empty", name)
            self._uploads.abort_all(name)

    def versioning(self, name: str) -> Versioning:
        return self._buckets.versioning(name)

    def set_versioning(self, name: str, state: Versioning) -> None:
        self._buckets.set_versioning(name, state)

    # -- objects -----------------------------------------------------------------------------------------

    def put(
        self, bucket: str, key: str, source: Source, attributes: Attributes, check: Check | None = None
    ) -> Written:
        check_key(bucket, key)
        named = self._known is not None
        body = stage(source, self._inline_limit(bucket, key), self.opened.fs.trash.new_staging, named=named)
        try:
            with self._gates.writing(bucket):
                self._buckets.get(bucket)
                parts = [changes.Part(1, body.size, body.size)]
                stored = meta_user(attributes, body.md5.hex())
                system = {HASH_KEY: body.blake3.hex().encode()} if named else {}
                return self._changes.put(bucket, key, body, parts, stored, system, check)
        finally:
            body.discard()

    def put_known(
        self, bucket: str, key: str, content: Content, attributes: Attributes, check: Check | None = None
    ) -> Written:
        check_key(bucket, key)
        if self._known is None:
            raise UnknownContent("no content is known here (instant upload is off); upload it", bucket, key)
        with self._gates.writing(bucket):
            self._buckets.get(bucket)
            found = self._known.take(content, bucket, key, self._inline_limit(bucket, key))
            try:
                parts = [changes.Part(1, content.size, content.size)]
                stored, system = meta_user(attributes, found.etag), {HASH_KEY: content.blake3.encode()}
                return self._changes.put(bucket, key, found.body, parts, stored, system, check)
            finally:
                found.body.discard()

    def _inline_limit(self, bucket: str, key: str) -> int:
        """Of a versioned object the content of every version would lie in the metadata, so it is less."""
        limit = min(self._settings.inline_limit, SEPARATE_FROM - 1)
        return limit // 8 if self._changes.state(bucket, key) == "Enabled" else limit

    def stat(self, bucket: str, key: str, version_id: str | None = None) -> Stored:
        check_key(bucket, key)
        return self._reader.stat(bucket, key, version_id)

    def read(
        self, bucket: str, key: str, version_id: str | None = None, span: Span | None = None
    ) -> tuple[Stored, Iterator[bytes]]:
        check_key(bucket, key)
        return self._reader.read(bucket, key, version_id, span)

    def delete(
        self, bucket: str, key: str, version_id: str | None = None, *, bypass_governance: bool = False
    ) -> Deleted:
        check_key(bucket, key)
        with self._gates.writing(bucket):
            self._buckets.get(bucket)
            return self._changes.delete(bucket, key, version_id, bypass_governance=bypass_governance)

    def copy(
        self,
        source_bucket: str,
        source_key: str,
        source_version: str | None,
        bucket: str,
        key: str,
        attributes: Attributes | None,
        check: Check | None = None,
    ) -> Written:
        stored, content = self.read(source_bucket, source_key, source_version)
        kept = attributes or Attributes(_kept_headers(stored.headers), stored.user, stored.tags)
        return self.put(bucket, key, CopiedSource(content), kept, check)

    def tags(self, bucket: str, key: str, version_id: str | None = None) -> tuple[Stored, Mapping[str, str]]:
        stored = self.stat(bucket, key, version_id)
        if stored.delete_marker:
            raise MethodNotAllowed(f"version {version_id} is a delete marker", bucket, key, version_id)
        return stored, stored.tags

    def set_tags(
        self, bucket: str, key: str, version_id: str | None, tags: Mapping[str, str] | None
    ) -> Stored:
        check_key(bucket, key)
        with self._gates.writing(bucket):
            return self._changes.set_tags(bucket, key, version_id, tags)

    def list_objects(self, bucket: str, prefix: str, delimiter: str, after: str, limit: int) -> Page:
        self._buckets.get(bucket)
        return listing.list_objects(self._plane, bucket, prefix, delimiter, after, limit)

    def list_versions(
        self, bucket: str, prefix: str, delimiter: str, key_marker: str, version_marker: str, limit: int
    ) -> VersionPage:
        self._buckets.get(bucket)
        return listing.list_versions(
            self._plane, bucket, prefix, delimiter, key_marker, version_marker, limit
        )

    # -- multipart ---------------------------------------------------------------------------------------

    def create_upload(self, bucket: str, key: str, attributes: Attributes) -> Upload:
        check_key(bucket, key)
        with self._gates.writing(bucket):
            self._buckets.get(bucket)
            return self._uploads.create(bucket, key, attributes)

    def put_part(self, bucket: str, key: str, upload_id: str, number: int, source: Source) -> Part:
        return self._uploads.put_part(bucket, key, upload_id, number, source)

    def list_parts(self, bucket: str, key: str, upload_id: str, after: int, limit: int) -> PartPage:
        upload = self._uploads.get(bucket, key, upload_id)
        return part_page(upload, self._uploads.parts(upload_id), after, limit)

    def list_uploads(
        self, bucket: str, prefix: str, delimiter: str, key_marker: str, upload_marker: str, limit: int
    ) -> UploadPage:
        self._buckets.get(bucket)
        return upload_page(self._uploads.all(bucket), prefix, delimiter, key_marker, upload_marker, limit)

    def complete_upload(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        parts: Sequence[tuple[int, str]],
        check: Check | None = None,
    ) -> Written:
        with self._gates.writing(bucket):
            self._buckets.get(bucket)
            return self._uploads.complete(bucket, key, upload_id, parts, check)

    def abort_upload(self, bucket: str, key: str, upload_id: str) -> None:
        self._uploads.abort(bucket, key, upload_id)

    # -- the process -------------------------------------------------------------------------------------

    def acknowledgement(self) -> Mapping[str, object]:
        return acknowledgement(self.opened, self.keeping.degraded)

    def track(self, bucket: str, key: str) -> Track:
        return self._plane.track(bucket, key)

    def drain(self) -> int:
        """Settle what is dirty now; how many keys that were."""
        return self.keeping.drain.step() if self.keeping.drain is not None else 0

    def close(self) -> None:
        self.keeping.close()
        self.opened.close()


def _kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """What a copy takes over: retention and legal hold belong to the version, not to its content."""
    return {name: value for name, value in headers.items() if not name.startswith("x-amz-object-lock-")}
