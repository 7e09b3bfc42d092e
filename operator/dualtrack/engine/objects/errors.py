"""The S3 conditions that the object layer raises, one class each; the gateway maps class to code.

    ObjectError
    ├── NoSuchBucket, NoSuchKey, NoSuchVersion, NoSuchUpload            404
    ├── UnknownContent        no object has the content that is named   404
    ├── MethodNotAllowed      the version named is a delete marker      405
    ├── BucketExists, BucketNotEmpty, InvalidBucketState                409
    ├── PreconditionFailed                                              412
    ├── InvalidBucketName, InvalidKey, KeyTooLong, InvalidArgument      400
    ├── InvalidPart, InvalidPartOrder, EntityTooSmall                   400
    ├── InvalidRange                                                    416
    ├── ObjectLocked          retention or legal hold forbids it        403
    ├── Undecodable           sealed by another server, or an old form  501
    ├── StorageFull                                                     507
    └── Unavailable           the track that has to answer cannot       503

`Unavailable` is never softened to "not found": what is unknown is not absent.
"""

from __future__ import annotations

from dualtrack.errors import DualTrackError


class ObjectError(DualTrackError):
    """A request that ends in an S3 error; `bucket` and `key` name its object."""

    def __init__(self, message: str, bucket: str = "", key: str = "") -> None:
        super().__init__(message)
        self.bucket = bucket
        self.key = key


class NoSuchBucket(ObjectError):
    pass


class NoSuchKey(ObjectError):
    """`marker_version` is set where a delete marker hides the object: its version id."""

    def __init__(
        self, message: str, bucket: str = "", key: str = "", marker_version: str | None = None
    ) -> None:
        super().__init__(message, bucket, key)
        self.marker_version = marker_version


class NoSuchVersion(ObjectError):
    pass


class NoSuchUpload(ObjectError):
    pass


class UnknownContent(ObjectError):
    """Nothing here has the content that the client names; it has to send it."""


class MethodNotAllowed(ObjectError):
    """The version that the request names is a delete marker; `marker_version` is its id."""

    def __init__(
        self, message: str, bucket: str = "", key: str = "", marker_version: str | None = None
    ) -> None:
        super().__init__(message, bucket, key)
        self.marker_version = marker_version


class BucketExists(ObjectError):
    pass


class BucketNotEmpty(ObjectError):
    pass


class InvalidBucketState(ObjectError):
    """The bucket's object lock does not allow the change."""


class PreconditionFailed(ObjectError):
    pass


class InvalidBucketName(ObjectError):
    pass


class InvalidKey(ObjectError):
    """A key that the drive cannot hold under its own name (empty segments, `.`, `..`, NUL)."""


class KeyTooLong(ObjectError):
    pass


class InvalidArgument(ObjectError):
    pass


class InvalidPart(ObjectError):
    pass


class InvalidPartOrder(ObjectError):
    pass


class EntityTooSmall(ObjectError):
    pass


class InvalidRange(ObjectError):
    """`size` is what the object has, for the `Content-Range: bytes */size` of the answer."""

    def __init__(self, message: str, bucket: str = "", key: str = "", size: int = 0) -> None:
        super().__init__(message, bucket, key)
        self.size = size


class ObjectLocked(ObjectError):
    pass


class Undecodable(ObjectError):
    """The content is encrypted, compressed or tiered by another server, or the metadata are of a form that is
    only read.
    """


class StorageFull(ObjectError):
    pass


class Unavailable(ObjectError):
    pass
