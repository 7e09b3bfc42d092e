"""What a write leaves on the drive, byte for byte where another server has to read it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dualtrack.engine.formats import bitrot, xlmeta
from dualtrack.engine.formats.bodies import ObjectBody
from dualtrack.engine.objects.errors import InvalidKey, KeyTooLong, NoSuchBucket, NoSuchKey
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.types import Attributes
from layers import Body, Figures, md5, opened

BLOCK = 1024 * 1024


def below(path: Path) -> set[str]:
    return {str(found.relative_to(path)) for found in path.rglob("*") if not found.is_dir()}


@pytest.mark.parametrize(
    ("versioning", "size", "inline"),
    [
        ("", 131_072, True),
        ("", 131_073, False),
        ("Suspended", 131_072, True),
        ("Enabled", 16_384, True),
        ("Enabled", 16_385, False),
        ("", 0, True),
    ],
)
def test_content_is_inline_up_to_the_limits_of_minio(
    drive: Path, layer: ObjectLayer, versioning: str, size: int, inline: bool
) -> None:
    if versioning:
        layer.set_versioning("bucket", versioning)  # type: ignore[arg-type]
    layer.put("bucket", "dir/key", Body(os.urandom(size)), Attributes())
    meta = xlmeta.decode((drive / "bucket/dir/key/xl.meta").read_bytes())
    body = meta.versions[0].body
    assert isinstance(body, ObjectBody)
    assert (meta.versions[0].version_key in meta.inline) == inline
    names = below(drive / "bucket")
    assert len(names) == (1 if inline else 2)


def test_a_large_body_is_framed_in_blocks_of_a_mebibyte(drive: Path, layer: ObjectLayer) -> None:
    content = os.urandom(2 * BLOCK + 5)
    written = layer.put("bucket", "key", Body(content, step=77_777), Attributes())
    assert written.etag == md5(content)
    (part,) = (drive / "bucket/key").glob("*/part.1")
    assert part.read_bytes() == bitrot.frame(content, BLOCK)


def test_overwriting_a_null_version_removes_its_data_directory(drive: Path, layer: ObjectLayer) -> None:
    for size in (200_000, 300_000, 10):
        layer.put("bucket", "key", Body(bytes(size)), Attributes())
    assert below(drive / "bucket") == {"key/xl.meta"}
    assert not below(drive / ".dualtrack/tmp")


def test_deleting_the_last_version_removes_empty_parents_but_not_the_bucket(
    drive: Path, layer: ObjectLayer
) -> None:
    layer.put("bucket", "a/b/c", Body(bytes(200_000)), Attributes())
    layer.put("bucket", "a/other", Body(b"stays"), Attributes())
    layer.delete("bucket", "a/b/c")
    assert not (drive / "bucket/a/b").exists()
    assert (drive / "bucket/a/other/xl.meta").exists()
    layer.delete("bucket", "a/other")
    assert list((drive / "bucket").iterdir()) == []


def test_an_object_under_an_object_outlives_it(drive: Path, layer: ObjectLayer) -> None:
    layer.put("bucket", "a", Body(bytes(200_000)), Attributes())
    layer.put("bucket", "a/b", Body(b"child"), Attributes())
    assert [each.key for each in layer.list_objects("bucket", "", "", "", 10).objects] == ["a", "a/b"]
    layer.delete("bucket", "a")
    assert below(drive / "bucket") == {"a/b/xl.meta"}
    assert b"".join(layer.read("bucket", "a/b")[1]) == b"child"


def test_a_key_below_a_data_directory_outlives_the_version(drive: Path, layer: ObjectLayer) -> None:
    layer.put("bucket", "a", Body(bytes(200_000)), Attributes())
    (part,) = (drive / "bucket/a").glob("*/part.1")
    nested = f"a/{part.parent.name}/nested"
    layer.put("bucket", nested, Body(b"nested"), Attributes())
    layer.delete("bucket", "a")
    assert b"".join(layer.read("bucket", nested)[1]) == b"nested"
    assert not part.exists()


def test_a_body_that_is_refused_leaves_nothing(drive: Path, layer: ObjectLayer) -> None:
    layer.put("bucket", "key", Body(b"old"), Attributes())
    for size in (10, 500_000):
        with pytest.raises(ZeroDivisionError):
            layer.put("bucket", "key", Body(bytes(size), refusal=ZeroDivisionError()), Attributes())
    assert b"".join(layer.read("bucket", "key")[1]) == b"old"
    assert below(drive / "bucket") == {"key/xl.meta"}
    assert not below(drive / ".dualtrack/tmp")


def test_attributes_are_stored_as_minio_names_them(drive: Path, layer: ObjectLayer) -> None:
    headers = {"content-type": "text/x", "cache-control": "no-store", "x-amz-storage-class": "STANDARD"}
    layer.put(
        "bucket", "key", Body(b"1"), Attributes(headers, {"upper-case": "V a"}, {"k+x": "y/z=1", "e": ""})
    )
    body = xlmeta.decode((drive / "bucket/key/xl.meta").read_bytes()).versions[0].body
    assert isinstance(body, ObjectBody)
    assert body.meta_user == {
        "etag": md5(b"1"),
        "content-type": "text/x",
        "cache-control": "no-store",
        "X-Amz-Meta-Upper-Case": "V a",
        "X-Amz-Tagging": "k%2Bx=y%2Fz%3D1&e=",
    }


@pytest.mark.parametrize("key", ["", "/a", "a//b", "a/../b", ".", "a/.", "a\0b", "x__XLDIR__", "a//"])
def test_keys_that_a_drive_cannot_hold_are_refused(layer: ObjectLayer, key: str) -> None:
    with pytest.raises(InvalidKey):
        layer.put("bucket", key, Body(b""), Attributes())


@pytest.mark.parametrize("key", ["k" * 256, "s/" * 512 + "x", "k" * 247 + "/"])
def test_keys_that_are_too_long_are_refused(layer: ObjectLayer, key: str) -> None:
    with pytest.raises(KeyTooLong):
        layer.put("bucket", key, Body(b""), Attributes())


def test_a_key_in_the_way_of_another_objects_file_is_refused(layer: ObjectLayer) -> None:
    layer.put("bucket", "a", Body(b"1"), Attributes())
    with pytest.raises(InvalidKey):
        layer.put("bucket", "a/xl.meta", Body(b"2"), Attributes())
    assert b"".join(layer.read("bucket", "a")[1]) == b"1"


def test_the_deepest_key_is_stored_listed_and_deleted(drive: Path, layer: ObjectLayer) -> None:
    key = "d/" * 511 + "k"
    layer.put("bucket", key, Body(b"deep"), Attributes())
    assert [each.key for each in layer.list_objects("bucket", "d/d/", "", "", 10).objects] == [key]
    layer.delete("bucket", key)
    assert list((drive / "bucket").iterdir()) == []


def test_a_bucket_that_is_gone_is_never_made_again_by_a_put(drive: Path, layer: ObjectLayer) -> None:
    layer.delete_bucket("bucket")
    with pytest.raises(NoSuchBucket):
        layer.put("bucket", "key", Body(b"1"), Attributes())
    assert not (drive / "bucket").exists()


def test_a_reader_keeps_its_version_while_it_is_overwritten(drive: Path, layer: ObjectLayer) -> None:
    old = os.urandom(3 * BLOCK)
    layer.put("bucket", "key", Body(old), Attributes())
    _, content = layer.read("bucket", "key")
    taken = [next(content)]
    layer.put("bucket", "key", Body(b"new"), Attributes())
    assert b"".join([*taken, *content]) == old
    assert not below(drive / ".dualtrack/tmp")
    assert b"".join(layer.read("bucket", "key")[1]) == b"new"


def test_what_a_crash_left_in_the_staging_area_is_removed_at_the_start(drive: Path) -> None:
    staging = drive / ".dualtrack/tmp"
    (staging / "put-1").mkdir(parents=True)
    (staging / "put-1/part.1").write_bytes(b"x")
    (staging / "trash-2").write_bytes(b"x")
    (staging / "of-somebody-else").write_bytes(b"x")
    with opened(drive, "fs/0"):
        assert below(staging) == {"of-somebody-else"}


def test_files_on_the_drive_are_counted_once(drive: Path) -> None:
    with opened(drive, "fs/0") as layer:
        layer.create_bucket("bucket")
        for number in range(3):
            layer.put("bucket", f"key{number}", Body(b"1"), Attributes())
    figures = Figures()
    with opened(drive, "fs/0", figures=figures, inventory=True) as again:
        again.keeping.wait_counted()
    assert figures.gauges["rustfs_objects_in_fs"] == 3


def test_a_missing_object_is_not_found(layer: ObjectLayer) -> None:
    with pytest.raises(NoSuchKey):
        layer.stat("bucket", "nothing")


def test_an_object_that_lies_in_a_data_directory_outlives_it(drive: Path, layer: ObjectLayer) -> None:
    layer.put("bucket", "large", Body(bytes(200_000)), Attributes())
    (data_dir,) = [path.name for path in (drive / "bucket/large").iterdir() if path.is_dir()]
    layer.put("bucket", f"large/{data_dir}", Body(b"another object"), Attributes())
    layer.delete("bucket", "large")
    assert b"".join(layer.read("bucket", f"large/{data_dir}")[1]) == b"another object"
    assert below(drive / "bucket") == {f"large/{data_dir}/xl.meta"}
