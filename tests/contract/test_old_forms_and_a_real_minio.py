"""A real MinIO and we on the same files of old forms: as they lie, and after we have changed each of them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from minio import Minio

import old_forms
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.types import Attributes
from layers import Body, new_drive, opened

sys.path.insert(0, str(Path(__file__).parents[2] / "hack"))

from dtlab import minio as lab

MINIO_READS = [f for f in old_forms.fixtures() if f.name.startswith(("minio", "xl-json"))]
FREE = [(f.name, str(s.version), True, 0, "") for f in MINIO_READS for s in f.seen if s.kind == "freeVersion"]
EMPTY = [(f.name, "null", True, 0, "") for f in MINIO_READS if not f.seen]
"""Free versions and files without versions: MinIO lists them as delete markers, we do not."""

Told = tuple[str, str | None, bool, int, str]


def ours(layer: ObjectLayer) -> list[Told]:
    found = layer.list_versions("old", "", "", "", "", 1000).versions
    return [(v.key, v.version_id, v.delete_marker, v.size, v.etag) for v in found]


def minios(client: Minio) -> list[Told]:
    return [
        (o.object_name, o.version_id, bool(o.is_delete_marker), o.size or 0, (o.etag or "").strip('"'))
        for o in client.list_objects("old", recursive=True, include_version=True)
    ]


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    drive = new_drive(tmp_path / "d1")
    with opened(drive, "fs/0") as layer:
        layer.create_bucket("old")
        layer.set_versioning("old", "Enabled")
    for fixture in MINIO_READS:
        (drive / "old" / fixture.name).mkdir()
        (drive / "old" / fixture.name / "xl.meta").write_bytes(fixture.data)
    return drive


@pytest.mark.parametrize("changed", [False, True])
def test_both_list_the_same_versions_and_serve_the_same_content(drive: Path, changed: bool) -> None:
    with opened(drive, "fs/0") as layer:
        if changed:
            for fixture in MINIO_READS:
                if fixture.form != "json":
                    layer.put("old", fixture.name, Body(b"new"), Attributes())
        expected = ours(layer)
    inlined = [(f, s) for f in MINIO_READS for s in f.seen if s.content is not None]
    assert inlined
    with lab.running(drive) as server:
        client = Minio(server.address, lab.ACCESS_KEY, lab.SECRET_KEY, secure=False)
        assert sorted(minios(client)) == sorted([*expected, *FREE, *([] if changed else EMPTY)])
        for fixture, seen in inlined:
            version = "null" if seen.version == old_forms.NULL else str(seen.version)
            with client.get_object("old", fixture.name, version_id=version) as answer:
                assert answer.read() == seen.content
        if changed:
            for fixture in MINIO_READS:
                if fixture.form != "json":
                    with client.get_object("old", fixture.name) as answer:
                        assert answer.read() == b"new"
