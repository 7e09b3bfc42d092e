"""Versions as S3 shows them, and summaries: the cases that no real drive at hand has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dualtrack.engine.entries import Summary, entries, rfc3339, summary
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.formats.bodies import DeleteBody
from dualtrack.engine.formats.changes import Part, add_version, new_delete_marker, new_object_version
from dualtrack.engine.formats.versions import FLAG_FREE_VERSION, Kind, build_version
from dualtrack.engine.naming import key_of, object_directory
from dualtrack.errors import StoreCorruptError, StoreVersionError

SEALED = "20000f00" + "ab" * 40
TIME = 1_700_000_000_123_456_789


def stored(
    user: dict[str, str] | None = None,
    system: dict[str, bytes] | None = None,
    parts: tuple[Part, ...] = (Part(1, 532, 500),),
    inline: bool = False,
) -> xlmeta.XlMeta:
    version = new_object_version(
        version_id=b"\x01" * 16,
        data_dir=b"\x0d" * 16,
        mod_time_ns=TIME,
        parts=parts,
        meta_user=user or {},
        meta_sys=system,
        inline=inline,
    )
    return add_version(xlmeta.empty(), version)


def only(meta: xlmeta.XlMeta) -> dict[str, object]:
    (entry,) = entries("bucket", "key", meta)
    return json.loads(json.dumps(entry.to_json()))


def test_all_fields_have_the_contracts_names() -> None:
    assert only(
        stored({"etag": "e", "content-type": "text/x", "X-Amz-Meta-A": "b", "X-Amz-Tagging": "t=1"})
    ) == {
        "bucket": "bucket",
        "key": "key",
        "versionId": "01010101-0101-0101-0101-010101010101",
        "isLatest": True,
        "kind": "object",
        "etag": "e",
        "etagSealed": False,
        "size": 532,
        "lastModified": "2023-11-14T22:13:20.123456789Z",
        "contentType": "text/x",
        "userMetadata": {"a": "b"},
        "tags": {"t": "1"},
        "storageClass": "STANDARD",
        "dataDir": "0d0d0d0d-0d0d-0d0d-0d0d-0d0d0d0d0d0d",
        "inline": False,
        "parts": 1,
    }


@pytest.mark.parametrize(
    ("marker", "etag", "sealed"),
    [
        ("Sealed-Key", "ab" * 16, False),
        ("Kms-Sealed-Key", "ab" * 16, False),
        ("S3-Sealed-Key", None, True),
    ],
)
def test_a_sealed_etag_is_told_where_its_key_is_not_needed(
    marker: str, etag: str | None, sealed: bool
) -> None:
    found = only(stored({"etag": SEALED}, {f"X-Minio-Internal-Server-Side-Encryption-{marker}": b"k"}))
    assert (found["etag"], found["etagSealed"], found["size"]) == (etag, sealed, 500)


def test_rustfs_marks_encryption_in_user_metadata_and_keeps_the_etag() -> None:
    found = only(
        stored({"etag": "e" * 32, "x-amz-server-side-encryption": "AES256", "x-rustfs-encryption-iv": "i"})
    )
    assert (found["etag"], found["etagSealed"], found["size"], found["userMetadata"]) == (
        "e" * 32,
        False,
        500,
        {},
    )


def test_compressed_content_has_the_clients_size() -> None:
    compression = {"X-Minio-Internal-compression": b"klauspost/compress/s2"}
    assert only(stored({}, compression, (Part(1, 10, 70), Part(2, 5, 30))))["size"] == 100
    unknown = {**compression, "x-minio-internal-actual-size": b"4711"}
    assert only(stored({}, unknown, (Part(1, 10, -1),)))["size"] == 4711
    assert only(stored({}, {}, (Part(1, 10, 70),)))["size"] == 10


def test_values_that_are_no_utf8_are_told_in_base64() -> None:
    found = only(stored({"X-Amz-Meta-Name": "m\udcfcll", "content-type": "\udcff", "plain": "ü"}))
    assert found["userMetadata"] == {"name": {"base64": "bfxsbA=="}, "plain": "ü"}
    assert found["contentType"] == {"base64": "/w=="}


def test_a_free_version_and_a_delete_marker_are_told_apart() -> None:
    meta = add_version(stored(), new_delete_marker(version_id=bytes(16), mod_time_ns=TIME + 1))
    body = DeleteBody(b"\x02" * 16, TIME + 2, {"x-minio-internal-free-version": b""})
    meta = add_version(meta, build_version(body, Kind.FREE_VERSION, FLAG_FREE_VERSION))
    read = xlmeta.decode(xlmeta.encode(meta))
    found = [(e.kind, e.is_latest, e.version_id[:4]) for e in entries("b", "k", read)]
    assert found == [
        ("freeVersion", True, "0202"),
        ("deleteMarker", False, "null"),
        ("object", False, "0101"),
    ]
    assert (summary(read).listed, summary(read).version_count) == (False, 3)


def test_content_is_inline_where_it_lies_and_not_where_the_marker_says() -> None:
    lost = stored(inline=True)
    assert not entries("b", "k", lost)[0].inline
    assert entries("b", "k", lost)[0].data_dir is not None
    there = add_version(xlmeta.empty(), lost.versions[0], b"x" * 40)
    assert (entries("b", "k", there)[0].inline, entries("b", "k", there)[0].data_dir) == (True, None)
    empty = stored(parts=(Part(1, 0, 0),))
    unmarked = add_version(xlmeta.empty(), empty.versions[0], b"")
    assert entries("b", "k", unmarked)[0].inline


def test_a_file_without_versions_shows_nothing() -> None:
    assert entries("b", "k", xlmeta.empty()) == []
    assert summary(xlmeta.empty()).kind is None


def test_times_before_1970_keep_their_nanoseconds() -> None:
    assert rfc3339(-1) == "1969-12-31T23:59:59.999999999Z"


@pytest.mark.parametrize(
    ("key", "directory"),
    [("a", "b/a"), ("a/", "b/a__XLDIR__"), ("x__XLDIR__/y", "b/x__XLDIR__/y"), ("p/q/", "b/p/q__XLDIR__")],
)
def test_keys_and_directories_name_each_other(key: str, directory: str) -> None:
    assert object_directory("b", key) == directory
    assert key_of(directory.split("/")[1:]) == key


@pytest.mark.parametrize("etag", ["0" * 32, "0" * 32 + "-17", "0" * 32 + "-01", "odd", "", SEALED])
def test_a_summary_keeps_any_etag(etag: str) -> None:
    found = summary(stored({"etag": etag, "x-amz-storage-class": "REDUCED_REDUNDANCY"}))
    assert found.etag == (None if etag == SEALED else etag)
    assert Summary.unpack(found.pack()) == found


def test_real_summaries_are_small_and_say_what_the_entry_says(minio_drive: Path, rustfs_drive: Path) -> None:
    sizes = []
    for drive in (minio_drive, rustfs_drive):
        for path in drive.rglob("xl.meta"):
            if path.is_file():
                meta = xlmeta.decode(path.read_bytes())
                found, latest = summary(meta), entries("b", "k", meta)[0]
                assert Summary.unpack(found.pack()) == found
                assert (found.size, found.mod_time_ns) == (latest.size, latest.last_modified_ns)
                assert found.inline is latest.inline
                assert found.etag == (latest.etag if latest.kind == "object" else "")
                sizes.append(len(found.pack()))
    assert max(sizes) <= 120
    assert sum(sizes) / len(sizes) < 45


def test_a_damaged_summary_is_found() -> None:
    packed = summary(stored({"etag": "0" * 32})).pack()
    for damaged in (packed[:-1], packed + b"\0", packed[:2] + b"\x09" + packed[3:]):
        with pytest.raises(StoreCorruptError):
            Summary.unpack(damaged)
    with pytest.raises(StoreVersionError):
        Summary.unpack(b"\x02" + packed[1:])
