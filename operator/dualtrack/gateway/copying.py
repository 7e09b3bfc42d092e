"""CopyObject and UploadPartCopy: the source is named by a header, within this server."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import unquote_to_bytes

from aiohttp import web

from dualtrack.engine.objects.types import Attributes, CopiedSource, Part, Stored, Written
from dualtrack.gateway import conditions, documents, headers
from dualtrack.gateway.call import Call
from dualtrack.gateway.errors import S3Error
from dualtrack.gateway.multipart import part_number


@dataclass(frozen=True, slots=True)
class _Origin:
    bucket: str
    key: str
    version_id: str | None


async def copy_object(call: Call) -> web.StreamResponse:
    headers.refuse_unserved(call.headers)
    origin = _origin(call)
    replacing = _directive(call, "x-amz-metadata-directive")
    retagging = _directive(call, "x-amz-tagging-directive")
    written, source = await call.run(_copy, call, origin, replacing, retagging)
    answer = {"x-amz-version-id": written.version_id} if written.version_id is not None else {}
    call.answer_headers.update(answer | _source_version(source))
    return call.xml("CopyObjectResult", _result(written.etag, written.modified_ns))


def _copy(call: Call, origin: _Origin, replacing: bool, retagging: bool) -> tuple[Written, Stored]:
    source = _checked_source(call, origin)
    given = headers.attributes(call.headers)
    reclassed = "x-amz-storage-class" in call.headers
    in_place = (origin.bucket, origin.key) == (call.bucket, call.key) and origin.version_id is None
    if in_place and not (replacing or retagging or reclassed):
        raise S3Error(
            "InvalidRequest",
            "This copy request is illegal because it is trying to copy an object to itself without changing "
            "the object's metadata, storage class or tags.",
        )
    attributes = _attributes(source, given, replacing=replacing, retagging=retagging, reclassed=reclassed)
    written = call.layer.copy(
        origin.bucket,
        origin.key,
        origin.version_id,
        call.bucket,
        call.key,
        attributes,
        conditions.write_check(call.headers),
    )
    return written, source


def _attributes(
    source: Stored, given: Attributes, *, replacing: bool, retagging: bool, reclassed: bool
) -> Attributes | None:
    """What the copy keeps; None for all that the source has."""
    if not (replacing or retagging or reclassed):
        return None
    kept = given if replacing else Attributes(dict(source.headers), source.user, given.tags)
    if reclassed and not replacing:
        storage_class = given.headers["x-amz-storage-class"]
        kept = replace(kept, headers={**kept.headers, "x-amz-storage-class": storage_class})
    return kept if retagging else replace(kept, tags=source.tags)


async def upload_part_copy(call: Call) -> web.StreamResponse:
    origin = _origin(call)
    number = part_number(call)
    part, source = await call.run(_copy_part, call, origin, number)
    call.answer_headers.update(_source_version(source))
    return call.xml("CopyPartResult", _result(part.etag, part.modified_ns))


def _copy_part(call: Call, origin: _Origin, number: int) -> tuple[Part, Stored]:
    source = _checked_source(call, origin)
    span = conditions.parse_copy_range(call.headers.get("x-amz-copy-source-range"))
    if span is not None and span.last is not None and span.last >= source.size:
        raise S3Error("InvalidArgument", f"The range is not valid for a source of {source.size} bytes.")
    _, content = call.layer.read(origin.bucket, origin.key, origin.version_id, span)
    part = call.layer.put_part(call.bucket, call.key, call.query["uploadId"], number, CopiedSource(content))
    return part, source


def _checked_source(call: Call, origin: _Origin) -> Stored:
    source = call.layer.stat(origin.bucket, origin.key, origin.version_id)
    conditions.check_read(call.headers, source, conditions.COPY_SOURCE)
    return source


def _origin(call: Call) -> _Origin:
    path, _, query = call.headers["x-amz-copy-source"].partition("?versionId=")
    decoded = unquote_to_bytes(path).decode("utf-8", "surrogateescape")
    bucket, _, key = decoded.removeprefix("/").partition("/")
    if not bucket or not key:
        raise S3Error(
            "InvalidArgument", "Copy Source must mention the source bucket and key: sourcebucket/sourcekey."
        )
    return _Origin(bucket, key, query or None)


def _directive(call: Call, name: str) -> bool:
    match call.headers.get(name, "COPY"):
        case "COPY":
            return False
        case "REPLACE":
            return True
        case _:
            raise S3Error("InvalidArgument", f"{name} must be COPY or REPLACE.")


def _source_version(source: Stored) -> dict[str, str]:
    return {"x-amz-copy-source-version-id": source.version_id} if source.versioned else {}


def _result(etag: str, modified_ns: int) -> str:
    return f"<LastModified>{documents.timestamp(modified_ns)}</LastModified>{documents.quoted_etag(etag)}"
