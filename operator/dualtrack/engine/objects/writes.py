"""Put, delete and the change of tags: read the object's metadata, change it, commit it, all under its lock.

A body is staged before the lock is taken. What a commit makes superfluous (the data directory of a replaced
null version, of a deleted version) is removed after it, never before.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime

from dualtrack.engine.formats.bodies import NULL_ID, ObjectBody
from dualtrack.engine.formats.changes import (
    Part,
    add_version,
    new_delete_marker,
    new_object_version,
    remove_version,
    update_version,
)
from dualtrack.engine.formats.versions import Kind, Version
from dualtrack.engine.formats.xlmeta import XlMeta, empty, encode
from dualtrack.engine.objects import references as references_of
from dualtrack.engine.objects.documents import (
    data_directories,
    decode_meta,
    describe,
    has_legacy,
    version_bytes,
    with_tags,
)
from dualtrack.engine.objects.errors import InvalidKey, MethodNotAllowed, Undecodable
from dualtrack.engine.objects.locks import refuse_locked
from dualtrack.engine.objects.names import is_directory_object
from dualtrack.engine.objects.plane import Plane
from dualtrack.engine.objects.reads import choose
from dualtrack.engine.objects.staging import Body
from dualtrack.engine.objects.types import Check, Deleted, Stored, Versioning, Written
from dualtrack.errors import UnsupportedFormatError

Lock = Callable[[str, str], AbstractContextManager[None]]


class Changes:
    """Changes through one plane. `lock` holds an object's stripe; `versioning` is a bucket's state."""

    def __init__(self, plane: Plane, lock: Lock, versioning: Callable[[str], Versioning]) -> None:
        self._plane = plane
        self._lock = lock
        self._versioning = versioning

    def state(self, bucket: str, key: str) -> Versioning:
        """The versioning that holds for a key; directory objects have none."""
        return "" if is_directory_object(key) else self._versioning(bucket)

    def put(
        self,
        bucket: str,
        key: str,
        body: Body,
        parts: Sequence[Part],
        meta_user: Mapping[str, str],
        meta_sys: Mapping[str, bytes],
        check: Check | None,
    ) -> Written:
        """Commit a staged body as the object's new current version. If this raises, the caller still has
        what was staged, to discard it or to try again."""
        with self._lock(bucket, key), _named(bucket, key):
            return self._put(bucket, key, body, parts, meta_user, meta_sys, check)

    def committed(self, bucket: str, key: str, data_dir: bytes) -> Written | None:
        """The version that has this data directory, if an earlier attempt committed it."""
        before = self._before(bucket, key)
        for version in before.versions if before else ():
            body = version.body
            if isinstance(body, ObjectBody) and body.data_dir == data_dir:
                shown = version.version_key if self.state(bucket, key) else None
                return Written(body.meta_user.get("etag", ""), shown, body.size, version.mod_time_ns)
        return None

    def _put(
        self,
        bucket: str,
        key: str,
        body: Body,
        parts: Sequence[Part],
        meta_user: Mapping[str, str],
        meta_sys: Mapping[str, bytes],
        check: Check | None,
    ) -> Written:
        before = self._before(bucket, key)
        if check is not None:
            check(self._current(bucket, key, before))
        if before is None:
            self._plane.admit(bucket, key)
        state = self.state(bucket, key)
        version = new_object_version(
            version_id=uuid.uuid4().bytes if state == "Enabled" else NULL_ID,
            data_dir=body.data_dir,
            mod_time_ns=_now(before),
            parts=parts,
            meta_user=meta_user,
            meta_sys=meta_sys,
            inline=body.inline is not None,
        )
        after = add_version(before or empty(), version, body.inline)
        if body.inline is None:
            self._plane.fs.commit_data(bucket, key, body.directory, body.data_dir)
        try:
            self._commit(bucket, key, before, after)
        except InvalidKey:
            # Certainly not committed. After any other error the commit may have taken effect: the data stay.
            if body.inline is None:
                self._plane.fs.withdraw_data(bucket, key, body.directory, body.data_dir)
            raise
        return Written(
            meta_user["etag"], version.version_key if state else None, body.size, version.mod_time_ns
        )

    def delete(self, bucket: str, key: str, version_id: str | None, *, bypass_governance: bool) -> Deleted:
        """As S3 has it: without a version id the object is hidden where there is versioning, else removed;
        with one that version is removed. What is not there is deleted already."""
        with self._lock(bucket, key), _named(bucket, key):
            before = self._before(bucket, key)
            state = self.state(bucket, key)
            if version_id is not None:
                return self._remove(bucket, key, before, version_bytes(version_id), state, bypass_governance)
            if not state:
                self._remove(bucket, key, before, NULL_ID, state, bypass_governance)
                return Deleted(None, False)
            if before is None:
                self._plane.admit(bucket, key)
            marker = new_delete_marker(
                version_id=uuid.uuid4().bytes if state == "Enabled" else NULL_ID, mod_time_ns=_now(before)
            )
            if state == "Suspended" and before is not None:
                self._refuse_locked(bucket, key, before.find(NULL_ID), bypass_governance)
            self._commit(bucket, key, before, add_version(before or empty(), marker))
            return Deleted(marker.version_key, True)

    def _remove(
        self,
        bucket: str,
        key: str,
        before: XlMeta | None,
        version_id: bytes,
        state: Versioning,
        bypass_governance: bool,
    ) -> Deleted:
        version = None if before is None else before.find(version_id)
        shown = "null" if version_id == NULL_ID else str(uuid.UUID(bytes=version_id))
        if before is None or version is None or version.kind is Kind.FREE_VERSION:
            return Deleted(shown, False)
        self._refuse_locked(bucket, key, version, bypass_governance)
        self._commit(bucket, key, before, remove_version(before, version_id))
        return Deleted(shown, version.kind is Kind.DELETE_MARKER)

    def set_tags(
        self, bucket: str, key: str, version_id: str | None, tags: Mapping[str, str] | None
    ) -> Stored:
        """Exchange the tags of a version; its time and content stay."""
        with self._lock(bucket, key), _named(bucket, key):
            versioned = bool(self._versioning(bucket))
            track = self._plane.track(bucket, key)
            data = self._plane.change(bucket, key)
            chosen = choose(data, bucket, key, version_id, versioned=versioned, track=track)
            body = chosen.version.body
            if not isinstance(body, ObjectBody):
                raise MethodNotAllowed(
                    f"version {version_id} of {bucket}/{key} is a delete marker", bucket, key, version_id
                )
            stored = with_tags(body.meta_user, tags)
            after = update_version(chosen.meta, chosen.version.version_id, meta_user=stored)
            self._commit(bucket, key, chosen.meta, after)
            return chosen.stored

    def _before(self, bucket: str, key: str) -> XlMeta | None:
        data = self._plane.change(bucket, key)
        return None if data is None else decode_meta(data, bucket, key)

    def _current(self, bucket: str, key: str, meta: XlMeta | None) -> Stored | None:
        if meta is None or not meta.versions or not meta.versions[0].kind.is_object:
            return None
        return describe(
            bucket,
            key,
            meta.versions[0],
            latest=True,
            versioned=bool(self._versioning(bucket)),
            track=self._plane.track(bucket, key),
        )

    def _refuse_locked(self, bucket: str, key: str, version: Version | None, bypass: bool) -> None:
        if version is not None and version.kind.is_object:
            headers = describe(bucket, key, version, latest=False, versioned=True, track="fs").headers
            refuse_locked(headers, bucket, key, bypass_governance=bypass, now=datetime.now(UTC))

    def _commit(self, bucket: str, key: str, before: XlMeta | None, after: XlMeta) -> None:
        """Make `after` the object's metadata, then remove what only `before` named."""
        references = references_of.changes(bucket, key, before, after)
        if after.versions:
            self._plane.save(bucket, key, after, encode(after), references)
        else:
            self._plane.erase(bucket, key, references)
        gone = data_directories(before) - data_directories(after) if before is not None else frozenset()
        for data_dir in gone:
            self._plane.fs.discard_data(bucket, key, data_dir)
        # A key of that name may have content of its own there, from the same time.
        unused = has_legacy(before) and not has_legacy(after)
        if unused and self._plane.change(bucket, f"{key}/legacy") is None:
            self._plane.fs.discard_legacy(bucket, key)
        if not after.versions:
            self._plane.fs.prune(bucket, key)


@contextmanager
def _named(bucket: str, key: str) -> Iterator[None]:
    """A form of metadata that is only read (`formats/changes.py`) as the S3 condition that it is."""
    try:
        yield
    except UnsupportedFormatError as error:
        raise Undecodable(f"{bucket}/{key} cannot be changed here: {error}", bucket, key) from error


def _now(before: XlMeta | None) -> int:
    """A time behind every version's, so that the newest is the current one whatever the clock does."""
    now = time.time_ns()
    return max(now, before.versions[0].mod_time_ns + 1) if before is not None and before.versions else now
