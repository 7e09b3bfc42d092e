"""The object layer as its callers see it: contracts §4, as a type.

The one implementation is `layer.ObjectLayer`; a caller that is typed against `ObjectApi` can be read (and
checked by mypy) without any of the engine. All methods are synchronous and may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from dualtrack.engine.objects.types import (
    Attributes,
    Bucket,
    Check,
    Content,
    Deleted,
    Page,
    Part,
    PartPage,
    Source,
    Span,
    Stored,
    Upload,
    UploadPage,
    Versioning,
    VersionPage,
    Written,
)


class ObjectApi(Protocol):
    def list_buckets(self) -> list[Bucket]: ...

    def bucket(self, name: str) -> Bucket: ...

    def create_bucket(self, name: str) -> None: ...

    def delete_bucket(self, name: str) -> None: ...

    def versioning(self, name: str) -> Versioning: ...

    def set_versioning(self, name: str, state: Versioning) -> None: ...

    def put(
        self, bucket: str, key: str, source: Source, attributes: Attributes, check: Check | None = None
    ) -> Written: ...

    def put_known(
        self, bucket: str, key: str, content: Content, attributes: Attributes, check: Check | None = None
    ) -> Written:
        """An object of content that some object here has already. `UnknownContent` where none has, where it
        cannot be used, and where instant upload is off: the client sends it then."""
        ...

    def stat(self, bucket: str, key: str, version_id: str | None = None) -> Stored: ...

    def read(
        self, bucket: str, key: str, version_id: str | None = None, span: Span | None = None
    ) -> tuple[Stored, Iterator[bytes]]:
        """The version and its bytes (those of `span`), verified as they stream: the iterator raises before it
        hands out a block whose hash is wrong. Close it (or exhaust it) to release the file."""
        ...

    def delete(
        self, bucket: str, key: str, version_id: str | None = None, *, bypass_governance: bool = False
    ) -> Deleted: ...

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
        """`attributes` None keeps those of the source (directive COPY)."""
        ...

    def tags(
        self, bucket: str, key: str, version_id: str | None = None
    ) -> tuple[Stored, Mapping[str, str]]: ...

    def set_tags(
        self, bucket: str, key: str, version_id: str | None, tags: Mapping[str, str] | None
    ) -> Stored: ...

    def list_objects(self, bucket: str, prefix: str, delimiter: str, after: str, limit: int) -> Page: ...

    def list_versions(
        self, bucket: str, prefix: str, delimiter: str, key_marker: str, version_marker: str, limit: int
    ) -> VersionPage: ...

    def create_upload(self, bucket: str, key: str, attributes: Attributes) -> Upload: ...

    def put_part(self, bucket: str, key: str, upload_id: str, number: int, source: Source) -> Part: ...

    def list_parts(self, bucket: str, key: str, upload_id: str, after: int, limit: int) -> PartPage: ...

    def list_uploads(
        self, bucket: str, prefix: str, delimiter: str, key_marker: str, upload_marker: str, limit: int
    ) -> UploadPage: ...

    def complete_upload(
        self,
        bucket: str,
        key: str,
        upload_id: str,
        parts: Sequence[tuple[int, str]],
        check: Check | None = None,
    ) -> Written: ...

    def abort_upload(self, bucket: str, key: str, upload_id: str) -> None: ...

    def acknowledgement(self) -> Mapping[str, object]:
        """The body of contracts §5 without `ready`, which the gateway knows; while `degraded` it must not
        be answered with 200."""
        ...

    def track(self, bucket: str, key: str) -> str:
        """The `track` label of a request for this key: `fs`, `dual` or `kv`."""
        ...

    def close(self) -> None:
        """Stops the background work, drains what is journalled if it can, and closes the store."""
        ...
