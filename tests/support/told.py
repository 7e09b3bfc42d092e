"""What a server's own S3 API said of a case of `tests/data`, in the words of an inventory."""

from __future__ import annotations

from typing import Any

from dualtrack.engine.entries import Entry

Identity = tuple[str, str, str]
"""(bucket, key, version id)"""

# Its listing goes round in circles in RustFS, and MinIO shows its key as "//".
LEFT_OUT = "odd-xldir2"
# Other spellings of keys that stand in the listing: a leading slash is dropped, the suffix means "/".
OTHER_SPELLINGS = {("odd-keys", "/lead"), ("odd-xldir", "x__XLDIR__")}
NIL = "00000000-0000-0000-0000-000000000000"


def told(oracle: dict[str, Any]) -> dict[Identity, dict[str, Any]]:
    """The oracle's versions by bucket, key and version id, in the order of the listing."""
    found: dict[Identity, dict[str, Any]] = {}
    for bucket, content in sorted(oracle["buckets"].items()):
        if bucket == LEFT_OUT:
            continue
        versions = {(version["Key"], version["VersionId"]): version for version in content["versions"]}
        for key, version_id, *_ in content["versions_order"]:
            found[bucket, key, "null" if version_id == NIL else version_id] = versions[key, version_id]
    return found


def unlisted(oracle: dict[str, Any]) -> set[Identity]:
    """Keys that can be read and that the server's own listing leaves out."""
    pairs = {(u["Bucket"], u["Key"]) for u in oracle["unlisted"] if "error" not in u["head"]}
    return {(bucket, key, "null") for bucket, key in pairs - OTHER_SPELLINGS if bucket != LEFT_OUT}


def assert_as_told(identity: Identity, entry: Entry, version: dict[str, Any]) -> None:
    """All that the API says of this version is in the entry."""
    assert entry.is_latest is version["IsLatest"], identity
    moment = version["LastModified"].replace("+00:00", ".000")[:23]
    assert str(entry.to_json()["lastModified"])[:23] == moment, identity
    if version["Type"] == "marker":
        assert entry.kind in ("deleteMarker", "freeVersion"), identity
        return
    head = version["head"]
    assert entry.size == int(head["content-length"]), identity
    if not entry.etag_sealed:
        assert entry.etag == head["etag"].strip('"'), identity
    assert entry.content_type == head.get("content-type"), identity
    assert entry.storage_class == version["StorageClass"], identity
    if "error" not in version.get("tags", {"error": "not asked"}):
        assert dict(entry.tags) == version["tags"], identity
    shown = {n.removeprefix("x-amz-meta-"): v for n, v in head.items() if n.startswith("x-amz-meta-")}
    if not any(value.startswith("=?UTF-8?") for value in shown.values()):
        assert dict(entry.user_metadata) == shown, identity
