"""Multipart uploads: create, upload part, list parts, list uploads, complete, abort."""

from __future__ import annotations

from itertools import pairwise
from urllib.parse import quote

from aiohttp import web

from dualtrack.engine.objects.types import Part, Upload
from dualtrack.gateway import conditions, documents, headers
from dualtrack.gateway.call import Call
from dualtrack.gateway.documents import element
from dualtrack.gateway.errors import S3Error
from dualtrack.gateway.listing import namer, prefixes

MAX_PARTS = 10_000
MAX_LISTED = 1000
_OWNERS = f"<Initiator>{documents.OWNER}</Initiator><Owner>{documents.OWNER}</Owner>"


async def create_upload(call: Call) -> web.StreamResponse:
    headers.refuse_unserved(call.headers)
    attributes = headers.attributes(call.headers)
    upload = await call.run(call.layer.create_upload, call.bucket, call.key, attributes)
    body = element("Bucket", call.bucket) + element("Key", call.key) + element("UploadId", upload.upload_id)
    return call.xml("InitiateMultipartUploadResult", body)


def part_number(call: Call) -> int:
    text = call.query.get("partNumber", "")
    number = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= number <= MAX_PARTS:
        raise S3Error(
            "InvalidArgument",
            f"Part number must be an integer between 1 and {MAX_PARTS}, inclusive.",
            details={"ArgumentName": "partNumber", "ArgumentValue": text},
        )
    return number


async def upload_part(call: Call) -> web.StreamResponse:
    headers.refuse_unserved(call.headers)
    number, upload_id = part_number(call), call.query["uploadId"]
    part = await call.with_body(
        lambda source: call.layer.put_part(call.bucket, call.key, upload_id, number, source)
    )
    return call.empty(200, {"ETag": f'"{part.etag}"'})


async def list_parts(call: Call) -> web.StreamResponse:
    limit = call.integer("max-parts", MAX_LISTED, 0, MAX_LISTED)
    after = call.integer("part-number-marker", 0, 0, MAX_PARTS)
    upload_id = call.query["uploadId"]
    page = await call.run(call.layer.list_parts, call.bucket, call.key, upload_id, after, limit)
    body = (
        element("Bucket", call.bucket) + element("Key", call.key) + element("UploadId", upload_id) + _OWNERS
    )
    body += element("StorageClass", _storage_class(page.upload)) + element("PartNumberMarker", after)
    body += element("NextPartNumberMarker", page.next_number) if page.truncated else ""
    body += element("MaxParts", limit) + element("IsTruncated", page.truncated)
    return call.xml("ListPartsResult", body + "".join(map(_part, page.parts)))


def _part(part: Part) -> str:
    return (
        f"<Part>{element('PartNumber', part.number)}"
        f"<LastModified>{documents.timestamp(part.modified_ns)}</LastModified>"
        f"{documents.quoted_etag(part.etag)}<Size>{part.size}</Size></Part>"
    )


async def list_uploads(call: Call) -> web.StreamResponse:
    name = namer(call)
    limit = call.integer("max-uploads", MAX_LISTED, 0, MAX_LISTED)
    names = ("prefix", "delimiter", "key-marker", "upload-id-marker")
    prefix, delimiter, key_marker, upload_marker = (call.query.get(parameter, "") for parameter in names)
    page = await call.run(
        call.layer.list_uploads, call.bucket, prefix, delimiter, key_marker, upload_marker, limit
    )
    body = element("Bucket", call.bucket) + element("KeyMarker", name(key_marker))
    body += element("UploadIdMarker", upload_marker) + element("Prefix", name(prefix))
    body += element("Delimiter", name(delimiter)) if delimiter else ""
    body += element("EncodingType", "url") if call.query.get("encoding-type") else ""
    if page.truncated:
        body += element("NextKeyMarker", name(page.next_key)) + element(
            "NextUploadIdMarker", page.next_upload
        )
    body += element("MaxUploads", limit) + element("IsTruncated", page.truncated)
    for upload in page.uploads:
        body += f"<Upload>{element('Key', name(upload.key))}{element('UploadId', upload.upload_id)}{_OWNERS}"
        body += element("StorageClass", _storage_class(upload))
        body += f"<Initiated>{documents.timestamp(upload.initiated_ns)}</Initiated></Upload>"
    return call.xml("ListMultipartUploadsResult", body + prefixes(page.prefixes, name))


def _storage_class(upload: Upload) -> str:
    return upload.attributes.headers.get("x-amz-storage-class", "STANDARD")


async def complete_upload(call: Call) -> web.StreamResponse:
    document = await call.document("CompleteMultipartUpload")
    parts = []
    for node in document.all("Part"):
        number = node.require("PartNumber").strip()
        if not (number.isascii() and number.isdigit()):
            raise S3Error("MalformedXML", "PartNumber must be an integer.")
        parts.append((int(number), node.require("ETag").strip().strip('"')))
    if not 0 < len(parts) <= MAX_PARTS:
        raise S3Error("MalformedXML", f"You must specify between 1 and {MAX_PARTS} parts.")
    if any(one[0] >= other[0] for one, other in pairwise(parts)):
        raise S3Error("InvalidPartOrder", "The list of parts was not in ascending order.")
    check = conditions.write_check(call.headers)
    upload_id = call.query["uploadId"]
    written = await call.run_transfer(
        call.layer.complete_upload, call.bucket, call.key, upload_id, parts, check
    )
    if written.version_id is not None:
        call.answer_headers["x-amz-version-id"] = written.version_id
    host = call.headers.get("host", "")
    location = f"{call.request.scheme}://{host}/{call.bucket}/{quote(call.key, errors='surrogateescape')}"
    body = element("Location", location) + element("Bucket", call.bucket) + element("Key", call.key)
    return call.xml("CompleteMultipartUploadResult", body + documents.quoted_etag(written.etag))


async def abort_upload(call: Call) -> web.StreamResponse:
    await call.run(call.layer.abort_upload, call.bucket, call.key, call.query["uploadId"])
    return call.empty(204)
