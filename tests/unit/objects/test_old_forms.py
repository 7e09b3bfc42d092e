"""What a gateway makes of objects whose metadata are of an old form."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import old_forms
from crashing import Crasher
from dualtrack.engine.objects.errors import NoSuchKey, Undecodable
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.types import Attributes, Span
from layers import Body, opened, sweep

CONTENT = b"part file of an early RustFS ".ljust(2 * 1_048_576 + 333, b"-")


def put(drive: Path, name: str, file: str = "xl.meta") -> Path:
    (drive / "bucket" / name).mkdir()
    path = drive / "bucket" / name / file
    path.write_bytes((old_forms.FOLDER / name).read_bytes())
    return path


def content(layer: ObjectLayer, name: str, span: Span | None = None) -> bytes:
    return b"".join(layer.read("bucket", name, None, span)[1])


@pytest.mark.parametrize("name", [f.name for f in old_forms.fixtures() if f.seen and f.seen[0].content])
def test_inline_content_of_every_old_form_is_served(drive: Path, layer: ObjectLayer, name: str) -> None:
    put(drive, name)
    expected = next(f for f in old_forms.fixtures() if f.name == name).seen[0].content
    assert expected is not None
    assert content(layer, name) == expected
    assert content(layer, name, Span(1, 2)) == expected[1:3]


def test_part_files_of_early_rustfs_are_served(drive: Path, layer: ObjectLayer) -> None:
    head = old_forms.header(old_forms.NULL, old_forms.T, 1, 0, 3)
    fields = old_forms.rustfs_object(None, old_forms.T, len(CONTENT)) | {"meta_sys": {}}
    body = old_forms.pack(["Object", list(fields.values()), None, 1])
    folder = drive / "bucket" / "old"
    (folder / str(old_forms.DATA_DIR)).mkdir(parents=True)
    (folder / "xl.meta").write_bytes(old_forms.indexed([(head, body)], 3, 2, {}))
    blocks = [CONTENT[start : start + 1_048_576] for start in range(0, len(CONTENT), 1_048_576)]
    part = folder / str(old_forms.DATA_DIR) / "part.1"
    part.write_bytes(b"".join(old_forms.framed(block, old_forms.RUSTFS_KEY, even=True) for block in blocks))
    assert content(layer, "old") == CONTENT
    assert content(layer, "old", Span(1_048_570, len(CONTENT) - 1)) == CONTENT[1_048_570:]
    layer.set_tags("bucket", "old", None, {"a": "b"})
    assert layer.tags("bucket", "old")[1] == {"a": "b"}
    assert content(layer, "old") == CONTENT


@pytest.mark.parametrize("file", ["xl.meta", "xl.json"])
@pytest.mark.parametrize("mode", ["fs/0", "fs/1", "kv_primary/1/false", "kv_only"])
@pytest.mark.parametrize("name", ["xl-json", "xl-json-two-parts"])
def test_an_object_from_before_versions_is_shown_and_left_alone(
    drive: Path, mode: str, name: str, file: str
) -> None:
    with opened(drive, "fs/1") as layer:
        layer.create_bucket("bucket")
        path = put(drive, name, file)
        sweep(layer)
    with opened(drive, mode) as layer:
        shown_and_left_alone(layer, path, name)


def shown_and_left_alone(layer: ObjectLayer, path: Path, name: str) -> None:
    seen = next(f for f in old_forms.fixtures() if f.name == name).seen[0]
    stored = layer.stat("bucket", name, None)
    assert (stored.size, stored.etag, stored.modified_ns) == (seen.size, seen.etag, seen.time)
    assert [entry.key for entry in layer.list_objects("bucket", "", "", "", 10).objects] == [name]
    for attempt in (
        lambda: content(layer, name),
        lambda: layer.put("bucket", name, Body(b"new"), Attributes()),
        lambda: layer.delete("bucket", name, None),
        lambda: layer.set_tags("bucket", name, None, {"a": "b"}),
    ):
        with pytest.raises(Undecodable):
            attempt()
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == (old_forms.FOLDER / name).read_bytes()


def test_a_write_beside_an_object_from_before_versions_keeps_it(drive: Path, layer: ObjectLayer) -> None:
    layer.set_versioning("bucket", "Enabled")
    put(drive, "minio-1.0")
    before = [(v.version_id, v.etag) for v in layer.list_versions("bucket", "", "", "", "", 10).versions]
    layer.put("bucket", "minio-1.0", Body(b"new"), Attributes())
    after = [(v.version_id, v.etag) for v in layer.list_versions("bucket", "", "", "", "", 10).versions]
    assert after[1:] == before
    assert content(layer, "minio-1.0") == b"new"


def hidden(drive: Path, key: str) -> None:
    """An old document and its content beside the `xl.meta` that hides it."""
    folder = drive / "bucket" / key
    (folder / "xl.json").write_bytes((old_forms.FOLDER / "xl-json").read_bytes())
    (folder / "part.1").write_bytes(b"a")


@pytest.mark.parametrize("mode", ["fs/0", "fs/1", "kv_primary/1/true"])
def test_a_deleted_object_does_not_uncover_an_older_one(drive: Path, mode: str) -> None:
    with opened(drive, "fs/1") as layer:
        layer.create_bucket("bucket")
        layer.put("bucket", "key", Body(b"new"), Attributes())
        layer.put("bucket", "key/below", Body(b"below"), Attributes())
        layer.drain()
        sweep(layer)
    hidden(drive, "key")
    with opened(drive, mode) as layer:
        layer.delete("bucket", "key", None)
        with pytest.raises(NoSuchKey):
            layer.stat("bucket", "key", None)
        assert [entry.key for entry in layer.list_objects("bucket", "", "", "", 10).objects] == ["key/below"]
    assert sorted(path.name for path in (drive / "bucket/key").iterdir()) == ["below"]


@pytest.fixture
def crasher() -> Iterator[Crasher]:
    made = Crasher()
    yield made
    made.close()


def test_nor_does_one_whose_deletion_is_killed_anywhere(
    drive: Path, tmp_path: Path, crasher: Crasher
) -> None:
    with opened(drive, "fs/0") as layer:
        layer.create_bucket("bucket")
        layer.put("bucket", "key", Body(b"new"), Attributes())
    hidden(drive, "key")
    step, killed = 0, True
    found: list[bytes | None] = []
    while killed:
        step += 1
        copy = shutil.copytree(drive, tmp_path / f"{step}")
        order = {"mode": "fs/0", "level": "eventual", "operation": "delete", "key": "key"}
        killed, _ = crasher.run(drive=str(copy), step=step, **order)
        with opened(copy, "fs/0") as layer:
            try:
                found.append(content(layer, "key"))
            except NoSuchKey:
                found.append(None)
    assert set(found) == {b"new", None}
    assert found == sorted(found, key=lambda each: each is None)


def test_the_content_of_a_replaced_object_from_before_versions_goes(drive: Path, layer: ObjectLayer) -> None:
    name = "minio-1.3-taken-over"
    folder = put(drive, name).parent
    for place in ("legacy", str(old_forms.DATA_DIR)):
        (folder / place).mkdir()
        (folder / place / "part.1").write_bytes(b"a")
    layer.set_tags("bucket", name, str(old_forms.A), {"a": "b"})
    assert (folder / "legacy/part.1").exists()
    layer.put("bucket", name, Body(b"new"), Attributes())
    assert sorted(path.name for path in folder.iterdir()) == [str(old_forms.DATA_DIR), "xl.meta"]


def test_but_not_that_of_a_key_which_is_called_like_its_directory(drive: Path, layer: ObjectLayer) -> None:
    name = "minio-1.3-taken-over"
    folder = put(drive, name).parent
    other = put(drive, "xl-json", "xl.json").parent.rename(folder / "legacy")
    (other / "part.1").write_bytes(b"a")
    layer.put("bucket", name, Body(b"new"), Attributes())
    assert sorted(path.name for path in other.iterdir()) == ["part.1", "xl.json"]
