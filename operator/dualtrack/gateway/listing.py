"""Listings of objects (versions 1 and 2 of the operation) and of versions.

The engine pages by an opaque `after`; version 2 hands it out as a token, version 1 as the last name itself.
A page is listed and written down in one go in a worker thread, so that the event loop stays free.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

from aiohttp import web

from dualtrack.engine.objects.types import Listed, ListedVersion
from dualtrack.gateway import documents
from dualtrack.gateway.call import Call
from dualtrack.gateway.documents import element
from dualtrack.gateway.errors import S3Error

MAX_KEYS = 1000
_OWNER = f"<Owner>{documents.OWNER}</Owner>"


async def list_objects_v1(call: Call) -> web.StreamResponse:
    return await call.run(_objects_v1, call)


def _objects_v1(call: Call) -> web.Response:
    name = namer(call)
    limit = call.integer("max-keys", MAX_KEYS, 0, MAX_KEYS)
    prefix, delimiter, marker = _query(call, "prefix", "delimiter", "marker")
    page = call.layer.list_objects(call.bucket, prefix, delimiter, marker, limit)
    body = element("Name", call.bucket) + element("Prefix", name(prefix)) + element("Marker", name(marker))
    if page.truncated:
        body += element("NextMarker", name(page.next_after))
    body += element("MaxKeys", limit) + element("IsTruncated", page.truncated) + _delimiter(call, name)
    body += "".join(_object(item, name, owner=True) for item in page.objects) + prefixes(page.prefixes, name)
    return call.xml("ListBucketResult", body)


async def list_objects_v2(call: Call) -> web.StreamResponse:
    return await call.run(_objects_v2, call)


def _objects_v2(call: Call) -> web.Response:
    name = namer(call)
    limit = call.integer("max-keys", MAX_KEYS, 0, MAX_KEYS)
    prefix, delimiter, start_after = _query(call, "prefix", "delimiter", "start-after")
    token = call.query.get("continuation-token")
    after = start_after if token is None else _from_token(token)
    page = call.layer.list_objects(call.bucket, prefix, delimiter, after, limit)
    count = len(page.objects) + len(page.prefixes)
    body = element("Name", call.bucket) + element("Prefix", name(prefix))
    if token is not None:
        body += element("ContinuationToken", token)
    if page.truncated:
        body += element("NextContinuationToken", _to_token(page.next_after))
    if start_after:
        body += element("StartAfter", name(start_after))
    body += element("KeyCount", count) + element("MaxKeys", limit) + element("IsTruncated", page.truncated)
    body += _delimiter(call, name)
    owner = call.query.get("fetch-owner") == "true"
    body += "".join(_object(item, name, owner=owner) for item in page.objects) + prefixes(page.prefixes, name)
    return call.xml("ListBucketResult", body)


async def list_versions(call: Call) -> web.StreamResponse:
    return await call.run(_versions, call)


def _versions(call: Call) -> web.Response:
    name = namer(call)
    limit = call.integer("max-keys", MAX_KEYS, 0, MAX_KEYS)
    prefix, delimiter, key_marker = _query(call, "prefix", "delimiter", "key-marker")
    version_marker = call.query.get("version-id-marker", "")
    if version_marker and not key_marker:
        raise S3Error("InvalidArgument", "A version-id marker cannot be specified without a key marker.")
    page = call.layer.list_versions(call.bucket, prefix, delimiter, key_marker, version_marker, limit)
    body = element("Name", call.bucket) + element("Prefix", name(prefix))
    body += element("KeyMarker", name(key_marker)) + element("VersionIdMarker", version_marker)
    if page.truncated:
        body += element("NextKeyMarker", name(page.next_key))
        body += element("NextVersionIdMarker", page.next_version) if page.next_version else ""
    body += element("MaxKeys", limit) + element("IsTruncated", page.truncated) + _delimiter(call, name)
    body += "".join(_version(item, name) for item in page.versions) + prefixes(page.prefixes, name)
    return call.xml("ListVersionsResult", body)


def _query(call: Call, *names: str) -> tuple[str, ...]:
    return tuple(call.query.get(name, "") for name in names)


def namer(call: Call) -> Callable[[str], str]:
    """How this listing writes a key."""
    encoding = call.query.get("encoding-type", "")
    match encoding:
        case "":
            return str
        case "url":
            return documents.url_encoded
        case _:
            raise S3Error("InvalidArgument", "Invalid Encoding Method specified in Request.")


def _delimiter(call: Call, name: Callable[[str], str]) -> str:
    delimiter = call.query.get("delimiter", "")
    body = element("Delimiter", name(delimiter)) if delimiter else ""
    return body + (element("EncodingType", "url") if call.query.get("encoding-type") else "")


def prefixes(items: tuple[str, ...], name: Callable[[str], str]) -> str:
    return "".join(
        f"<CommonPrefixes><Prefix>{documents.text(name(item))}</Prefix></CommonPrefixes>" for item in items
    )


def _object(item: Listed, name: Callable[[str], str], *, owner: bool) -> str:
    return (
        f"<Contents><Key>{documents.text(name(item.key))}</Key>"
        f"<LastModified>{documents.timestamp(item.modified_ns)}</LastModified>"
        f"{documents.quoted_etag(item.etag)}<Size>{item.size}</Size>{_OWNER if owner else ''}"
        f"<StorageClass>{documents.text(item.storage_class or 'STANDARD')}</StorageClass></Contents>"
    )


def _version(item: ListedVersion, name: Callable[[str], str]) -> str:
    kind = "DeleteMarker" if item.delete_marker else "Version"
    content = "" if item.delete_marker else f"{documents.quoted_etag(item.etag)}<Size>{item.size}</Size>"
    storage_class = documents.text(item.storage_class or "STANDARD")
    return (
        f"<{kind}><Key>{documents.text(name(item.key))}</Key>"
        f"<VersionId>{documents.text(item.version_id)}</VersionId>"
        f"<IsLatest>{documents.text(item.is_latest)}</IsLatest>"
        f"<LastModified>{documents.timestamp(item.modified_ns)}</LastModified>{content}{_OWNER}"
        f"{'' if item.delete_marker else f'<StorageClass>{storage_class}</StorageClass>'}</{kind}>"
    )


def _to_token(after: str) -> str:
    return base64.urlsafe_b64encode(after.encode("utf-8", "surrogateescape")).decode()


def _from_token(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError) as error:
        raise S3Error("InvalidArgument", "The continuation token provided is incorrect.") from error
