"""A bucket's metadata, against the ones that a real MinIO wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualtrack.engine import naming
from dualtrack.engine.formats import bitrot, bucket_metadata, xlmeta
from dualtrack.engine.formats.bodies import ObjectBody
from dualtrack.engine.formats.bucket_metadata import BucketMetadata, Versioning
from dualtrack.errors import UnsupportedFormatError

TIME = 1_795_420_766_000_000_001


def file_of(drive: Path, volume: str, bucket: str) -> xlmeta.XlMeta:
    path = drive / naming.meta_path(volume, bucket_metadata.object_key(bucket))
    return xlmeta.decode(path.read_bytes())


def test_every_bucket_says_what_the_api_says(
    minio_drive: Path, oracle: Callable[[str], dict[str, Any]]
) -> None:
    for bucket, told in oracle("minio-single")["buckets"].items():
        meta = file_of(minio_drive, ".minio.sys", bucket)
        found = bucket_metadata.from_xlmeta(meta)
        assert found.name == bucket
        assert found.versioning == (told["versioning"] or "")
        assert found.created_ns // 1_000_000_000 > 1_795_000_000
        assert found.lock_enabled is (bucket == "locked")
        body = meta.versions[0].body
        assert isinstance(body, ObjectBody)
        stored = bitrot.unframe(meta.inline["null"], body.size, body.ec_block_size)
        assert bucket_metadata.encode_content(found) == stored


def test_a_change_of_versioning_keeps_every_other_field(minio_drive: Path) -> None:
    before = bucket_metadata.from_xlmeta(file_of(minio_drive, ".minio.sys", "configured"))
    after = before.with_versioning(Versioning.SUSPENDED, TIME)
    assert after.versioning is Versioning.SUSPENDED
    changed = {name for name in before.fields if before.fields[name] != after.fields[name]}
    assert changed == {"VersioningConfigXML", "VersioningConfigUpdatedAt"}
    assert list(after.fields) == list(before.fields)
    assert after.with_versioning(Versioning.UNSET, TIME).versioning is Versioning.UNSET


def test_a_new_bucket_has_the_fields_that_minio_writes(minio_drive: Path) -> None:
    theirs = bucket_metadata.from_xlmeta(file_of(minio_drive, ".minio.sys", "xyz"))
    ours = bucket_metadata.new_bucket("xyz", theirs.created_ns)
    assert list(ours.fields) == list(theirs.fields)
    assert (ours.name, ours.created_ns, ours.versioning) == ("xyz", theirs.created_ns, Versioning.UNSET)
    assert {len(value) for value in ours.fields.values()} == {len(value) for value in theirs.fields.values()}


def test_what_is_written_is_read_back_and_replaces_the_version_before() -> None:
    first = bucket_metadata.to_xlmeta(bucket_metadata.new_bucket("b-1", TIME), TIME, b"\x01" * 16)
    changed = bucket_metadata.from_xlmeta(first).with_versioning(Versioning.ENABLED, TIME + 1)
    second = bucket_metadata.to_xlmeta(changed, TIME + 1, b"\x02" * 16, first)
    read = xlmeta.decode(xlmeta.encode(second))
    assert len(read.versions) == 1
    assert bucket_metadata.from_xlmeta(read) == changed


def test_a_slice_of_it_is_refused(rustfs_drive: Path) -> None:
    with pytest.raises(UnsupportedFormatError) as caught:
        bucket_metadata.from_xlmeta(file_of(rustfs_drive, ".rustfs.sys", "versioned"))
    assert caught.value.reason == "erasure-set"


def test_a_versioning_state_that_is_not_known_is_not_guessed() -> None:
    odd = bucket_metadata.new_bucket("b-1", TIME).with_config(
        "VersioningConfigXML",
        b"<VersioningConfiguration><Status>Paused</Status></VersioningConfiguration>",
        TIME,
    )
    with pytest.raises(UnsupportedFormatError, match="Paused"):
        _ = odd.versioning


def test_object_lock_brings_versioning() -> None:
    locked = BucketMetadata({**bucket_metadata.new_bucket("b-1", TIME).fields, "LockEnabled": b"\xc3"})
    assert locked.versioning is Versioning.ENABLED
