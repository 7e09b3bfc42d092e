"""S3's error answers: each code with its HTTP status, and the one table from the engine's errors to them.

Everything that ends a request other than by success is an `S3Error`. Whatever the engine raises becomes one
in `translate`; an error that is in no table is a 500, is logged with its class, and tells the client nothing
of the machine's inside. Codes and statuses: Amazon S3 API Reference, "Error responses".
"""

from __future__ import annotations

import errno
from collections.abc import Mapping

from dualtrack.engine.objects import errors as objects
from dualtrack.errors import DualTrackError, StoreError, StoreFullError

STATUS: Mapping[str, int] = {
    "AccessDenied": 403,
    "AuthorizationHeaderMalformed": 400,
    "AuthorizationQueryParametersError": 400,
    "BadDigest": 400,
    "BucketAlreadyOwnedByYou": 409,
    "BucketNotEmpty": 409,
    "EntityTooLarge": 400,
    "EntityTooSmall": 400,
    "IllegalLocationConstraintException": 400,
    "IncompleteBody": 400,
    "InternalError": 500,
    "InvalidAccessKeyId": 403,
    "InvalidArgument": 400,
    "InvalidBucketName": 400,
    "InvalidBucketState": 409,
    "InvalidDigest": 400,
    "InvalidPart": 400,
    "InvalidPartOrder": 400,
    "InvalidRange": 416,
    "InvalidRequest": 400,
    "InvalidStorageClass": 400,
    "InvalidTag": 400,
    "InvalidToken": 400,
    "InvalidURI": 400,
    "KeyTooLongError": 400,
    "MalformedXML": 400,
    "MetadataTooLarge": 400,
    "MethodNotAllowed": 405,
    "MissingContentLength": 411,
    "MissingRequestBodyError": 400,
    "NoSuchBucket": 404,
    "NoSuchContent": 404,
    "NoSuchKey": 404,
    "NoSuchUpload": 404,
    "NoSuchVersion": 404,
    "NotImplemented": 501,
    "PreconditionFailed": 412,
    "RequestHeaderSectionTooLarge": 400,
    "RequestTimeTooSkewed": 403,
    "RequestTimeout": 400,
    "ServiceUnavailable": 503,
    "SignatureDoesNotMatch": 403,
    "StorageFull": 507,
    "XAmzContentSHA256Mismatch": 400,
}


class S3Error(DualTrackError):
    """An S3 error answer. `details` become elements of the XML, `headers` headers of the answer."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        details: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.status = STATUS[code]
        self.message = message
        self.details = dict(details or {})
        self.headers = dict(headers or {})


_CODES: Mapping[type[objects.ObjectError], str] = {
    objects.NoSuchBucket: "NoSuchBucket",
    objects.NoSuchKey: "NoSuchKey",
    objects.NoSuchVersion: "NoSuchVersion",
    objects.NoSuchUpload: "NoSuchUpload",
    objects.UnknownContent: "NoSuchContent",
    objects.MethodNotAllowed: "MethodNotAllowed",
    objects.BucketExists: "BucketAlreadyOwnedByYou",
    objects.BucketNotEmpty: "BucketNotEmpty",
    objects.InvalidBucketState: "InvalidBucketState",
    objects.PreconditionFailed: "PreconditionFailed",
    objects.InvalidBucketName: "InvalidBucketName",
    objects.InvalidKey: "InvalidArgument",
    objects.KeyTooLong: "KeyTooLongError",
    objects.InvalidArgument: "InvalidArgument",
    objects.InvalidPart: "InvalidPart",
    objects.InvalidPartOrder: "InvalidPartOrder",
    objects.EntityTooSmall: "EntityTooSmall",
    objects.InvalidRange: "InvalidRange",
    objects.ObjectLocked: "AccessDenied",
    objects.Undecodable: "NotImplemented",
    objects.StorageFull: "StorageFull",
    objects.Unavailable: "ServiceUnavailable",
}
_UNKNOWN = "The server met an error that it did not expect; its log names it under this request id."


def translate(error: Exception) -> S3Error:
    """The S3 answer to whatever a handler raised."""
    match error:
        case S3Error():
            return error
        case objects.ObjectError():
            return _of_object(error)
        case StoreFullError():
            return S3Error("StorageFull", "The metadata store is full; enlarge its volume.")
        case StoreError():
            return S3Error("ServiceUnavailable", "The metadata store does not answer; try again.")
        case OSError() if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return S3Error("StorageFull", "The drive is full; free some space on it.")
        case _:
            return S3Error("InternalError", _UNKNOWN)


def _of_object(error: objects.ObjectError) -> S3Error:
    details: dict[str, str] = {}
    headers: dict[str, str] = {}
    if error.bucket:
        details["BucketName"] = error.bucket
    if error.key:
        details["Key"] = error.key
    match error:
        case objects.NoSuchKey() | objects.MethodNotAllowed() if error.marker_version is not None:
            headers["x-amz-delete-marker"] = "true"
            headers["x-amz-version-id"] = error.marker_version
            if isinstance(error, objects.MethodNotAllowed):
                headers["Allow"] = "DELETE"
        case objects.InvalidRange():
            headers["Content-Range"] = f"bytes */{error.size}"
        case _:
            pass
    code = next((code for kind, code in _CODES.items() if isinstance(error, kind)), "InternalError")
    return S3Error(
        code, str(error) if code != "InternalError" else _UNKNOWN, details=details, headers=headers
    )
