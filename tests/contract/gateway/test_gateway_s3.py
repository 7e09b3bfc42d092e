"""Each S3 operation, by a real client, through the real gateway onto a real drive."""

from __future__ import annotations

import io
import os
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from minio import Minio
from minio.commonconfig import ENABLED, ComposeSource, CopySource, Tags
from minio.datatypes import Part
from minio.deleteobjects import DeleteObject
from minio.error import S3Error
from minio.versioningconfig import SUSPENDED, VersioningConfig

SIZES = (0, 1, 128 * 1024, 128 * 1024 + 1, 1024 * 1024 - 1, 1024 * 1024, 1024 * 1024 + 1, 5 * 1024 * 1024 + 3)


def put(client: Minio, bucket: str, key: str, content: bytes, **more: Any) -> Any:
    return client.put_object(bucket, key, io.BytesIO(content), len(content), **more)


def get(client: Minio, bucket: str, key: str, **more: Any) -> bytes:
    answer = client.get_object(bucket, key, **more)
    try:
        return bytes(answer.data)
    finally:
        answer.close()
        answer.release_conn()


def code_of(error: pytest.ExceptionInfo[S3Error]) -> str:
    return str(error.value.code)


def test_buckets(client: Minio, bucket: str) -> None:
    assert client.bucket_exists(bucket)
    assert bucket in [found.name for found in client.list_buckets()]
    with pytest.raises(S3Error) as caught:
        client.make_bucket(bucket)
    assert code_of(caught) == "BucketAlreadyOwnedByYou"
    put(client, bucket, "k", b"x")
    with pytest.raises(S3Error) as caught:
        client.remove_bucket(bucket)
    assert code_of(caught) == "BucketNotEmpty"
    client.remove_object(bucket, "k")
    client.remove_bucket(bucket)
    assert not client.bucket_exists(bucket)
    with pytest.raises(S3Error) as caught:
        put(client, bucket, "k", b"x")
    assert code_of(caught) == "NoSuchBucket"


