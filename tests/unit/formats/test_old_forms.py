"""Every old form of an object's metadata is read, survives, and is written anew as 1.3."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

import old_forms
from dualtrack.engine.entries import entries
from dualtrack.engine.formats import bitrot, packing, wire, xlmeta
from dualtrack.engine.formats.bodies import Form, ObjectBody
from dualtrack.engine.formats.changes import add_version, new_delete_marker, remove_version, update_version
from dualtrack.engine.formats.versions import Kind
from dualtrack.engine.summary import summary
from dualtrack.errors import CorruptError, UnsupportedFormatError
from old_forms import FOLDER, Fixture

FIXTURES = old_forms.fixtures()
CHANGEABLE = [each for each in FIXTURES if each.form != "json"]
NEW = b"\x0f" * 16


def named(fixtures: list[Fixture] | tuple[Fixture, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("fixture", fixtures, ids=lambda fixture: fixture.name)


def by_name(name: str) -> xlmeta.XlMeta:
    return xlmeta.decode((FOLDER / name).read_bytes())


def test_the_committed_files_are_those_that_the_description_gives() -> None:
    assert {path.name: path.read_bytes() for path in FOLDER.iterdir()} == {
        each.name: each.data for each in FIXTURES
    }


def test_every_form_that_a_drive_may_hold_has_a_fixture() -> None:
    metas = [xlmeta.decode(each.data) for each in FIXTURES]
    versions = [version for meta in metas for version in meta.versions]
    assert {meta.form for meta in metas} == {"1.0", "1.1", "1.2", "1.3", "json"}
    assert {meta.header_ver for meta in metas} == {meta.meta_ver for meta in metas} == {1, 2, 3}
    assert {version.kind for version in versions} == {*Kind}
    assert {each.body.form for each in versions if isinstance(each.body, ObjectBody)} == {*Form}


@named(FIXTURES)
def test_a_file_is_read_for_what_it_says(fixture: Fixture) -> None:
    meta = xlmeta.decode(fixture.data)
    read = entries("b", "k", meta)
    assert meta.form == fixture.form
    assert [(e.kind, e.last_modified_ns, e.size, e.etag) for e in read] == [
        (s.kind, s.time, s.size, s.etag) for s in fixture.seen
    ]
    assert [uuid.UUID(bytes=v.version_id) for v in meta.versions] == [s.version for s in fixture.seen]
    assert summary(meta).version_count == len(fixture.seen)
    for version, seen in zip(meta.versions, fixture.seen, strict=True):
        body, entry = version.body, meta.inline_entry(version)
        if seen.content is None:
            assert entry is None
            continue
        assert isinstance(body, ObjectBody)
        assert entry is not None
        content = bitrot.unframe(entry, body.size, body.ec_block_size, bitrot.framing(body.form))
        assert content == seen.content


@named(FIXTURES)
def test_an_unchanged_file_keeps_its_bytes(fixture: Fixture) -> None:
    assert xlmeta.encode(xlmeta.decode(fixture.data)) == fixture.data


@named(CHANGEABLE)
def test_a_file_written_anew_is_1_3_and_says_the_same(fixture: Fixture) -> None:
    old = xlmeta.decode(fixture.data)
    new = xlmeta.decode(xlmeta.encode(replace(old, source=None)))
    assert new.form == "1.3"
    assert entries("b", "k", new) == entries("b", "k", old)
    assert [v.raw_body for v in new.versions] == [v.raw_body for v in old.versions]
    assert all(v.raw_body in fixture.data for v in new.versions)
    assert dict(new.inline) == dict(old.inline)


@named(CHANGEABLE)
def test_a_new_version_leaves_the_old_ones_bytes(fixture: Fixture) -> None:
    old = xlmeta.decode(fixture.data)
    changed = add_version(old, new_delete_marker(version_id=NEW, mod_time_ns=2 * old_forms.T))
    new = xlmeta.decode(xlmeta.encode(changed))
    assert [v.raw_body for v in new.versions[1:]] == [v.raw_body for v in old.versions]
    assert entries("b", "k", remove_version(new, NEW)) == entries("b", "k", old)
    assert (new.minor, new.header_ver, new.meta_ver) == (3, 3, old.meta_ver)


@named([each for each in FIXTURES if each.form == "json"])
def test_json_is_not_changed(fixture: Fixture) -> None:
    meta = xlmeta.decode(fixture.data)
    for change in (
        lambda: add_version(meta, new_delete_marker(version_id=NEW, mod_time_ns=1)),
        lambda: remove_version(meta, meta.versions[0].version_id),
        lambda: update_version(meta, meta.versions[0].version_id, meta_user={}),
        lambda: xlmeta.encode(replace(meta, source=None)),
    ):
        with pytest.raises(UnsupportedFormatError):
            change()


@pytest.mark.parametrize("name", ["minio-1.0", "minio-1.3-taken-over", "xl-json"])
def test_an_object_from_before_versions_is_an_object(name: str) -> None:
    meta = by_name(name)
    version = next(v for v in meta.versions if v.kind is Kind.LEGACY)
    body = version.body
    assert isinstance(body, ObjectBody)
    assert (body.form, body.ec_m, body.ec_n, body.ec_index, body.ec_dist) == (Form.V1, 2, 2, 3, (3, 4, 1, 2))
    entry = next(e for e in entries("b", "k", meta) if e.version_id == "null")
    assert (entry.user_metadata, entry.content_type, entry.parts) == ({"color": "red"}, "text/plain", 1)
    with pytest.raises(UnsupportedFormatError):
        update_version(meta, version.version_id, meta_user={})


def test_a_replaced_version_takes_its_entry_under_an_old_key_with_it() -> None:
    for name in ("rustfs-positions", "minio-1.3-inline-by-data-directory"):
        meta = by_name(name)
        assert meta.inline
        assert not remove_version(meta, bytes(16)).inline
        assert not add_version(meta, new_delete_marker(version_id=bytes(16), mod_time_ns=1)).inline


@pytest.mark.parametrize("name", ["rustfs-positions", "rustfs-deletions"])
def test_new_metadata_stay_in_rustfs_old_form_and_change_nothing_else(name: str) -> None:
    meta = by_name(name)
    old = meta.find(bytes(16))
    assert old is not None
    sys = {"x-rustfs-internal-inline-data": b"true", "x-rustfs-internal-crc": b"\x80\xff\x00"}
    changed = update_version(meta, bytes(16), meta_user={"etag": "x"}, meta_sys=sys)
    new = xlmeta.decode(xlmeta.encode(changed)).find(bytes(16))
    assert new is not None
    assert isinstance(old.body, ObjectBody)
    assert new.body == replace(old.body, meta_user={"etag": "x"}, meta_sys=sys)
    back = update_version(changed, bytes(16), meta_user=old.body.meta_user, meta_sys=old.body.meta_sys)
    again = back.find(bytes(16))
    assert again is not None
    assert again.raw_body == old.raw_body


def test_new_metadata_of_a_deletion_in_rustfs_old_form() -> None:
    meta = by_name("rustfs-deletions")
    marker = meta.versions[0]
    new = update_version(meta, marker.version_id, meta_sys={"x": b"\xff"}).versions[0]
    assert new.body == replace(marker.body, meta_sys={"x": b"\xff"})


def test_a_form_of_rustfs_that_is_only_read_is_not_changed() -> None:
    with pytest.raises(UnsupportedFormatError) as caught:
        update_version(by_name("rustfs-five-positions"), bytes(16), meta_user={})
    assert caught.value.reason == "rustfs-legacy-body"


def damaged(name: str, old: bytes, new: bytes) -> bytes:
    """The fixture's body with bytes exchanged, in a file whose CRC is right."""
    meta = by_name(name)
    raw = meta.versions[0].raw_body
    assert old in raw
    version = replace(meta.versions[0], raw_body=raw.replace(old, new, 1), _body=[])
    return xlmeta.encode(replace(meta, versions=(version,), source=None))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"ReedSolomon", b"RedeSolomon"),
        (b"HighwayHash", b"HighwayHush"),
        (b"\xa6Object", b"\xa6Subjec"),
        (b"\x99\xcd\x07\xe4\xcd\x01\x01", b"\x99\xcd\x07\xe4\xcd\x01\x70"),  # day 368
        (b"\x99\xcd\x07\xe4", b"\x99\xcd\x00\x00"),  # the year 0
        (b"\xcd\x02\xc3", b"\xcd\x02\xc4"),  # a part of another size than the object's is legal, a type not
    ],
)
def test_damage_in_rustfs_old_form_is_named(old: bytes, new: bytes) -> None:
    data = damaged("rustfs-positions", old, new)
    meta = xlmeta.decode(data)
    if old == b"\xcd\x02\xc3":
        assert isinstance(meta.versions[0].body, ObjectBody)
        return
    with pytest.raises(CorruptError) as caught:
        _ = meta.versions[0].body
    assert caught.value.reason == "body"


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"{", "xl-json"),
        (b'{"version": 1}', "body"),
        (old_forms.document(version="1.1.0"), "legacy-object"),
        (old_forms.document(format="fs"), "legacy-object"),
        (old_forms.document(erasure={"data": 2, "parity": 3, "blockSize": 1}), "body"),
        (old_forms.document(erasure={"data": 0, "parity": 0, "blockSize": 1}), "body"),
        (old_forms.document(stat={"size": -1, "modTime": "2020-09-13T12:26:40Z"}), "body"),
        (old_forms.document(stat={"size": 1.5, "modTime": "2020-09-13T12:26:40Z"}), "body"),
        (old_forms.document(stat={"size": 1, "modTime": "yesterday"}), "xl-json"),
        (old_forms.document(stat={"size": 1, "modTime": "2020-02-30T12:26:40Z"}), "xl-json"),
        (old_forms.document(stat={"size": 1, "modTime": "9999-09-13T12:26:40Z"}), "body"),
        (old_forms.document(versionId="not-one"), "body"),
        (old_forms.document(meta={"etag": 5}), "body"),
        (old_forms.document(parts=[5]), "body"),
        (b'{"a":' + b"[" * 50_000, "xl-json"),
        (b'{"a":' + b"[" * 200_000, "xl-json"),
        (b'{"a":"' + b"x" * (9 << 20) + b'"}', "xl-json"),
        (b'{"stat":{"size":' + b"9" * 5_000 + b"}}", "xl-json"),
    ],
)
def test_damage_in_json_is_named(document: bytes, reason: str) -> None:
    with pytest.raises((CorruptError, UnsupportedFormatError)) as caught:
        xlmeta.decode(document)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"XL2 1   ", "metadata"),
        (b"XL2 1   \x81\xa8Versions\x91", "metadata"),
        (b"XL2 1   \x81\xa8Versions\x90\x00", "metadata"),
        (b"XL2 1   \x81\xa8Versions\x91\x80", "body"),
        (b"XL2 1   \x81\xa8Versions\x91\x05", "body"),
        (b"XL2 \x01\x00\x01\x00\xc6\xff\xff\xff\xff", "wrapper"),
        (b"XL2 \x01\x00\x02\x00\xc4\x01\x80", "wrapper"),
        (b"XL2 \x01\x00\x02\x00\xc4\x01\x80\x05", "crc"),
        (b"XL2 \x01\x00\x01\x00\xc4\x01\x80\x02", "inline-version"),
    ],
)
def test_damage_before_1_3_is_named(data: bytes, reason: str) -> None:
    with pytest.raises((CorruptError, UnsupportedFormatError)) as caught:
        xlmeta.decode(data)
    assert caught.value.reason == reason


