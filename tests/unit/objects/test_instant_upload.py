"""Instant upload: an object of known content is one like any other, and takes nothing from its source."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from crashing import Crasher
from dualtrack.engine import blake
from dualtrack.engine.formats import bitrot, xlmeta
from dualtrack.engine.formats.changes import BLOCK_SIZE
from dualtrack.engine.objects.errors import NoSuchKey, UnknownContent
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.levels import Level
from dualtrack.engine.objects.references import HASH_KEY, Reference, prefix
from dualtrack.engine.objects.types import Attributes, Content, Written
from dualtrack.engine.stores.protocol import Batch
from layers import Body, Figures, md5, new_drive, opened, sweep

MODES = ["kv_primary/1/true", "kv_only", "returning"]
SMALL, LARGE = b"s" * 700, bytes(range(256)) * 5_000


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    drive = new_drive(tmp_path / "drive")
    with opened(drive, "fs/1") as layer:
        layer.create_bucket("bucket")
        layer.create_bucket("versioned")
        layer.set_versioning("versioned", "Enabled")
        layer.drain()
        sweep(layer)
    return drive


def named(content: bytes) -> Content:
    return Content(blake.digest(content).hex(), len(content))


def put(layer: ObjectLayer, key: str, content: bytes) -> Written:
    return layer.put("bucket", key, Body(content), Attributes(user={"from": key}))


def put_known(layer: ObjectLayer, key: str, content: bytes, bucket: str = "bucket") -> Written:
    return layer.put_known(bucket, key, named(content), Attributes(user={"from": key}))


def get(layer: ObjectLayer, key: str, bucket: str = "bucket") -> bytes:
    return b"".join(layer.read(bucket, key)[1])


def references(layer: ObjectLayer, content: bytes) -> int:
    assert layer.opened.owner is not None
    return len(layer.opened.owner.meta_scan(prefix(named(content).blake3), None, 100))


def parts(drive: Path) -> list[Path]:
    return sorted(drive.glob("bucket/*/*/part.1"))


@pytest.mark.parametrize("content", [b"", SMALL, LARGE], ids=["empty", "inline", "separate"])
@pytest.mark.parametrize("mode", MODES)
def test_an_object_of_known_content_is_one_of_its_own(drive: Path, mode: str, content: bytes) -> None:
    with opened(drive, mode, instant=True) as layer:
        first = put(layer, "first", content)
        second = put_known(layer, "second", content)
        third = put_known(layer, "third", content)
        assert second.etag == third.etag == first.etag == md5(content)
        assert references(layer, content) == 3
        for key in ("second", "third"):
            assert get(layer, key) == content
            assert layer.stat("bucket", key).user == {"from": key}
        if content is LARGE:
            assert len({path.parent.name for path in parts(drive)}) == 3
            assert len({path.stat().st_ino for path in parts(drive)}) == 1
        layer.delete("bucket", "first")
        put(layer, "second", b"other")
        assert get(layer, "third") == content
        assert references(layer, content) == 1
        layer.delete("bucket", "third")
        assert references(layer, content) == 0
        assert get(layer, "second") == b"other"
        with pytest.raises(UnknownContent):
            put_known(layer, "fourth", content)
        assert parts(drive) == []
    assert not list((drive / ".dualtrack/tmp").iterdir())


def test_what_is_unknown_leaves_nothing(drive: Path) -> None:
    figures = Figures()
    with opened(drive, "kv_only", instant=True, figures=figures) as layer:
        put(layer, "first", LARGE)
        for wrong in (named(SMALL), replace(named(LARGE), size=5)):
            with pytest.raises(UnknownContent):
                layer.put_known("bucket", "second", wrong, Attributes())
        with pytest.raises(NoSuchKey):
            layer.stat("bucket", "second")
        put_known(layer, "second", LARGE)
        assert figures.counts["rustfs_instant_upload_misses_total"] == 2
        assert figures.counts["rustfs_instant_upload_hits_total"] == 1


@pytest.mark.parametrize(("mode", "instant"), [("kv_only", False), ("fs/1", True), ("fs/0", True)])
def test_it_is_off_unless_it_is_asked_for_and_where_files_answer(
    tmp_path: Path, mode: str, instant: bool
) -> None:
    drive = new_drive(tmp_path / "drive")
    with opened(drive, "fs/1") as layer:
        layer.create_bucket("bucket")
        sweep(layer)
    if mode == "fs/0":
        shutil.rmtree(drive / ".dualtrack")
    with opened(drive, mode, instant=instant) as layer:
        put(layer, "first", SMALL)
        with pytest.raises(UnknownContent):
            put_known(layer, "second", SMALL)
        meta = xlmeta.decode(layer.opened.plane.load("bucket", "first") or b"")
        assert HASH_KEY not in meta.versions[0].body.meta_sys


def test_content_that_is_too_much_for_a_versioned_object_s_metadata_gets_its_own_file(drive: Path) -> None:
    content = SMALL * 100
    with opened(drive, "kv_only", instant=True) as layer:
        put(layer, "first", content)
        assert parts(drive) == []
        put_known(layer, "second", content, "versioned")
        put_known(layer, "second", content, "versioned")
        assert len(list(drive.glob("versioned/second/*/part.1"))) == 2
        assert get(layer, "second", "versioned") == content
        assert references(layer, content) == 3


def test_a_reference_that_leads_elsewhere_is_not_believed(drive: Path) -> None:
    """Each is the only reference to its content: to a version that is gone, and to one of another content."""
    with opened(drive, "kv_only", instant=True) as layer:
        owner = layer.opened.owner
        assert owner is not None
        put(layer, "other", SMALL)
        for key in ("gone", "other"):
            wanted = named(b"x" * 5)
            reference = Reference("bucket", key, "null")
            owner.commit(Batch(meta={reference.name(wanted.blake3): reference.pack()}))
            with pytest.raises(UnknownContent):
                layer.put_known("bucket", "new", wanted, Attributes())
            assert references(layer, b"x" * 5) == 0
        assert references(layer, SMALL) == 1


def test_content_that_is_not_what_its_metadata_say_is_not_given_to_others(drive: Path) -> None:
    """A hash that collides, or metadata that lie: the name says one content and the bytes are another."""
    with opened(drive, "kv_only", instant=True) as layer:
        put(layer, "first", SMALL)
        kv = layer.opened.kv
        assert kv is not None
        meta = xlmeta.decode(layer.opened.plane.load("bucket", "first") or b"")
        forged = {"null": bitrot.frame(b"f" * len(SMALL), BLOCK_SIZE)}
        changed = replace(meta, inline=forged, source=None)
        kv.put("bucket", "first", changed, xlmeta.encode(changed), None)
        with pytest.raises(UnknownContent):
            put_known(layer, "second", SMALL)


def test_a_source_that_is_deleted_at_the_same_time_gives_all_or_nothing(drive: Path) -> None:
    with opened(drive, "kv_only", instant=True) as layer:
        for number in range(12):
            put(layer, "source", LARGE)
            ready = threading.Barrier(2)

            def take(key: str = f"target-{number}", ready: threading.Barrier = ready) -> bool:
                ready.wait()
                try:
                    put_known(layer, key, LARGE)
                except UnknownContent:
                    return False
                return True

            def remove(ready: threading.Barrier = ready) -> None:
                ready.wait()
                layer.delete("bucket", "source")

            with ThreadPoolExecutor(2) as pool:
                taken, removed = pool.submit(take), pool.submit(remove)
                removed.result()
                if taken.result():
                    assert get(layer, f"target-{number}") == LARGE
                    layer.delete("bucket", f"target-{number}")
        assert references(layer, LARGE) == 0
        assert parts(drive) == []


@pytest.fixture(scope="module")
def crasher() -> Iterator[Crasher]:
    running = Crasher()
    yield running
    running.close()


@pytest.mark.parametrize(
    ("mode", "level"),
    [("kv_only", "eventual"), ("kv_primary/1/true", "eventual"), ("kv_primary/1/true", "strong")],
)
def test_killed_anywhere_it_leaves_the_source_whole_and_the_new_object_whole_or_absent(
    drive: Path, tmp_path: Path, crasher: Crasher, mode: str, level: str
) -> None:
    content = b"L" * 200_000
    with opened(drive, mode, instant=True) as layer:
        put(layer, "source", content)
    for step in range(1, 60):
        copy = tmp_path / "copy"
        shutil.copytree(drive, copy, copy_function=shutil.copy)
        killed, _ = crasher.run(
            drive=str(copy), mode=mode, level=level, operation="known", key="new", content="L",
            times=len(content), step=step,
        )  # fmt: skip
        with opened(copy, mode, level=Level(level), instant=True) as layer:
            layer.drain()
            assert get(layer, "source") == content
            try:
                assert get(layer, "new") == content
                there = True
            except NoSuchKey:
                there = False
            layer.delete("bucket", "source")
            if there:
                assert get(layer, "new") == content
        shutil.rmtree(copy)
        if not killed:
            assert there
            return
    raise AssertionError("the write never came to its end")