@pytest.mark.parametrize("size", SIZES)
def test_content_of_every_size(client: Minio, bucket: str, size: int) -> None:
    content = random.Random(size).randbytes(size)
    written = put(client, bucket, "k", content, content_type="a/b")
    head = client.stat_object(bucket, "k")
    assert (head.size, head.etag, head.content_type) == (size, written.etag, "a/b")
    assert get(client, bucket, "k") == content
    for offset, length in ((0, 1), (size // 2, 10), (max(size - 3, 0), 3)):
        if offset + length <= size:
            assert get(client, bucket, "k", offset=offset, length=length) == content[offset : offset + length]


def test_overwriting_and_deleting(client: Minio, bucket: str) -> None:
    for content in (b"one", os.urandom(2_000_000), b"three"):
        put(client, bucket, "dir/k", content)
        assert get(client, bucket, "dir/k") == content
    client.remove_object(bucket, "dir/k")
    client.remove_object(bucket, "dir/k")
    with pytest.raises(S3Error) as caught:
        get(client, bucket, "dir/k")
    assert code_of(caught) == "NoSuchKey"


def test_user_metadata_headers_and_storage_class(client: Minio, bucket: str) -> None:
    headers = {
        "Cache-Control": "no-cache",
        "Content-Disposition": "attachment",
        "Content-Language": "de",
        "x-amz-meta-one": "1",
        "x-amz-meta-Two-Words": "a b",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
    }
    put(client, bucket, "k", b"x", metadata=headers)
    found = {name.lower(): value for name, value in client.stat_object(bucket, "k").metadata.items()}
    for name, value in headers.items():
        assert found[name.lower()] == value


def test_keys_with_odd_characters(client: Minio, bucket: str) -> None:
    keys = [
        "a b",
        "a+b",
        "ü/é",
        "日本/語",
        "a&b<c>",
        "per%cent",
        "dir/",
        "q?x=1",
        "hash#x",
        "~t",
        "back\\slash",
        "k" * 255,
    ]
    for key in keys:
        content = b"" if key.endswith("/") else key.encode()
        put(client, bucket, key, content)
        assert get(client, bucket, key) == content
    listed = [found.object_name for found in client.list_objects(bucket, recursive=True)]
    assert listed == sorted(keys, key=str.encode)
    for key in keys:
        client.remove_object(bucket, key)
    assert list(client.list_objects(bucket, recursive=True)) == []


def test_listing_by_prefix_and_delimiter(client: Minio, bucket: str) -> None:
    keys = ["a/1", "a/2", "a/b/3", "ab", "b/4", "c"]
    for key in keys:
        put(client, bucket, key, b"x")

    def names(**query: Any) -> list[str]:
        return [str(found.object_name) for found in client.list_objects(bucket, **query)]

    assert names(recursive=True) == keys
    assert names() == ["ab", "c", "a/", "b/"] or sorted(names()) == ["a/", "ab", "b/", "c"]
    assert sorted(names(prefix="a/")) == ["a/1", "a/2", "a/b/"]
    assert names(prefix="a", recursive=True) == ["a/1", "a/2", "a/b/3", "ab"]
    assert names(recursive=True, start_after="a/2") == ["a/b/3", "ab", "b/4", "c"]
    assert names(recursive=True, use_api_v1=True) == keys
    assert sorted(names(use_api_v1=True, start_after="ab")) == ["b/", "c"]


@pytest.mark.parametrize("delimiter", ["", "/"])
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_every_page_size_gives_the_same_listing(
    client: Minio, bucket: str, size: int, delimiter: str
) -> None:
    for key in ("a/1", "a/2", "b", "c/1", "c/2", "c/3", "d"):
        put(client, bucket, key, b"x")
    found: list[str] = []
    token = ""
    for _ in range(10):
        query = {"list-type": "2", "max-keys": str(size), "delimiter": delimiter}
        text = client._execute(
            "GET", bucket, query_params=query | ({"continuation-token": token} if token else {})
        ).data.decode()
        page = [part.partition("<")[0] for part in text.replace("<Prefix>", "<Key>").split("<Key>")[1:]]
        page = [key for key in page if key]
        assert len(page) <= size
        found += page
        token = text.partition("<NextContinuationToken>")[2].partition("<")[0]
        if not token:
            break
    everything = ["a/", "b", "c/", "d"] if delimiter else ["a/1", "a/2", "b", "c/1", "c/2", "c/3", "d"]
    assert sorted(found) == everything


def test_conditional_requests(client: Minio, bucket: str) -> None:
    etag = str(put(client, bucket, "k", b"one").etag)
    later = datetime.now(UTC) + timedelta(hours=1)
    with pytest.raises(S3Error) as caught:
        client._execute("PUT", bucket, "k", body=b"two", headers={"If-None-Match": "*"})
    assert code_of(caught) == "PreconditionFailed"
    client._execute("PUT", bucket, "k", body=b"two", headers={"If-Match": f'"{etag}"'})
    with pytest.raises(S3Error) as caught:
        client._execute("PUT", bucket, "k", body=b"three", headers={"If-Match": f'"{etag}"'})
    assert code_of(caught) == "PreconditionFailed"
    assert get(client, bucket, "k") == b"two"
    with pytest.raises(S3Error) as caught:
        client.copy_object(bucket, "copy", CopySource(bucket, "k", modified_since=later))
    assert code_of(caught) == "PreconditionFailed"


def test_copying(client: Minio, bucket: str) -> None:
    tags = Tags.new_object_tags()
    tags["t"] = "1"
    content = os.urandom(1_500_000)
    put(client, bucket, "source ü", content, metadata={"x-amz-meta-a": "1"}, tags=tags, content_type="a/b")
    client.copy_object(bucket, "plain", CopySource(bucket, "source ü"))
    assert get(client, bucket, "plain") == content
    copied = client.stat_object(bucket, "plain")
    assert (copied.metadata["x-amz-meta-a"], copied.content_type) == ("1", "a/b")
    assert client.get_object_tags(bucket, "plain") == tags
    client.copy_object(
        bucket,
        "changed",
        CopySource(bucket, "source ü"),
        metadata={"b": "2"},
        metadata_directive="REPLACE",
        tagging_directive="REPLACE",
    )
    changed = client.stat_object(bucket, "changed")
    assert "x-amz-meta-a" not in changed.metadata
    assert changed.metadata["x-amz-meta-b"] == "2"
    assert client.get_object_tags(bucket, "changed") is None
    with pytest.raises(S3Error) as caught:
        client.copy_object(bucket, "plain", CopySource(bucket, "plain"))
    assert code_of(caught) == "InvalidRequest"
    client.copy_object(
        bucket, "plain", CopySource(bucket, "plain"), metadata={"c": "3"}, metadata_directive="REPLACE"
    )
    assert client.stat_object(bucket, "plain").metadata["x-amz-meta-c"] == "3"
    assert get(client, bucket, "plain") == content


def test_tagging(client: Minio, bucket: str) -> None:
    put(client, bucket, "k", b"x")
    assert client.get_object_tags(bucket, "k") is None
    tags = Tags.new_object_tags()
    tags["colour"] = "blue and green"
    tags["Größe"] = "1/2"
    client.set_object_tags(bucket, "k", tags)
    assert client.get_object_tags(bucket, "k") == tags
    assert client.stat_object(bucket, "k").metadata["x-amz-tagging-count"] == "2"
    client.delete_object_tags(bucket, "k")
    assert client.get_object_tags(bucket, "k") is None
    with pytest.raises(S3Error) as caught:
        client.get_object_tags(bucket, "none")
    assert code_of(caught) == "NoSuchKey"


def test_versions(client: Minio, bucket: str) -> None:
    client.set_bucket_versioning(bucket, VersioningConfig(ENABLED))
    assert client.get_bucket_versioning(bucket).status == ENABLED
    ids = [str(put(client, bucket, "k", text).version_id) for text in (b"one", b"two")]
    assert len(set(ids)) == 2
    client.remove_object(bucket, "k")
    with pytest.raises(S3Error) as caught:
        get(client, bucket, "k")
    assert code_of(caught) == "NoSuchKey"
    listed = list(client.list_objects(bucket, recursive=True, include_version=True))
    listed.sort(key=lambda version: not version.is_delete_marker)
    assert [(v.version_id in ids, v.is_delete_marker, v.is_latest) for v in listed] == [
        (False, True, "true"),
        (True, False, "false"),
        (True, False, "false"),
    ]
    marker = str(listed[0].version_id)
    with pytest.raises(S3Error) as caught:
        get(client, bucket, "k", version_id=marker)
    assert code_of(caught) == "MethodNotAllowed"
    assert get(client, bucket, "k", version_id=ids[0]) == b"one"
    client.remove_object(bucket, "k", version_id=marker)
    assert get(client, bucket, "k") == b"two"
    client.remove_object(bucket, "k", version_id=ids[1])
    assert get(client, bucket, "k") == b"one"
    with pytest.raises(S3Error) as caught:
        get(client, bucket, "k", version_id=ids[1])
    assert code_of(caught) == "NoSuchVersion"


def test_null_versions_after_suspension(client: Minio, bucket: str) -> None:
    put(client, bucket, "k", b"before")
    client.set_bucket_versioning(bucket, VersioningConfig(ENABLED))
    put(client, bucket, "k", b"versioned")
    assert get(client, bucket, "k", version_id="null") == b"before"
    client.set_bucket_versioning(bucket, VersioningConfig(SUSPENDED))
    put(client, bucket, "k", b"after")
    assert get(client, bucket, "k") == get(client, bucket, "k", version_id="null") == b"after"
    assert len(list(client.list_objects(bucket, include_version=True))) == 2


def test_deleting_many(client: Minio, bucket: str) -> None:
    keys = [f"d/{number}" for number in range(50)]
    for key in keys:
        put(client, bucket, key, b"x")
    assert list(client.remove_objects(bucket, [DeleteObject(key) for key in [*keys[:49], "never"]])) == []
    assert [found.object_name for found in client.list_objects(bucket, recursive=True)] == keys[49:]


def test_multipart_by_the_client(client: Minio, bucket: str) -> None:
    content = random.Random(1).randbytes(12 * 1024 * 1024)
    written = client.put_object(
        bucket, "big", io.BytesIO(content), -1, part_size=5 * 1024 * 1024, metadata={"x-amz-meta-a": "1"}
    )
    assert str(written.etag).endswith("-3")
    head = client.stat_object(bucket, "big")
    assert (head.size, head.etag, head.metadata["x-amz-meta-a"]) == (len(content), written.etag, "1")
    assert get(client, bucket, "big") == content
    edge = 5 * 1024 * 1024
    assert get(client, bucket, "big", offset=edge - 5, length=10) == content[edge - 5 : edge + 5]
    composed = client.compose_object(
        bucket, "twice", [ComposeSource(bucket, "big"), ComposeSource(bucket, "big", offset=7, length=100)]
    )
    assert str(composed.etag).endswith("-2")
    assert get(client, bucket, "twice") == content + content[7:107]


def test_multipart_by_hand(client: Minio, bucket: str) -> None:
    upload = client._create_multipart_upload(bucket, "k", {"Content-Type": "a/b"})
    part = os.urandom(5 * 1024 * 1024)
    etag = client._upload_part(bucket, "k", part, None, upload, 1)
    client._upload_part(bucket, "k", b"to be replaced", None, upload, 2)
    last = client._upload_part(bucket, "k", b"tail", None, upload, 2)
    parts = client._list_parts(bucket, "k", upload).parts
    assert [(found.part_number, found.etag, found.size) for found in parts] == [
        (1, etag, len(part)),
        (2, last, 4),
    ]
    uploads = client._list_multipart_uploads(bucket).uploads
    assert [(found.object_name, found.upload_id) for found in uploads] == [("k", upload)]
    wrong = [Part(1, "0" * 32), Part(2, last)]
    with pytest.raises(S3Error) as caught:
        client._complete_multipart_upload(bucket, "k", upload, wrong)
    assert code_of(caught) == "InvalidPart"
    client._complete_multipart_upload(bucket, "k", upload, client._list_parts(bucket, "k", upload).parts)
    assert get(client, bucket, "k") == part + b"tail"
    with pytest.raises(S3Error) as caught:
        client._list_parts(bucket, "k", upload)
    assert code_of(caught) == "NoSuchUpload"


def test_aborting_an_upload(client: Minio, bucket: str) -> None:
    upload = client._create_multipart_upload(bucket, "k", {})
    client._upload_part(bucket, "k", b"x", None, upload, 1)
    client._abort_multipart_upload(bucket, "k", upload)
    assert client._list_multipart_uploads(bucket).uploads == []
    with pytest.raises(S3Error) as caught:
        client._upload_part(bucket, "k", b"x", None, upload, 1)
    assert code_of(caught) == "NoSuchUpload"
    assert list(client.list_objects(bucket)) == []


def test_parts_that_are_too_small_are_refused(client: Minio, bucket: str) -> None:
    upload = client._create_multipart_upload(bucket, "k", {})
    for number in (1, 2):
        client._upload_part(bucket, "k", b"small", None, upload, number)
    parts = client._list_parts(bucket, "k", upload).parts
    with pytest.raises(S3Error) as caught:
        client._complete_multipart_upload(bucket, "k", upload, parts)
    assert code_of(caught) == "EntityTooSmall"


def test_a_presigned_upload_and_download(client: Minio, bucket: str) -> None:
    pool = client._http
    put_url = client.presigned_put_object(bucket, "a b")
    assert pool.request("PUT", put_url, body=b"hello").status == 200
    get_url = client.presigned_get_object(bucket, "a b", expires=timedelta(minutes=1))
    assert pool.request("GET", get_url).data == b"hello"
    assert pool.request("GET", get_url.replace("a%20b", "c")).status == 403


@pytest.mark.parametrize("key", ["a//b", "x" * 256, "y" * 1024])
def test_keys_that_no_drive_can_hold_are_refused(client: Minio, bucket: str, key: str) -> None:
    with pytest.raises(S3Error) as caught:
        client._execute("PUT", bucket, key, body=b"x")
    assert code_of(caught) in ("InvalidArgument", "KeyTooLongError")
    assert list(client.list_objects(bucket, recursive=True)) == []


def test_wrong_credentials(shared: Any, bucket: str) -> None:
    for access, secret, code in (
        ("nobody", "peersecret123", "InvalidAccessKeyId"),
        ("peeradmin", "wrong-secret", "SignatureDoesNotMatch"),
    ):
        stranger = Minio(
            shared.address,
            access,
            secret,
            secure=False,
            region="us-east-1",
            http_client=shared.client()._http,
        )
        with pytest.raises(S3Error) as caught:
            stranger.list_buckets()
        assert code_of(caught) == code
