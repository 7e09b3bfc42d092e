"""Buckets: create, head, list, delete, location, versioning."""

from __future__ import annotations

import ipaddress
import re

from aiohttp import web

from dualtrack.engine.objects.types import Versioning
from dualtrack.gateway import documents
from dualtrack.gateway.call import Call
from dualtrack.gateway.documents import element
from dualtrack.gateway.errors import S3Error
from dualtrack.gateway.headers import refuse_unserved
from dualtrack.gateway.settings import DEFAULT_REGION

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)


async def list_buckets(call: Call) -> web.StreamResponse:
    buckets = await call.run(call.layer.list_buckets)
    rows = "".join(
        f"<Bucket>{element('Name', bucket.name)}"
        f"<CreationDate>{documents.timestamp(bucket.created_ns)}</CreationDate></Bucket>"
        for bucket in buckets
    )
    return call.xml("ListAllMyBucketsResult", f"<Owner>{documents.OWNER}</Owner><Buckets>{rows}</Buckets>")


async def create_bucket(call: Call) -> web.StreamResponse:
    check_name(call.bucket)
    refuse_unserved(call.headers)
    body = await call.small_body()
    if body:
        location = documents.parse(body, "CreateBucketConfiguration").find("LocationConstraint") or ""
        if location not in ("", call.backend.region):
            raise S3Error(
                "IllegalLocationConstraintException",
                f"The location constraint {location} is not that of this server, {call.backend.region}.",
            )
    await call.run(call.layer.create_bucket, call.bucket)
    return call.empty(200, {"Location": f"/{call.bucket}"})


async def head_bucket(call: Call) -> web.StreamResponse:
    await call.run(call.layer.bucket, call.bucket)
    return call.empty(200, {"x-amz-bucket-region": call.backend.region})


async def delete_bucket(call: Call) -> web.StreamResponse:
    await call.run(call.layer.delete_bucket, call.bucket)
    return call.empty(204)


async def get_location(call: Call) -> web.StreamResponse:
    await call.run(call.layer.bucket, call.bucket)
    region = "" if call.backend.region == DEFAULT_REGION else call.backend.region
    return call.xml("LocationConstraint", documents.text(region))


async def get_versioning(call: Call) -> web.StreamResponse:
    state = await call.run(call.layer.versioning, call.bucket)
    return call.xml("VersioningConfiguration", element("Status", state) if state else "")


async def put_versioning(call: Call) -> web.StreamResponse:
    document = await call.document("VersioningConfiguration")
    if document.find("MfaDelete") == "Enabled" or document.find("ExcludedPrefixes") is not None:
        raise S3Error("NotImplemented", "MFA delete and excluded prefixes are not implemented.")
    await call.run(call.layer.set_versioning, call.bucket, _state(document.find("Status")))
    return call.empty(200)


def _state(text: str | None) -> Versioning:
    match text:
        case "Enabled":
            return "Enabled"
        case "Suspended":
            return "Suspended"
        case _:
            raise S3Error("MalformedXML", "Status must be Enabled or Suspended.")


def check_name(name: str) -> None:
    """The naming rules for general purpose buckets (Amazon S3 User Guide)."""
    good = _NAME.fullmatch(name) and ".." not in name and not name.startswith("xn--")
    if good:
        try:
            ipaddress.IPv4Address(name)
        except ValueError:
            return
    raise S3Error("InvalidBucketName", "The specified bucket is not valid.", details={"BucketName": name})
