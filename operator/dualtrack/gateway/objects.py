"""Objects: put, get, head, delete, and the deletion of many."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

from aiohttp import web
from multidict import CIMultiDict

from dualtrack.engine.objects import errors as conditions_of_layer
from dualtrack.engine.objects.types import Deleted, Source, Span, Stored, Written
from dualtrack.gateway import conditions, headers
from dualtrack.gateway.call import Call
from dualtrack.gateway.documents import Node, element
from dualtrack.gateway.errors import S3Error, translate

MAX_DELETE = 1000
PARALLEL_DELETES = 8


async def put_object(call: Call) -> web.StreamResponse:
    headers.refuse_unserved(call.headers)
    attributes = headers.attributes(call.headers)
    check = conditions.write_check(call.headers)
    known = headers.known_content(call.headers)

    def put(source: Source) -> Written:
        if known is None:
            return call.layer.put(call.bucket, call.key, source, attributes, check)
        if any(source.chunks()):
            raise S3Error("InvalidArgument", f"A request with {headers.CONTENT_HASH} has no body.")
        source.verify()
        return call.layer.put_known(call.bucket, call.key, known, attributes, check)

    return call.empty(200, written_headers(await call.with_body(put)))


def written_headers(written: Written) -> dict[str, str]:
    answer = {"ETag": f'"{written.etag}"'}
    if written.version_id is not None:
        answer["x-amz-version-id"] = written.version_id
    return answer


async def head_object(call: Call) -> web.StreamResponse:
    stored = await call.run(_stat, call)
    try:
        conditions.check_read(call.headers, stored)
    except conditions.NotModified:
        return _not_modified(stored)
    span = _span(call, stored)
    answer = headers.of_object(stored)
    headers.override(answer, call.query)
    status, length = _extent(answer, stored, span)
    answer["Content-Length"] = str(length)
    return call.empty(status, answer)


def _stat(call: Call) -> Stored:
    return call.layer.stat(call.bucket, call.key, call.version_id)


async def get_object(call: Call) -> web.StreamResponse:
    span = conditions.parse_range(call.headers.get("range"))
    try:
        stored, content, first = await call.run(_open, call, span)
    except conditions_of_layer.InvalidRange:
        # A failed condition comes before a bad range.
        conditions.check_read(call.headers, await call.run(_stat, call))
        raise
    except conditions.NotModified as unchanged:
        return _not_modified(unchanged.args[0])
    try:
        answer = headers.of_object(stored)
        headers.override(answer, call.query)
        status, length = _extent(answer, stored, _span(call, stored))
        if len(first) == length:
            return web.Response(
                status=status, body=first, headers=CIMultiDict({**call.answer_headers, **answer})
            )
        return await _stream(call, status, answer, length, content, first)
    finally:
        _close(content)


def _open(call: Call, span: Span | None) -> tuple[Stored, Iterator[bytes], bytes]:
    """The version, the rest of its content, and the first piece, all in one go to a thread."""
    stored, content = call.layer.read(call.bucket, call.key, call.version_id, span)
    try:
        conditions.check_read(call.headers, stored)
    except conditions.NotModified as unchanged:
        _close(content)
        raise conditions.NotModified(stored) from unchanged
    except S3Error:
        _close(content)
        raise
    return stored, content, next(content, b"")


def _close(content: Iterator[bytes]) -> None:
    close = getattr(content, "close", None)
    if close is not None:
        close()


async def _stream(
    call: Call, status: int, answer: dict[str, str], length: int, content: Iterator[bytes], first: bytes
) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers=CIMultiDict({**call.answer_headers, **answer}))
    response.content_length = length
    call.response = response
    await response.prepare(call.request)
    piece = first
    while piece:
        await response.write(piece)
        piece = await call.run(next, content, b"")
    await response.write_eof()
    return response


def _span(call: Call, stored: Stored) -> Span | None:
    number = call.query.get("partNumber")
    if number is None:
        return conditions.parse_range(call.headers.get("range"))
    if stored.parts > 1:
        raise S3Error(
            "NotImplemented", "Reading one part of a multipart object is not implemented; use a range."
        )
    if number != "1":
        raise S3Error("InvalidArgument", "The requested partNumber is not satisfiable.")
    return None


def _extent(answer: dict[str, str], stored: Stored, span: Span | None) -> tuple[int, int]:
    """Status and length of the answer; sets Content-Range."""
    if span is None:
        return 200, stored.size
    found = span.resolve(stored.size)
    if found is None:
        raise S3Error(
            "InvalidRange",
            "The requested range is not satisfiable.",
            headers={"Content-Range": f"bytes */{stored.size}"},
        )
    offset, length = found
    answer["Content-Range"] = f"bytes {offset}-{offset + length - 1}/{stored.size}"
    return 206, length


def _not_modified(stored: Stored) -> web.Response:
    answer = headers.of_object(stored)
    kept = ("ETag", "Last-Modified", "Cache-Control", "Expires", "x-amz-version-id")
    return web.Response(status=304, headers={name: answer[name] for name in kept if name in answer})


async def delete_object(call: Call) -> web.StreamResponse:
    deleted = await call.run(_delete, call, call.key, call.version_id)
    answer = {}
    if deleted.version_id is not None:
        answer["x-amz-version-id"] = deleted.version_id
    if deleted.marker:
        answer["x-amz-delete-marker"] = "true"
    return call.empty(204, answer)


def _delete(call: Call, key: str, version_id: str | None) -> Deleted:
    bypass = call.headers.get("x-amz-bypass-governance-retention", "").lower() == "true"
    return call.layer.delete(call.bucket, key, version_id, bypass_governance=bypass)


async def delete_objects(call: Call) -> web.StreamResponse:
    document = await call.document("Delete")
    items = list(document.all("Object"))
    if not 0 < len(items) <= MAX_DELETE:
        raise S3Error("MalformedXML", f"Name between 1 and {MAX_DELETE} objects.")
    named = [(item.require("Key"), item.find("VersionId") or None) for item in items]
    await call.run(call.layer.bucket, call.bucket)
    gate = asyncio.Semaphore(PARALLEL_DELETES)

    async def one(key: str, version_id: str | None) -> str:
        async with gate:
            return await call.run(_delete_one, call, key, version_id)

    rows = await asyncio.gather(*(one(key, version_id) for key, version_id in named))
    return call.xml("DeleteResult", "".join(_reported(document, rows)))


def _reported(document: Node, rows: list[str]) -> Iterator[str]:
    quiet = document.find("Quiet") == "true"
    return (row for row in rows if not quiet or row.startswith("<Error>"))


def _delete_one(call: Call, key: str, version_id: str | None) -> str:
    started = time.perf_counter()
    track = call.layer.track(call.bucket, key)
    status = 204
    try:
        row = _deleted(key, version_id, _delete(call, key, version_id))
    except Exception as error:  # noqa: BLE001 - one key's failure is that key's answer
        answer = translate(error)
        status = answer.status
        row = _failed(key, version_id, answer)
    call.backend.meter.request("delete_object", track, (time.perf_counter() - started) * 1000, status)
    return row


def _deleted(key: str, version_id: str | None, deleted: Deleted) -> str:
    body = element("Key", key)
    if version_id is not None:
        body += element("VersionId", version_id)
    if deleted.marker:
        body += element("DeleteMarker", True) + element("DeleteMarkerVersionId", deleted.version_id or "null")
    return f"<Deleted>{body}</Deleted>"


def _failed(key: str, version_id: str | None, error: S3Error) -> str:
    body = element("Key", key) + (element("VersionId", version_id) if version_id is not None else "")
    return f"<Error>{body}{element('Code', error.code)}{element('Message', error.message)}</Error>"
