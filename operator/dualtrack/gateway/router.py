"""Which S3 operation a request is: by method, by what its path names, and by its query.

One table of what is served, one of what is known and not served: the latter answers 501 by name, so that no
query parameter is ever silently ignored (`PUT /bucket?acl` must not create a bucket). docs/gateway.md lists
both; a test holds it to these tables.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from dualtrack.gateway import buckets, copying, listing, multipart, objects, tagging
from dualtrack.gateway.call import Call
from dualtrack.gateway.errors import S3Error

Handler = Callable[[Call], Awaitable[web.StreamResponse]]
SERVICE, BUCKET, OBJECT = "service", "bucket", "object"


@dataclass(frozen=True, slots=True)
class Route:
    """`metric`: the request counts in `rustfs_<metric>_…`; empty if it counts nowhere (or by itself)."""

    operation: str
    handler: Handler
    metric: str = ""


SERVED: Mapping[tuple[str, str, str], Route] = {
    (SERVICE, "GET", ""): Route("ListBuckets", buckets.list_buckets),
    (BUCKET, "PUT", ""): Route("CreateBucket", buckets.create_bucket),
    (BUCKET, "HEAD", ""): Route("HeadBucket", buckets.head_bucket),
    (BUCKET, "DELETE", ""): Route("DeleteBucket", buckets.delete_bucket),
    (BUCKET, "GET", "location"): Route("GetBucketLocation", buckets.get_location),
    (BUCKET, "GET", "versioning"): Route("GetBucketVersioning", buckets.get_versioning),
    (BUCKET, "PUT", "versioning"): Route("PutBucketVersioning", buckets.put_versioning),
    (BUCKET, "GET", ""): Route("ListObjects", listing.list_objects_v1, "list_objects"),
    (BUCKET, "GET", "list-type"): Route("ListObjectsV2", listing.list_objects_v2, "list_objects"),
    (BUCKET, "GET", "versions"): Route("ListObjectVersions", listing.list_versions, "list_objects"),
    (BUCKET, "GET", "uploads"): Route("ListMultipartUploads", multipart.list_uploads),
    (BUCKET, "POST", "delete"): Route("DeleteObjects", objects.delete_objects),
    (OBJECT, "PUT", ""): Route("PutObject", objects.put_object, "put_object"),
    (OBJECT, "PUT", "copy"): Route("CopyObject", copying.copy_object, "put_object"),
    (OBJECT, "GET", ""): Route("GetObject", objects.get_object, "get_object"),
    (OBJECT, "HEAD", ""): Route("HeadObject", objects.head_object, "get_object"),
    (OBJECT, "DELETE", ""): Route("DeleteObject", objects.delete_object, "delete_object"),
    (OBJECT, "GET", "tagging"): Route("GetObjectTagging", tagging.get_tagging, "get_object"),
    (OBJECT, "PUT", "tagging"): Route("PutObjectTagging", tagging.put_tagging, "put_object"),
    (OBJECT, "DELETE", "tagging"): Route("DeleteObjectTagging", tagging.delete_tagging, "put_object"),
    (OBJECT, "POST", "uploads"): Route("CreateMultipartUpload", multipart.create_upload),
    (OBJECT, "PUT", "uploadId"): Route("UploadPart", multipart.upload_part),
    (OBJECT, "PUT", "uploadId copy"): Route("UploadPartCopy", copying.upload_part_copy),
    (OBJECT, "GET", "uploadId"): Route("ListParts", multipart.list_parts),
    (OBJECT, "POST", "uploadId"): Route("CompleteMultipartUpload", multipart.complete_upload, "put_object"),
    (OBJECT, "DELETE", "uploadId"): Route("AbortMultipartUpload", multipart.abort_upload),
}
UNSERVED: Mapping[tuple[str, str], str] = {
    (BUCKET, "accelerate"): "transfer acceleration",
    (BUCKET, "acl"): "access control lists",
    (BUCKET, "analytics"): "analytics configurations",
    (BUCKET, "cors"): "cross-origin rules",
    (BUCKET, "encryption"): "default encryption",
    (BUCKET, "intelligent-tiering"): "tiering configurations",
    (BUCKET, "inventory"): "inventory configurations",
    (BUCKET, "lifecycle"): "lifecycle rules",
    (BUCKET, "logging"): "access logging",
    (BUCKET, "metadataConfiguration"): "metadata tables",
    (BUCKET, "metadataTable"): "metadata tables",
    (BUCKET, "metrics"): "request metrics configurations",
    (BUCKET, "notification"): "event notifications",
    (BUCKET, "object-lock"): "object lock configuration",
    (BUCKET, "ownershipControls"): "object ownership",
    (BUCKET, "policy"): "bucket policies",
    (BUCKET, "policyStatus"): "bucket policies",
    (BUCKET, "publicAccessBlock"): "public access block",
    (BUCKET, "replication"): "replication",
    (BUCKET, "requestPayment"): "requester pays",
    (BUCKET, "session"): "directory buckets",
    (BUCKET, "tagging"): "bucket tags",
    (BUCKET, "website"): "website hosting",
    (OBJECT, "acl"): "access control lists",
    (OBJECT, "append"): "appending",
    (OBJECT, "attributes"): "GetObjectAttributes",
    (OBJECT, "encryption"): "changing an object's encryption",
    (OBJECT, "legal-hold"): "legal holds",
    (OBJECT, "renameObject"): "RenameObject",
    (OBJECT, "restore"): "restoring from an archive",
    (OBJECT, "retention"): "retention",
    (OBJECT, "select"): "SelectObjectContent",
    (OBJECT, "torrent"): "torrents",
}
_SUBRESOURCES = {
    level: frozenset(
        name
        for at, name in [*UNSERVED, *((at, query.partition(" ")[0]) for at, _, query in SERVED)]
        if at == level and name not in ("", "copy")
    )
    for level in (SERVICE, BUCKET, OBJECT)
}
_METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")


def level_of(bucket: str, key: str) -> str:
    return OBJECT if key else BUCKET if bucket else SERVICE


def route(method: str, bucket: str, key: str, query: Mapping[str, str], *, copying: bool) -> Route:
    """`copying`: the request names a copy source. Raises NotImplemented or MethodNotAllowed."""
    level = level_of(bucket, key)
    names = sorted(_SUBRESOURCES[level] & query.keys())
    for name in names:
        if (level, name) in UNSERVED:
            raise _not_implemented(f"{method} ?{name} ({UNSERVED[level, name]})")
    if level == BUCKET and "list-type" in names:
        names.remove("list-type")
        if not names and method == "GET":
            if query["list-type"] != "2":
                raise S3Error("InvalidArgument", "list-type must be 2.")
            names = ["list-type"]
    subresource = " ".join([*names, "copy"] if copying and method == "PUT" else names)
    found = SERVED.get((level, method, subresource))
    if found is not None:
        return found
    if method == "OPTIONS":
        raise _not_implemented("OPTIONS (cross-origin rules)")
    if method == "POST" and level == BUCKET and not names:
        raise _not_implemented("POST of a form (browser uploads)")
    if method not in _METHODS or not names:
        allowed = sorted(verb for at, verb, name in SERVED if (at, name) == (level, subresource))
        raise S3Error(
            "MethodNotAllowed",
            "The specified method is not allowed against this resource.",
            headers={"Allow": ", ".join(allowed)},
        )
    raise _not_implemented(f"{method} ?{'&'.join(names)}")


def _not_implemented(what: str) -> S3Error:
    return S3Error(
        "NotImplemented", f"This gateway does not implement {what}; docs/gateway.md lists what it does."
    )