def test_an_array_of_times_and_a_map_are_no_bodies_of_an_object() -> None:
    for raw in (b"\x94\xa6Object\xc0\xc0\x00", b"\x95\xa6Object\xc0\xc0\xc0\x00", b"\x84" + b"\xa1a\x00" * 4):
        head = old_forms.header(old_forms.NULL, 1, 1, 0, 3)
        meta = xlmeta.decode(old_forms.indexed([(head, raw)], 3, 2, {}))
        with pytest.raises(CorruptError):
            _ = meta.versions[0].body


def test_times_of_go_and_of_messagepack_are_read() -> None:
    stamp = (1_600_000_000).to_bytes(8, "big") + (7).to_bytes(4, "big")
    ours = packing.pack_time(1_600_000_000, 7)
    assert ours[3:] == stamp
    standard = b"\xc7\x0c\xff" + stamp[8:] + stamp[:8]
    assert [wire.time_ns(wire.loads(raw, "t"), "t") for raw in (ours, standard)] == [old_forms.T + 7] * 2
    for bad in (b"\xc7\x0c\x06" + stamp, b"\xc7\x0c\x05" + b"\xff" * 12, b"\x05"):
        with pytest.raises(CorruptError):
            wire.time_ns(wire.loads(bad, "t"), "t")
