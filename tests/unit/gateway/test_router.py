"""Each request finds its operation, and nothing that is not served passes for something that is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dualtrack.gateway.errors import S3Error
from dualtrack.gateway.router import BUCKET, SERVED, UNSERVED, route


@pytest.mark.parametrize(
    ("method", "bucket", "key", "query", "copying", "operation"),
    [
        ("GET", "", "", {}, False, "ListBuckets"),
        ("GET", "b", "", {}, False, "ListObjects"),
        ("GET", "b", "", {"list-type": "2", "prefix": "x"}, False, "ListObjectsV2"),
        ("GET", "b", "", {"versions": "", "prefix": "x"}, False, "ListObjectVersions"),
        ("GET", "b", "", {"uploads": ""}, False, "ListMultipartUploads"),
        ("POST", "b", "", {"delete": ""}, False, "DeleteObjects"),
        ("PUT", "b", "k", {}, True, "CopyObject"),
        ("PUT", "b", "k", {"uploadId": "u", "partNumber": "1"}, False, "UploadPart"),
        ("PUT", "b", "k", {"uploadId": "u", "partNumber": "1"}, True, "UploadPartCopy"),
        ("GET", "b", "k", {"uploadId": "u"}, False, "ListParts"),
        ("DELETE", "b", "k", {"versionId": "v"}, False, "DeleteObject"),
        ("PUT", "b", "k", {"tagging": "", "versionId": "v"}, False, "PutObjectTagging"),
        ("GET", "b", "k", {"response-content-type": "x", "X-Amz-Expires": "5"}, False, "GetObject"),
    ],
)
def test_operations(
    method: str, bucket: str, key: str, query: dict[str, str], copying: bool, operation: str
) -> None:
    assert route(method, bucket, key, query, copying=copying).operation == operation


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize(("level", "name"), UNSERVED)
def test_every_known_subresource_that_is_not_served_answers_501(level: str, name: str, method: str) -> None:
    with pytest.raises(S3Error) as caught:
        route(method, "b", "" if level == BUCKET else "k", {name: ""}, copying=False)
    assert caught.value.status == 501


@pytest.mark.parametrize(
    ("method", "bucket", "key", "query", "status"),
    [
        ("POST", "b", "", {}, 501),
        ("OPTIONS", "b", "k", {}, 501),
        ("DELETE", "b", "", {"versioning": ""}, 501),
        ("PATCH", "b", "k", {}, 405),
        ("DELETE", "", "", {}, 405),
        ("GET", "b", "", {"list-type": "3"}, 400),
        ("PUT", "b", "k", {"uploads": "", "uploadId": "x"}, 501),
    ],
)
def test_what_is_neither(method: str, bucket: str, key: str, query: dict[str, str], status: int) -> None:
    with pytest.raises(S3Error) as caught:
        route(method, bucket, key, query, copying=False)
    assert caught.value.status == status


def test_operations_are_named_once() -> None:
    names = [found.operation for found in SERVED.values()]
    assert len(names) == len(set(names))


def test_the_documentation_lists_what_is_served_and_what_is_not() -> None:
    page = (Path(__file__).parents[3] / "docs" / "gateway.md").read_text()
    served, unserved = page.split("## Operations that answer 501 NotImplemented")
    assert {found.operation for found in SERVED.values()} <= set(re.findall(r"\w+", served))
    assert {name for _, name in UNSERVED} == set(re.findall(r"^\| `([\w-]+)` \|", unserved, re.MULTILINE))
