"""Versioning, preconditions, object lock and undecodable content: S3's rules above any mode."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dualtrack.engine.formats import changes, xlmeta
from dualtrack.engine.formats.bodies import NULL_ID
from dualtrack.engine.objects.errors import (
    BucketExists,
    BucketNotEmpty,
    InvalidArgument,
    InvalidBucketName,
    InvalidRange,
    MethodNotAllowed,
    NoSuchBucket,
    NoSuchKey,
    NoSuchVersion,
    ObjectLocked,
    PreconditionFailed,
    Unavailable,
    Undecodable,
)
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.types import Attributes, Span, Stored
from layers import Body, opened


@pytest.fixture
def layer(drive: Path) -> Iterator[ObjectLayer]:
    with opened(drive, "fs/0") as layer:
        layer.create_bucket("bucket")
        layer.set_versioning("bucket", "Enabled")
        yield layer


def put(layer: ObjectLayer, key: str, content: bytes, **headers: str) -> str:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    version = layer.put("bucket", key, Body(content), Attributes(named)).version_id
    assert version is not None
    return version


def future() -> str:
    return (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%S.123456789Z")


def test_a_delete_marker_hides_the_object_and_is_named_by_the_error(layer: ObjectLayer) -> None:
    version = put(layer, "key", b"1")
    marker = layer.delete("bucket", "key")
    with pytest.raises(NoSuchKey) as hidden:
        layer.stat("bucket", "key")
    assert hidden.value.marker_version == marker.version_id
    with pytest.raises(MethodNotAllowed):
        layer.read("bucket", "key", marker.version_id)
    assert layer.stat("bucket", "key", marker.version_id).delete_marker
    assert layer.stat("bucket", "key", version).size == 1
    assert layer.delete("bucket", "key", marker.version_id).marker
    assert layer.stat("bucket", "key").version_id == version


def test_deleting_what_is_not_there_succeeds(layer: ObjectLayer) -> None:
    assert not layer.delete("bucket", "nothing", "null").marker
    assert layer.delete("bucket", "nothing").marker
    layer.create_bucket("plain")
    assert layer.delete("plain", "nothing").version_id is None


def test_a_null_version_from_before_is_kept_beside_versions(layer: ObjectLayer) -> None:
    layer.create_bucket("later")
    layer.put("later", "key", Body(b"null"), Attributes())
    layer.set_versioning("later", "Enabled")
    layer.put("later", "key", Body(b"version"), Attributes())
    layer.set_versioning("later", "Suspended")
    layer.put("later", "key", Body(b"null again"), Attributes())
    found = layer.list_versions("later", "", "", "", "", 10).versions
    assert [(each.version_id == "null", each.size) for each in found] == [(True, 10), (False, 7)]


def test_directory_objects_have_no_versions(layer: ObjectLayer) -> None:
    assert layer.put("bucket", "dir/", Body(b"1"), Attributes()).version_id is None
    assert layer.delete("bucket", "dir/").version_id is None
    with pytest.raises(NoSuchKey):
        layer.stat("bucket", "dir/")


@pytest.mark.parametrize("version", ["", "x", "4A2818FC", "{4a2818fc-637c-4be8-ab91-73de53da7668}"])
def test_a_malformed_version_id_is_an_argument_error(layer: ObjectLayer, version: str) -> None:
    put(layer, "key", b"1")
    for call in (layer.stat, layer.read, layer.delete):
        with pytest.raises(InvalidArgument):
            call("bucket", "key", version)


def test_an_unknown_version_is_told_from_an_unknown_key(layer: ObjectLayer) -> None:
    put(layer, "key", b"1")
    unknown = "4a2818fc-637c-4be8-ab91-73de53da7668"
    for key in ("key", "nothing"):
        with pytest.raises(NoSuchVersion):
            layer.stat("bucket", key, unknown)


def test_a_precondition_sees_the_current_version_under_the_lock(layer: ObjectLayer) -> None:
    seen: list[str | None] = []

    def absent(current: Stored | None) -> None:
        seen.append(current.version_id if current else None)
        if current is not None:
            raise PreconditionFailed("it exists", "bucket", "key")

    first = layer.put("bucket", "key", Body(b"1"), Attributes(), absent)
    with pytest.raises(PreconditionFailed):
        layer.put("bucket", "key", Body(bytes(200_000)), Attributes(), absent)
    layer.delete("bucket", "key")
    layer.put("bucket", "key", Body(b"2"), Attributes(), absent)
    assert seen == [None, first.version_id, None]


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (Span(0, 0), b"0"),
        (Span(3, None), b"3456789"),
        (Span(None, 2), b"89"),
        (Span(None, 50), b"0123456789"),
        (Span(8, 99), b"89"),
    ],
)
def test_ranges(layer: ObjectLayer, span: Span, expected: bytes) -> None:
    put(layer, "key", b"0123456789")
    assert b"".join(layer.read("bucket", "key", None, span)[1]) == expected


@pytest.mark.parametrize("span", [Span(10, None), Span(11, 12), Span(None, 0)])
def test_ranges_outside_are_refused_with_the_size(layer: ObjectLayer, span: Span) -> None:
    put(layer, "key", b"0123456789")
    with pytest.raises(InvalidRange) as refused:
        layer.read("bucket", "key", None, span)
    assert refused.value.size == 10


def hold(value: str) -> dict[str, str]:
    return {"x_amz_object_lock_legal_hold": value}


def retention(mode: str, until: str) -> dict[str, str]:
    return {"x_amz_object_lock_mode": mode, "x_amz_object_lock_retain_until_date": until}


@pytest.mark.parametrize(
    ("headers", "bypass", "locked"),
    [
        (hold("ON"), True, True),
        (hold("OFF"), False, False),
        (retention("COMPLIANCE", future()), True, True),
        (retention("GOVERNANCE", future()), False, True),
        (retention("GOVERNANCE", future()), True, False),
        (retention("COMPLIANCE", "2020-01-01T00:00:00Z"), False, False),
        (retention("COMPLIANCE", "rubbish"), False, True),
    ],
)
def test_a_locked_version_cannot_be_deleted_by_its_id(
    layer: ObjectLayer, headers: dict[str, str], bypass: bool, locked: bool
) -> None:
    version = put(layer, "key", b"1", **headers)
    assert layer.delete("bucket", "key", bypass_governance=bypass).marker
    if locked:
        with pytest.raises(ObjectLocked):
            layer.delete("bucket", "key", version, bypass_governance=bypass)
        assert layer.stat("bucket", "key", version).size == 1
    else:
        layer.delete("bucket", "key", version, bypass_governance=bypass)
        with pytest.raises(NoSuchVersion):
            layer.stat("bucket", "key", version)


@pytest.mark.parametrize(
    "marks",
    [
        {"X-Minio-Internal-compression": b"klauspost/compress/s2"},
        {"X-Minio-Internal-Server-Side-Encryption-Sealed-Key": b"x"},
        {"x-rustfs-internal-transition-status": b"complete"},
    ],
)
def test_what_another_server_transformed_is_described_but_not_read(
    layer: ObjectLayer, marks: dict[str, bytes]
) -> None:
    version = changes.new_object_version(
        version_id=NULL_ID,
        data_dir=b"d" * 16,
        mod_time_ns=1,
        parts=[changes.Part(1, 100, 250)],
        meta_user={"etag": "e" * 32, "content-type": "a/b"},
        meta_sys=marks,
    )
    layer.opened.fs.write("bucket", "sealed", xlmeta.encode(changes.add_version(xlmeta.empty(), version)))
    found = layer.stat("bucket", "sealed")
    assert (found.decodable, found.headers["content-type"]) == (False, "a/b")
    with pytest.raises(Undecodable):
        layer.read("bucket", "sealed")
    layer.set_tags("bucket", "sealed", None, {"a": "b"})
    assert layer.stat("bucket", "sealed").tags == {"a": "b"}
    layer.delete("bucket", "sealed", "null")


def test_a_flipped_bit_is_never_given_out(drive: Path, layer: ObjectLayer) -> None:
    put(layer, "large", bytes(3 << 20))
    put(layer, "small", b"0123456789")
    (part,) = (drive / "bucket/large").glob("*/part.1")
    damaged = bytearray(part.read_bytes())
    damaged[-1] ^= 1
    part.write_bytes(damaged)
    content = layer.read("bucket", "large")[1]
    assert len(next(content)) == 1 << 20
    assert len(next(content)) == 1 << 20
    with pytest.raises(Unavailable):
        next(content)
    meta = drive / "bucket/small/xl.meta"
    meta.write_bytes(meta.read_bytes().replace(b"0123456789", b"0123456788"))
    with pytest.raises(Unavailable):
        layer.read("bucket", "small")


def test_a_missing_part_is_unavailable_not_empty(drive: Path, layer: ObjectLayer) -> None:
    put(layer, "large", bytes(200_000))
    (part,) = (drive / "bucket/large").glob("*/part.1")
    part.unlink()
    with pytest.raises(Unavailable):
        layer.read("bucket", "large")


def test_a_copy_keeps_or_replaces_attributes(layer: ObjectLayer) -> None:
    headers = {"content-type": "a/b", "x-amz-object-lock-legal-hold": "ON"}
    layer.put("bucket", "from", Body(bytes(2 << 20)), Attributes(headers, {"k": "v"}, {"t": "1"}))
    layer.copy("bucket", "from", None, "bucket", "to", None)
    kept = layer.stat("bucket", "to")
    assert (kept.user, kept.tags, kept.headers) == ({"k": "v"}, {"t": "1"}, {"content-type": "a/b"})
    layer.copy("bucket", "from", None, "bucket", "from", Attributes(user={"new": "1"}))
    assert layer.stat("bucket", "from").user == {"new": "1"}
    assert b"".join(layer.read("bucket", "from")[1]) == bytes(2 << 20)


def test_buckets(drive: Path, layer: ObjectLayer) -> None:
    with pytest.raises(BucketExists):
        layer.create_bucket("bucket")
    for name in ("ab", "UPPER", "a..b", "1.2.3.4", "a/b", ".minio.sys", "x" * 64):
        with pytest.raises(InvalidBucketName):
            layer.create_bucket(name)
    (drive / "lost+found").mkdir()
    for name in ("nothing", ".minio.sys", "a/b", "", "lost+found"):
        with pytest.raises(NoSuchBucket):
            layer.bucket(name)
        with pytest.raises(NoSuchBucket):
            layer.list_objects(name, "", "", "", 1)
    put(layer, "key", b"1")
    with pytest.raises(BucketNotEmpty):
        layer.delete_bucket("bucket")
    for each in layer.list_versions("bucket", "", "", "", "", 10).versions:
        layer.delete("bucket", each.key, each.version_id)
    (drive / "bucket/left/behind").mkdir(parents=True)
    layer.delete_bucket("bucket")
    assert layer.list_buckets() == []
    layer.create_bucket("bucket")
    assert layer.versioning("bucket") == ""


@pytest.mark.parametrize("prefix", ["../", "../../etc/", "/", "a//", "./", "a/../"])
def test_a_prefix_never_leads_out_of_the_bucket(layer: ObjectLayer, prefix: str) -> None:
    put(layer, "a/b", b"1")
    page = layer.list_objects("bucket", prefix, "", "", 10)
    assert page.objects == ()


def test_one_damaged_file_does_not_hide_the_others_from_a_listing(drive: Path, layer: ObjectLayer) -> None:
    for key in ("a", "b", "b/c", "d"):
        put(layer, key, b"1")
    (drive / "bucket/b/xl.meta").write_bytes(b"rubbish")
    assert [each.key for each in layer.list_objects("bucket", "", "", "", 10).objects] == ["a", "b/c", "d"]
