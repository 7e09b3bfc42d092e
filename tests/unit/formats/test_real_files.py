"""The codec against every `xl.meta` that real servers wrote: nothing is lost, and ours are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dualtrack.engine import attributes, naming
from dualtrack.engine.attributes import Encryption
from dualtrack.engine.formats import bitrot, bodies, xlmeta
from dualtrack.engine.formats.bodies import DeleteBody, ObjectBody
from dualtrack.engine.formats.forms import decode_body
from dualtrack.engine.formats.signature import signature
from dualtrack.engine.formats.versions import Version, build_version, encode_header


def files(drive: Path) -> Iterator[tuple[Path, bytes]]:
    for path in drive.rglob("xl.meta"):
        if path.is_file():
            yield path, path.read_bytes()


def versions(drive: Path) -> Iterator[Version]:
    for _, data in files(drive):
        yield from xlmeta.decode(data).versions


def test_every_file_of_minio_survives_being_rebuilt_from_its_parts(minio_drive: Path) -> None:
    checked = 0
    for path, data in files(minio_drive):
        meta = xlmeta.decode(data)
        assert xlmeta.encode(meta) == data, path
        assert xlmeta.encode(replace(meta, source=None)) == data, path
        checked += 1
    assert checked == 2229


@pytest.mark.parametrize("drive", ["d1", "d2", "d3", "d4"])
def test_every_file_of_rustfs_survives_being_rebuilt_from_its_parts(
    pristine: Callable[[str], Path], drive: str
) -> None:
    checked = 0
    for path, data in files(pristine("rustfs-4d") / drive):
        meta = xlmeta.decode(data)
        assert xlmeta.encode(replace(meta, source=None)) == data, path
        assert all(version.body for version in meta.versions)
        checked += 1
    assert checked > 2200


def test_our_signatures_are_minios(minio_drive: Path) -> None:
    found = list(versions(minio_drive))
    assert [signature(version.body) for version in found] == [version.signature for version in found]
    assert {type(version.body) for version in found} == {ObjectBody, DeleteBody}
    assert len(found) == 2283


def test_our_headers_are_minios(minio_drive: Path) -> None:
    for version in versions(minio_drive):
        assert encode_header(version) == version.header
        assert build_version(version.body, version.kind, version.flags, version.raw_body) == version


def test_our_bodies_are_minios(minio_drive: Path) -> None:
    """But for one: a copy of a compressed part keeps an index list that says nothing, which we leave out."""
    different = [v for v in versions(minio_drive) if bodies.encode_body(v.body) != v.raw_body]
    assert [decode_body(bodies.encode_body(v.body)) for v in different] == [v.body for v in different]
    assert len(different) <= 1


@pytest.mark.parametrize("case", ["minio_drive", "rustfs_drive"])
def test_exchanging_metadata_for_itself_changes_no_byte(case: str, request: pytest.FixtureRequest) -> None:
    for version in versions(request.getfixturevalue(case)):
        body = version.body
        user = body.meta_user if isinstance(body, ObjectBody) else None
        assert bodies.replace_metadata(version.raw_body, user, body.meta_sys) == version.raw_body


def test_versions_stand_in_the_order_that_we_write(minio_drive: Path, rustfs_drive: Path) -> None:
    for drive in (minio_drive, rustfs_drive):
        for path, data in files(drive):
            meta = xlmeta.decode(data)
            keys = [version.sort_key for version in meta.versions]
            assert keys == sorted(keys, reverse=True), path


def content(directory: Path, meta: xlmeta.XlMeta, version: Version) -> bytes:
    body = version.body
    assert isinstance(body, ObjectBody)
    shard = bitrot.shard_size(body.ec_block_size, body.ec_m)
    if attributes.is_inline(body, version.version_key in meta.inline):
        return bitrot.unframe(meta.inline[version.version_key], body.size, shard)
    folder = directory / str(attributes.data_dir(body))
    return b"".join(
        bitrot.unframe((folder / f"part.{number}").read_bytes(), size, shard)
        for number, size in zip(body.part_nums, body.part_sizes, strict=True)
        if size
    )


def test_content_has_the_hash_that_minio_reported(
    minio_drive: Path, oracle: Callable[[str], dict[str, Any]]
) -> None:
    """Inline and in part files; of transformed content the stored bytes have no hash to compare with."""
    plain = transformed = 0
    for bucket, told in oracle("minio-single")["buckets"].items():
        for version in told["versions"]:
            if bucket == "odd-xldir2" or version["Type"] == "marker":
                continue
            directory = minio_drive / naming.object_directory(bucket, version["Key"])
            meta = xlmeta.decode((directory / "xl.meta").read_bytes())
            found = next(v for v in meta.versions if v.version_key == version["VersionId"])
            stored = content(directory, meta, found)
            body = found.body
            assert isinstance(body, ObjectBody)
            if attributes.compressed(body) or attributes.encryption(body) is not Encryption.NONE:
                transformed += 1
            else:
                assert hashlib.sha256(stored).hexdigest() == version["sha256"], (bucket, version["Key"])
                plain += 1
    assert plain > 2200
    assert transformed > 20
