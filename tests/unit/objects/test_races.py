"""Two requests at once whose places on the drive touch: of each pair, one order or the other is seen."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dualtrack.engine import files
from dualtrack.engine.objects.errors import InvalidKey, NoSuchKey
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.types import Attributes
from layers import Body, new_drive, opened, sweep

MODES = ["fs/0", "fs/1", "kv_primary/1/true", "kv_only", "returning"]
LARGE = bytes(200_000)


def prepared(tmp_path: Path) -> Path:
    drive = new_drive(tmp_path / "drive")
    with opened(drive, "fs/1") as layer:
        layer.create_bucket("bucket")
        sweep(layer)
    return drive


def put(layer: ObjectLayer, key: str, content: bytes = b"1") -> None:
    layer.put("bucket", key, Body(content), Attributes())


def together(*tasks: Callable[[], Any]) -> list[Any]:
    ready = threading.Barrier(len(tasks))

    def run(task: Callable[[], Any]) -> Any:
        ready.wait()
        return task()

    with ThreadPoolExecutor(len(tasks)) as pool:
        return [running.result() for running in [pool.submit(run, task) for task in tasks]]


def below(drive: Path) -> set[str]:
    return {path.relative_to(drive).as_posix() for path in (drive / "bucket").rglob("*")}


@pytest.mark.parametrize("rivals", [("a", "a/xl.meta"), ("a", "a/xl.meta/b"), ("a/xl.meta", "a")])
@pytest.mark.parametrize("mode", ["kv_only", "returning"])
def test_of_two_keys_that_need_one_place_the_first_to_come_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, rivals: tuple[str, str]
) -> None:
    """The first writer stops between its look at the rival and its commit, as long as the second one runs."""
    drive = prepared(tmp_path)
    first, second = rivals
    with opened(drive, mode) as layer:
        looked, ended = threading.Event(), threading.Event()
        commit = layer.opened.plane.commit  # type: ignore[attr-defined]

        def stopping(bucket: str, key: str, *rest: Any) -> None:
            if key == first:
                looked.set()
                ended.wait(0.2)  # comes to its end only where the second is kept out, as it has to be
            commit(bucket, key, *rest)

        monkeypatch.setattr(layer.opened.plane, "commit", stopping)

        def follow() -> str:
            looked.wait()
            try:
                put(layer, second)
            except InvalidKey:
                return "refused"
            finally:
                ended.set()
            return "written"

        assert together(lambda: put(layer, first), follow)[1] == "refused"
        assert [each.key for each in layer.list_objects("bucket", "", "", "", 10).objects] == [first]


@pytest.mark.parametrize("mode", MODES)
def test_of_two_keys_that_need_one_place_one_is_written(tmp_path: Path, mode: str) -> None:
    drive = prepared(tmp_path)
    with opened(drive, mode) as layer:

        def attempt(key: str) -> Callable[[], str]:
            def task() -> str:
                try:
                    put(layer, key, LARGE)
                except InvalidKey:
                    return ""
                return key

            return task

        for number in range(4):
            written = together(attempt(f"{number}"), attempt(f"{number}/xl.meta"))
            assert sorted(map(bool, written)) == [False, True]
        listed = {each.key for each in layer.list_objects("bucket", "", "", "", 100).objects}
        assert len(listed) == 4
        for key in listed:
            assert b"".join(layer.read("bucket", key)[1]) == LARGE
    if mode.startswith("fs"):
        assert len([name for name in below(drive) if name.endswith("part.1")]) == 4


@pytest.mark.parametrize("mode", ["kv_only", "returning"])
def test_a_key_that_is_refused_leaves_nothing_where_the_other_one_s_file_belongs(
    tmp_path: Path, mode: str
) -> None:
    drive = prepared(tmp_path)
    with opened(drive, "kv_only") as layer:
        put(layer, "a")
    with opened(drive, mode) as layer:
        layer.set_versioning("bucket", "Enabled")
        before = below(drive)
        with pytest.raises(InvalidKey):
            put(layer, "a/xl.meta", LARGE)
        with pytest.raises(InvalidKey):
            layer.delete("bucket", "a/xl.meta")
        assert below(drive) == before
        assert not list((drive / ".dualtrack/tmp").iterdir())
        put(layer, "a", b"again")


@pytest.mark.parametrize("mode", MODES)
def test_deletions_above_and_below_each_other_both_succeed(tmp_path: Path, mode: str) -> None:
    drive = prepared(tmp_path)
    keys = ["a", "a/b", "a/b/c"]
    with opened(drive, mode, drain=True) as layer:

        def cycle(key: str) -> Callable[[], None]:
            def task() -> None:
                for number in range(30):
                    put(layer, key, LARGE if number % 4 == 0 else b"1")
                    layer.delete("bucket", key)
                    with pytest.raises(NoSuchKey):
                        layer.stat("bucket", key)

            return task

        together(*(cycle(key) for key in keys))
    assert below(drive) == set()


def test_a_deletion_whose_directory_another_one_removes_succeeds_and_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory of `a` is empty once its file is gone, and goes with the deletion of `a/b`."""
    drive = prepared(tmp_path)
    synced: list[str] = []
    sync = files.sync_directory

    def removing(path: str) -> None:
        if path == str(drive / "bucket/a"):
            files.remove_directory(path)
        sync(path)
        synced.append(path)

    with opened(drive, "fs/0") as layer:
        put(layer, "a")
        monkeypatch.setattr(files, "sync_directory", removing)
        layer.delete("bucket", "a")
    assert synced == [str(drive / "bucket")]
