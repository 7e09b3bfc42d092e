"""Changing an `xl.meta` as a server does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dualtrack.engine.formats import bodies, packing, xlmeta
from dualtrack.engine.formats.bitrot import frame
from dualtrack.engine.formats.bodies import ObjectBody
from dualtrack.engine.formats.changes import (
    Part,
    add_version,
    new_delete_marker,
    new_object_version,
    remove_version,
    update_version,
)
from dualtrack.engine.formats.versions import Kind, Version, decode_version

NULL = bytes(16)
FIRST, SECOND = b"\x01" * 16, b"\x02" * 16


def stored(version_id: bytes, time: int, content: bytes = b"hello", etag: str = "abc") -> Version:
    return new_object_version(
        version_id=version_id,
        data_dir=b"\x0d" * 16,
        mod_time_ns=time,
        parts=(Part(1, len(content), len(content)),),
        meta_user={"etag": etag, "content-type": "text/plain"},
        inline=True,
    )


def reread(meta: xlmeta.XlMeta) -> xlmeta.XlMeta:
    return xlmeta.decode(xlmeta.encode(meta))


def test_a_new_object_is_the_one_that_minio_wrote(minio_drive: Path) -> None:
    """Given the same facts, ours and MinIO's versions are the same bytes, signature included."""
    data = (minio_drive / "many-objects").rglob("xl.meta")
    checked = 0
    for path in data:
        meta = xlmeta.decode(path.read_bytes())
        body = meta.versions[0].body
        assert isinstance(body, ObjectBody)
        ours = new_object_version(
            version_id=body.version_id,
            data_dir=body.data_dir,
            mod_time_ns=body.mod_time_ns,
            parts=[Part(1, body.size, body.size)],
            meta_user=body.meta_user,
            inline=True,
        )
        assert (ours.header, ours.raw_body) == (meta.versions[0].header, meta.versions[0].raw_body)
        checked += 1
    assert checked == 2000


def test_a_new_delete_marker_is_the_one_that_minio_wrote(minio_drive: Path) -> None:
    meta = xlmeta.decode((minio_drive / "locked" / "comp" / "xl.meta").read_bytes())
    theirs = meta.versions[0]
    assert theirs.kind is Kind.DELETE_MARKER
    assert new_delete_marker(version_id=theirs.version_id, mod_time_ns=theirs.mod_time_ns) == theirs


def test_versions_stand_newest_first_whenever_they_were_added() -> None:
    meta = xlmeta.empty()
    for version in (
        stored(FIRST, 10),
        stored(NULL, 30),
        new_delete_marker(version_id=SECOND, mod_time_ns=20),
    ):
        meta = add_version(meta, version)
    assert [version.mod_time_ns for version in reread(meta).versions] == [30, 20, 10]


def test_at_one_time_an_object_stands_before_a_delete_marker() -> None:
    meta = add_version(xlmeta.empty(), new_delete_marker(version_id=FIRST, mod_time_ns=5))
    assert [v.kind for v in add_version(meta, stored(SECOND, 5)).versions] == [
        Kind.OBJECT,
        Kind.DELETE_MARKER,
    ]


def test_the_same_id_is_replaced_with_its_inline_content() -> None:
    meta = add_version(xlmeta.empty(), stored(NULL, 1), frame(b"one", 1024))
    meta = add_version(meta, stored(FIRST, 2), frame(b"two", 1024))
    meta = reread(add_version(meta, new_delete_marker(version_id=NULL, mod_time_ns=3)))
    assert [version.version_id for version in meta.versions] == [NULL, FIRST]
    assert list(meta.inline) == [meta.versions[1].version_key]


def test_removing_a_version_leaves_the_others_bytes() -> None:
    meta = add_version(xlmeta.empty(), stored(FIRST, 1), b"x" * 40)
    both = add_version(meta, stored(SECOND, 2), b"y" * 40)
    assert xlmeta.encode(remove_version(both, SECOND)) == xlmeta.encode(meta)
    assert remove_version(meta, FIRST) == xlmeta.empty()
    with pytest.raises(KeyError):
        remove_version(meta, SECOND)


def test_new_tags_change_metadata_and_signature_and_nothing_else() -> None:
    meta = add_version(xlmeta.empty(), stored(NULL, 1), b"z" * 40)
    old = meta.versions[0].body
    assert isinstance(old, ObjectBody)
    user = {**old.meta_user, "X-Amz-Tagging": "a=b"}
    new = reread(update_version(meta, NULL, meta_user=user))
    assert new.versions[0].body == replace(old, meta_user=user)
    assert new.versions[0].signature != meta.versions[0].signature
    assert new.versions[0].flags == meta.versions[0].flags
    assert dict(new.inline) == dict(meta.inline)


def test_fields_that_this_build_does_not_know_survive_an_update() -> None:
    known = stored(NULL, 1)
    outer = {"Type": b"\x01", "V2Obj": b"", "v": b"\x00", "Next": packing.pack_str("kept")}
    body = known.body
    assert isinstance(body, ObjectBody)
    outer["V2Obj"] = packing.join_map(bodies.object_fields(body) | {"New": packing.pack_int(-5)})
    version = decode_version(known.header, packing.join_map(outer), 3)
    meta = update_version(xlmeta.XlMeta((version,)), NULL, meta_user={"etag": "new"})
    raw = meta.versions[0].raw_body
    assert packing.pack_str("Next") + packing.pack_str("kept") in raw
    assert packing.pack_str("New") + packing.pack_int(-5) in raw
    assert packing.pack_str("new") in raw


def test_a_change_brings_older_headers_to_version_3_and_keeps_bodies() -> None:
    old = stored(FIRST, 1)
    header = packing.pack_array(
        [packing.pack_bin(FIRST), packing.pack_int(1), packing.pack_bin(old.signature), b"\x01", b"\x06"]
    )
    before = xlmeta.XlMeta((decode_version(header, old.raw_body, 2),), meta_ver=2, header_ver=2)
    after = reread(add_version(reread(before), stored(SECOND, 2)))
    assert (after.header_ver, after.meta_ver) == (3, 2)
    assert after.find(FIRST) == old


def test_text_that_is_no_utf8_survives() -> None:
    odd = "m\udcfcll"
    meta = reread(add_version(xlmeta.empty(), stored(NULL, 1, etag=odd)))
    body = meta.versions[0].body
    assert isinstance(body, ObjectBody)
    assert body.meta_user["etag"] == odd
    assert b"m\xfcll" in meta.versions[0].raw_body
