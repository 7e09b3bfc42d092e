"""The inventory of drives that real servers filled says what their S3 API said."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualtrack.engine.drive import Drive
from dualtrack.engine.entries import Entry
from dualtrack.engine.inventory import Tally, count_inodes, inventory
from dualtrack.errors import IncompleteError
from told import LEFT_OUT, assert_as_told, told, unlisted

Oracle = Callable[[str], dict[str, Any]]


def listed(drive: Path) -> dict[tuple[str, str, str], Entry]:
    found = [entry for entry in inventory(Drive.open(drive)) if entry.bucket != LEFT_OUT]
    entries = {(entry.bucket, entry.key, entry.version_id): entry for entry in found}
    assert len(entries) == len(found)
    return entries


@pytest.fixture(scope="module")
def minio(minio_drive: Path) -> dict[tuple[str, str, str], Entry]:
    return listed(minio_drive)


def test_minio_every_version_is_there_in_listing_order(
    minio: dict[tuple[str, str, str], Entry], oracle: Oracle
) -> None:
    expected, hidden = told(oracle("minio-single")), unlisted(oracle("minio-single"))
    assert len(hidden) == 7
    assert set(minio) == set(expected) | hidden
    assert [version for version in minio if version not in hidden] == list(expected)
    # The keys that the server leaves out stand where S3 would have them.
    places = [(bucket, os.fsencode(key)) for bucket, key, _ in minio]
    assert places == sorted(places)


def test_minio_every_field_is_what_the_api_says(
    minio: dict[tuple[str, str, str], Entry], oracle: Oracle
) -> None:
    sealed = 0
    for identity, version in told(oracle("minio-single")).items():
        entry = minio[identity].to_json()
        assert entry["isLatest"] is version["IsLatest"], identity
        assert str(entry["lastModified"])[:23] == version["LastModified"][:23].replace("+00:00", ".000"), (
            identity
        )
        if version["Type"] == "marker":
            assert (entry["kind"], entry["etag"], entry["size"]) == ("deleteMarker", None, 0)
            continue
        head = version["head"]
        assert entry["kind"] == "object"
        assert entry["size"] == int(head["content-length"]), identity
        assert entry["contentType"] == head["content-type"], identity
        assert entry["storageClass"] == version["StorageClass"], identity
        assert entry["parts"] == (version["part1"].get("PartsCount") or 1), identity
        assert entry["tags"] == version.get("tags", {}), identity
        if entry["etagSealed"]:
            assert head["x-amz-server-side-encryption"] == "AES256", identity
            assert entry["etag"] is None
            sealed += 1
        else:
            assert entry["etag"] == head["etag"].strip('"'), identity
    assert sealed == 7


def test_minio_user_metadata_is_what_the_api_says(
    minio: dict[tuple[str, str, str], Entry], oracle: Oracle
) -> None:
    """HEAD answers with MIME words where a value is not ASCII; the inventory has the stored text."""
    encoded = {}
    for identity, version in told(oracle("minio-single")).items():
        shown = {
            name.removeprefix("x-amz-meta-"): value
            for name, value in version.get("head", {}).items()
            if name.startswith("x-amz-meta-")
        }
        ours = minio[identity].to_json()["userMetadata"]
        if any(value.startswith("=?UTF-8?") for value in shown.values()):
            encoded[identity[1]] = ours
        else:
            assert ours == shown, identity
    assert encoded.pop("meta/nonascii") == {"u": "=?UTF-8?B?w7xtbA==?="}  # as the client sent it
    assert encoded == {"utf8": {"name": "müll 日"}, "latin1": {"name": {"base64": "bfxsbCDp"}}}


def test_rustfs_every_version_is_there_in_listing_order(rustfs_drive: Path, oracle: Oracle) -> None:
    """One drive of four: its view, which is whole because no write missed it."""
    found = listed(rustfs_drive)
    expected = told(oracle("rustfs-4d"))
    hidden = unlisted(oracle("rustfs-4d"))
    assert set(found) - hidden == set(expected) - hidden
    places = [(bucket, os.fsencode(key), -found[bucket, key, i].last_modified_ns) for bucket, key, i in found]
    assert places == sorted(places)
    for identity, version in expected.items():
        assert_as_told(identity, found[identity], version)
        assert found[identity].kind != "freeVersion", identity
        assert not found[identity].etag_sealed, identity


def test_inline_and_data_directories_are_what_lies_on_the_drive(
    minio: dict[tuple[str, str, str], Entry], minio_drive: Path
) -> None:
    for entry in minio.values():
        if entry.kind == "object" and not entry.inline and entry.size:
            directory = minio_drive / entry.bucket / entry.key / str(entry.data_dir)
            assert len(list(directory.glob("part.*"))) >= entry.parts, entry
        else:
            assert entry.data_dir is None or entry.size == 0


def test_links_are_trusted_or_not_with_the_same_result(minio_drive: Path) -> None:
    drive = Drive.open(minio_drive)
    trusting = list(inventory(drive, trust_links=True))
    assert trusting == list(inventory(drive, trust_links=False))


def test_counts_add_up(minio_drive: Path) -> None:
    drive, tally = Drive.open(minio_drive), Tally()
    found = list(inventory(drive, tally))
    total = tally.total()
    assert total.versions == len(found) == 2262
    assert total.objects == len({(entry.bucket, entry.key) for entry in found})
    assert total.delete_markers == sum(entry.kind == "deleteMarker" for entry in found)
    assert tally.buckets["empty-bucket"].versions == 0
    assert total.unreadable == 0
    assert count_inodes(drive, "many-objects") == 1 + 2000 * 2 + 110


def test_what_cannot_be_read_is_named_and_the_rest_is_listed(drives: Callable[[str], Path]) -> None:
    root = drives("minio-single") / "d1"
    broken, old, link = root / "anon/utf8/xl.meta", root / "anon/old/xl.json", root / "anon/link/xl.meta"
    broken.write_bytes(broken.read_bytes()[:-200])
    for path in (old, link):
        path.parent.mkdir()
    old.write_text("{}")
    link.symlink_to("/etc/passwd")
    (root / "anon/elsewhere").symlink_to("/tmp")
    tally = Tally()
    found = list(inventory(Drive.open(root), tally, buckets=["anon"]))
    assert {entry.key for entry in found} == {"dup-case", "latin1", "no-ctype"}
    assert {(problem.key, problem.reason) for problem in tally.problems} >= {
        ("old", "legacy-object"),
        ("link", "symlink"),
        ("elsewhere", "symlink"),
    }
    assert [problem.key for problem in tally.problems].count("utf8") == 1
    assert tally.buckets["anon"].unreadable == 4


def test_without_a_tally_nothing_unreadable_is_passed_over(drives: Callable[[str], Path]) -> None:
    root = drives("minio-single") / "d1"
    (root / "anon/utf8/xl.meta").write_bytes(b"XL2 1   ")
    with pytest.raises(IncompleteError, match=r"metadata.*anon/utf8"):
        list(inventory(Drive.open(root), buckets=["anon"]))
