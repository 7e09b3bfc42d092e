"""The tags of an object: get, put, delete."""

from __future__ import annotations

from aiohttp import web

from dualtrack.engine.objects.types import Stored
from dualtrack.gateway.call import Call
from dualtrack.gateway.documents import element
from dualtrack.gateway.headers import check_tags


async def get_tagging(call: Call) -> web.StreamResponse:
    stored, tags = await call.run(call.layer.tags, call.bucket, call.key, call.version_id)
    rows = "".join(
        f"<Tag>{element('Key', name)}{element('Value', value)}</Tag>" for name, value in tags.items()
    )
    call.answer_headers.update(_version(stored))
    return call.xml("Tagging", f"<TagSet>{rows}</TagSet>")


async def put_tagging(call: Call) -> web.StreamResponse:
    document = await call.document("Tagging")
    pairs = [(tag.require("Key"), tag.require("Value")) for tag in document.child("TagSet").all("Tag")]
    tags = check_tags(pairs)
    stored = await call.run(call.layer.set_tags, call.bucket, call.key, call.version_id, tags)
    return call.empty(200, _version(stored))


async def delete_tagging(call: Call) -> web.StreamResponse:
    stored = await call.run(call.layer.set_tags, call.bucket, call.key, call.version_id, None)
    return call.empty(204, _version(stored))


def _version(stored: Stored) -> dict[str, str]:
    return {"x-amz-version-id": stored.version_id} if stored.versioned else {}
