"""Killed in the middle of writes, and many at once: what was answered is there, and nothing is half there."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import writing
from dualtrack.engine.objects.errors import BucketNotEmpty, NoSuchBucket, NoSuchKey
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.types import Attributes
from layers import Body, Figures, new_drive, opened, sweep

MODES = ["fs/0", "fs/1", "kv_primary/1/true", "kv_only", "returning"]
State = dict[str, bytes | None]


def prepared(tmp_path: Path, mode: str) -> Path:
    drive = new_drive(tmp_path / "drive")
    with opened(drive, "fs/1") as layer:
        layer.create_bucket("bucket")
        if mode not in ("fs/0", "fs/1"):
            sweep(layer)
    return drive


@pytest.mark.parametrize("mode", MODES)
def test_every_answered_write_survives_kill_9(tmp_path: Path, mode: str) -> None:
    drive = prepared(tmp_path, mode)
    chance = random.Random(mode)
    state: State = {writing.key_of(number): None for number in range(7)}
    start = 0
    for _ in range(4):
        open_end = start + writing.answered_when_killed(drive, mode, start, chance.randrange(3, 40))
        for number in range(start, open_end):
            state[writing.key_of(number)] = writing.content_of(number)
        figures = Figures()
        with opened(drive, mode, figures=figures) as layer:
            found = contents(layer)
            cut_off = {**state, writing.key_of(open_end): writing.content_of(open_end)}
            assert found in (state, cut_off)
            layer.drain()
            assert contents(layer) == found
        assert figures.counts["rustfs_consistency_errors_total"] == 0
        assert not list((drive / ".dualtrack/tmp").iterdir())
        state, start = found, open_end + 1


def contents(layer: ObjectLayer) -> State:
    """What each key holds, by GET and by the listing alike."""
    listed = {each.key: each.size for each in layer.list_objects("bucket", "", "", "", 1000).objects}
    found: State = {}
    for number in range(7):
        key = writing.key_of(number)
        try:
            content = b"".join(layer.read("bucket", key)[1])
        except NoSuchKey:
            found[key] = None
        else:
            found[key] = content
        assert listed.get(key) == (None if found[key] is None else len(content))
    return found


def together(*tasks: Callable[[], None]) -> None:
    """Run the tasks at the same time and raise what any of them raised."""
    ready = threading.Barrier(len(tasks))

    def run(task: Callable[[], None]) -> None:
        ready.wait()
        task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        for running in [pool.submit(run, task) for task in tasks]:
            running.result()


@pytest.mark.parametrize("mode", MODES)
def test_parents_that_others_remove_fail_no_write(tmp_path: Path, mode: str) -> None:
    drive = prepared(tmp_path, mode)
    with opened(drive, mode, drain=True) as layer:

        def write_and_delete(name: str) -> Callable[[], None]:
            def task() -> None:
                key = f"deep/er/{name}/x"
                for number in range(40):
                    content = bytes(200_000) if number % 3 == 0 else str(number).encode()
                    layer.put("bucket", key, Body(content), Attributes())
                    assert b"".join(layer.read("bucket", key)[1]) == content
                    layer.delete("bucket", key)
                    with pytest.raises(NoSuchKey):
                        layer.stat("bucket", key)

            return task

        together(*(write_and_delete(name) for name in "abcd"))
        assert layer.list_objects("bucket", "", "", "", 10).objects == ()
    assert list((drive / "bucket").iterdir()) == []


@pytest.mark.parametrize("mode", MODES)
def test_writers_of_one_key_leave_one_of_their_contents_whole(tmp_path: Path, mode: str) -> None:
    drive = prepared(tmp_path, mode)
    written = [str(number).encode() * size for number, size in ((1, 5), (2, 200_000), (3, 140_000), (4, 9))]
    with opened(drive, mode, drain=True) as layer:

        def writer(content: bytes) -> Callable[[], None]:
            def task() -> None:
                for _ in range(15):
                    layer.put("bucket", "key", Body(content), Attributes())
                    assert b"".join(layer.read("bucket", "key")[1]) in written

            return task

        together(*(writer(content) for content in written))
        last = b"".join(layer.read("bucket", "key")[1])
        assert last in written
        assert len(list((drive / "bucket/key").glob("*/part.1"))) == (len(last) > 131_072)
    with opened(drive, mode) as layer:
        assert b"".join(layer.read("bucket", "key")[1]) == last


@pytest.mark.parametrize("mode", MODES)
def test_versions_of_concurrent_writers_are_all_kept(tmp_path: Path, mode: str) -> None:
    drive = prepared(tmp_path, mode)
    with opened(drive, mode) as layer:
        layer.set_versioning("bucket", "Enabled")

        def writer() -> None:
            for _ in range(10):
                layer.put("bucket", "key", Body(b"1"), Attributes())

        together(writer, writer, writer)
        assert len(layer.list_versions("bucket", "", "", "", "", 100).versions) == 30


@pytest.mark.parametrize("mode", MODES)
def test_a_bucket_is_either_removed_or_holds_the_object(tmp_path: Path, mode: str) -> None:
    drive = prepared(tmp_path, mode)
    with opened(drive, mode) as layer:
        for number in range(20):
            name = f"bucket-{number}"
            layer.create_bucket(name)
            outcome: list[str] = []

            def write(name: str = name, outcome: list[str] = outcome) -> None:
                try:
                    layer.put(name, "key", Body(b"1"), Attributes())
                    outcome.append("written")
                except NoSuchBucket:
                    outcome.append("refused")

            def remove(name: str = name, outcome: list[str] = outcome) -> None:
                try:
                    layer.delete_bucket(name)
                    outcome.append("removed")
                except BucketNotEmpty:
                    outcome.append("kept")

            together(write, remove)
            assert sorted(outcome) in (["kept", "written"], ["refused", "removed"])
            assert (drive / name).exists() == ("kept" in outcome)
