"""Our codec and RustFS's own, asked the same: `hack/rust/filemeta-peer` around its server's crate.

All of every tree and 10,000 generated files are compared in `tests/long`.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import filemeta_peer as peer
import old_forms
from dualtrack.engine.formats import packing, xlmeta
from dualtrack.engine.formats.bodies import ObjectBody
from dualtrack.engine.formats.changes import add_version, new_delete_marker, new_object_version
from dualtrack.errors import FormatError

pytestmark = pytest.mark.skipif(
    shutil.which("cargo") is None, reason="RustFS's codec is built by cargo, which is not there"
)

GRAPHS = 200
UNREAD = {"minio-single": ["anon/latin1"], "rustfs-4d": []}
"""Objects with metadata of users that are no UTF-8, which RustFS hides."""


@pytest.mark.parametrize("case", ["minio-single", "rustfs-4d"])
def test_every_file_of_a_drive_is_read_alike(pristine: Callable[[str], Path], case: str) -> None:
    checked, unread = peer.compare_drive(pristine(case) / "d1")
    assert checked > 2_200
    assert unread == UNREAD[case]


def test_generated_files_are_read_and_written_alike() -> None:
    peer.compare_graphs(range(GRAPHS))


@pytest.mark.parametrize("fixture", old_forms.fixtures(), ids=lambda fixture: fixture.name)
def test_of_the_old_forms_rustfs_reads_those_that_we_say(fixture: old_forms.Fixture) -> None:
    told = peer.read([fixture.data])[0]
    assert ("error" in told) is (fixture.rustfs == "file")
    if fixture.rustfs == "file":
        return
    unread = [number for number, version in enumerate(told["versions"]) if "error" in version]
    assert bool(unread) is (fixture.rustfs == "body")
    mine, theirs = peer.comparable(peer.describe(fixture.data)), peer.comparable(told)
    for number in unread:
        mine["versions"][number].pop("body")
        theirs["versions"][number].pop("error")
    assert mine == theirs


def test_a_changed_old_file_is_read_by_rustfs() -> None:
    """Also one that it could not read before, because a change makes it 1.3; but for bodies of old forms."""
    marker = new_delete_marker(version_id=b"\x0f" * 16, mod_time_ns=2 * old_forms.T)
    names = [each.name for each in old_forms.fixtures() if each.form != "json"]
    before = [xlmeta.decode((old_forms.FOLDER / name).read_bytes()) for name in names]
    changed = [xlmeta.encode(add_version(meta, marker)) for meta in before]
    unread = {
        name
        for name, data, told in zip(names, changed, peer.read(changed), strict=True)
        if not peer.alike(data, told)
    }
    # A `V1Obj`, and nil for the id of a null version.
    assert unread == {"minio-1.0", "minio-1.3-taken-over", "nil-for-the-null-version"}


# --- where the two differ ------------------------------------------------------------------------------


def test_rustfs_cannot_read_text_that_is_no_utf_8() -> None:
    version = new_object_version(
        version_id=bytes(16), data_dir=bytes(16), mod_time_ns=5, parts=(), meta_user={"k": "\udcff"}
    )
    data = xlmeta.encode(add_version(xlmeta.empty(), version))
    assert isinstance(xlmeta.decode(data).versions[0].body, ObjectBody)
    assert "error" in peer.read([data])[0]["versions"][0]


def test_rustfs_cannot_read_a_nil_id_in_a_map() -> None:
    marker = packing.join_map({"ID": packing.NIL, "MTime": b"\x05"})
    body = packing.join_map({"Type": b"\x02", "DelObj": marker})
    head = old_forms.header(old_forms.NULL, 5, 2, 0, 3)
    data = old_forms.indexed([(head, body)], 3, 3, {})
    assert xlmeta.decode(data).versions[0].body.version_id == bytes(16)
    assert "error" in peer.read([data])[0]["versions"][0]


def test_rustfs_cannot_read_an_object_from_before_versions_as_minio_wrote_it() -> None:
    """It wants the algorithm of a checksum as a text and the mode in four bytes; MinIO writes numbers."""
    body = old_forms.v1(old_forms.T)
    head = old_forms.header(old_forms.NULL, old_forms.T, 3, 0, 3)

    def told(raw: bytes) -> bool:
        return "error" not in peer.read([old_forms.indexed([(head, raw)], 3, 3, {})])[0]["versions"][0]

    raw = old_forms.pack(body)
    named = raw.replace(b"\xa9Algorithm\x03", b"\xa9Algorithm\xafhighwayhash256S")
    assert raw != named
    wide = named.replace(b"\xa4Mode\x00", b"\xa4Mode\xce\x00\x00\x00\x00")
    assert [told(raw), told(named), told(wide)] == [False, False, True]


def test_rustfs_takes_what_follows_the_last_version_and_a_wrong_kind_and_we_do_not() -> None:
    marker = new_delete_marker(version_id=bytes(16), mod_time_ns=5)
    good = old_forms.indexed([(marker.header, marker.raw_body)], 3, 3, {})
    metadata = good[13:-5] + b"\x00"
    more = old_forms.container(metadata)
    other = old_forms.indexed([(old_forms.header(old_forms.NULL, 5, 1, 0, 3), marker.raw_body)], 3, 3, {})
    for data in (more, other):
        assert "error" not in peer.read([data])[0]
        with pytest.raises(FormatError):
            _ = xlmeta.decode(data).versions[0].body


def test_rustfs_counts_other_signatures() -> None:
    """So a signature tells a change on one server's drives, and nothing between two servers."""
    version = new_object_version(
        version_id=bytes(16), data_dir=b"\x01" * 16, mod_time_ns=5, parts=(), meta_user={"etag": "a"}
    )
    told = peer.read([xlmeta.encode(add_version(xlmeta.empty(), version))])[0]["versions"][0]
    assert told["signature"] == version.signature.hex()
    assert told["body"]["signature"] != told["signature"]


def test_versions_of_equal_time_and_kind_stand_by_the_signature_in_the_header() -> None:
    """The rule is the same; but signatures differ, so two servers may order them differently."""
    files = peer.write([peer.graph(seed) for seed in range(60)])
    for data in files:
        meta = xlmeta.decode(data)
        keys = [version.sort_key for version in meta.versions]
        assert keys == sorted(keys, reverse=True)
        assert xlmeta.encode(replace(meta, source=None)) == data
