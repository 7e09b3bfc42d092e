"""The values that cross the seam between an S3 server and the object layer.

Version ids: as an argument `None` means "the current one", `"null"` the null version, else the UUID as
text. In answers every version has an id (`"null"` or the UUID); whether a client sees it depends on the
bucket, which `versioned` tells. Times are Unix nanoseconds. Keys are `str` with `surrogateescape`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from dualtrack.engine.objects.cache import CacheSettings
from dualtrack.engine.objects.levels import Level
from dualtrack.engine.rowlog.keeper import Wish

INLINE_LIMIT = 128 * 1024
"""MinIO's limit on one data shard: up to and with this size content lies in the metadata."""

SEPARATE_FROM = 512 * 1024
"""From this size on content always has a file of its own, whatever the limit is set to."""

Versioning = Literal["", "Enabled", "Suspended"]
NULL_VERSION = "null"


class Source(Protocol):
    """A body on its way in. `verify` runs after the last chunk and before the commit: it raises if the body
    is not what its sender declared (length, MD5, SHA-256, checksum), and then nothing has changed."""

    def chunks(self) -> Iterator[bytes]: ...

    def verify(self) -> None: ...


class CopiedSource:
    """The content of a stored version as the body of a new one; its blocks were checked on the way out."""

    def __init__(self, content: Iterator[bytes]) -> None:
        self._content = content

    def chunks(self) -> Iterator[bytes]:
        return self._content

    def verify(self) -> None:
        return


class Meter(Protocol):
    """Where the engine puts its figures; names and labels are those of contracts §5."""

    def observe(self, name: str, ms: float, labels: Mapping[str, str]) -> None: ...

    def count(self, name: str, labels: Mapping[str, str], n: int = 1) -> None: ...

    def gauge(self, name: str, value: float, labels: Mapping[str, str]) -> None: ...


@dataclass(frozen=True, slots=True)
class Settings:
    """What a data plane may set apart from its mode.

    `store_dir` empty means `<drive>/.dualtrack/store`; `socket` asks the owner to serve `owner.sock`.
    `map_size` is that of the store in bytes. `drain` and `inventory` switch the background threads, so that
    a test can step them by hand. `epoch` is `RUSTFS_DUAL_TRACK_EPOCH`, `shadow_ratio` the share of dual-track
    reads that are compared. `level` is the consistency level, and `window_seconds` how long a row may lag
    behind its file before it is counted as late. `instant` allows objects to be made of known content, and
    `inline_limit` is up to how many bytes content lies in the metadata (an eighth where there are versions).
    `row_log` says where every change of the store is logged, if anywhere.
    """

    store_dir: str = ""
    socket: bool = True
    map_size: int = 0
    epoch: int = 0
    shadow_ratio: float = 1.0
    drain: bool = True
    inventory: bool = True
    level: Level = Level.EVENTUAL
    window_seconds: float = 60.0
    instant: bool = False
    inline_limit: int = INLINE_LIMIT
    cache: CacheSettings = field(default_factory=CacheSettings)
    row_log: Wish = field(default_factory=Wish)


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a PUT, COPY or CreateMultipartUpload says about an object apart from its bytes.

    `headers`: lower-case standard headers to be stored and returned (content-type, cache-control,
    content-encoding, content-disposition, content-language, expires, x-amz-storage-class,
    x-amz-website-redirect-location, x-amz-object-lock-mode, -retain-until-date, -legal-hold).
    `user`: user metadata, lower-case names without `x-amz-meta-`. `tags` in the order given.
    """

    headers: Mapping[str, str] = field(default_factory=dict)
    user: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Content:
    """Content that a client names instead of sending it: its BLAKE3 in lower-case hex, and its size."""

    blake3: str
    size: int


@dataclass(frozen=True, slots=True)
class Bucket:
    name: str
    created_ns: int


@dataclass(frozen=True, slots=True)
class Written:
    """`version_id` is None in a bucket without versioning."""

    etag: str
    version_id: str | None
    size: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class Deleted:
    """`marker`: the version that was made or removed is a delete marker; `version_id` is its id, or that of
    the version removed, or None in a bucket without versioning."""

    version_id: str | None
    marker: bool


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of an object as HEAD reports it. `etag` has no quotes; `size` is what the client sees."""

    bucket: str
    key: str
    version_id: str
    versioned: bool
    is_latest: bool
    delete_marker: bool
    etag: str
    size: int
    modified_ns: int
    headers: Mapping[str, str]
    user: Mapping[str, str]
    tags: Mapping[str, str]
    storage_class: str
    parts: int
    decodable: bool
    track: Literal["fs", "dual", "kv"] = "fs"


@dataclass(frozen=True, slots=True)
class Span:
    """A byte range as asked: `first`..`last` inclusive, `last` None for "to the end"; `first` None with
    `last` n for the last n bytes (a suffix range)."""

    first: int | None
    last: int | None

    def resolve(self, size: int) -> tuple[int, int] | None:
        """(offset, length) inside an object of `size` bytes, or None if the range cannot be satisfied."""
        if self.first is None:
            wanted = min(self.last or 0, size)
            return (size - wanted, wanted) if wanted else None
        if self.first >= size:
            return None
        end = size - 1 if self.last is None else min(self.last, size - 1)
        return (self.first, end - self.first + 1) if end >= self.first else None


Check = Callable[[Stored | None], None]
"""Called under the object's lock with its current version (None if absent or hidden by a marker) before a
write; raises (`PreconditionFailed`) to refuse it."""


@dataclass(frozen=True, slots=True)
class Listed:
    key: str
    etag: str
    size: int
    modified_ns: int
    storage_class: str


@dataclass(frozen=True, slots=True)
class ListedVersion:
    key: str
    version_id: str
    is_latest: bool
    delete_marker: bool
    etag: str
    size: int
    modified_ns: int
    storage_class: str


@dataclass(frozen=True, slots=True)
class Page:
    """`next_after` is the `after` that goes on with the next page; empty if not `truncated`."""

    objects: tuple[Listed, ...]
    prefixes: tuple[str, ...]
    truncated: bool
    next_after: str


@dataclass(frozen=True, slots=True)
class VersionPage:
    versions: tuple[ListedVersion, ...]
    prefixes: tuple[str, ...]
    truncated: bool
    next_key: str
    next_version: str


@dataclass(frozen=True, slots=True)
class Upload:
    bucket: str
    key: str
    upload_id: str
    initiated_ns: int
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class Part:
    number: int
    etag: str
    size: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class PartPage:
    upload: Upload
    parts: tuple[Part, ...]
    truncated: bool
    next_number: int


@dataclass(frozen=True, slots=True)
class UploadPage:
    uploads: tuple[Upload, ...]
    prefixes: tuple[str, ...]
    truncated: bool
    next_key: str
    next_upload: str
