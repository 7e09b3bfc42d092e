"""What each consistency level promises beside its commit point: who answers, and what follows when."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dualtrack.cli.main import main
from dualtrack.engine import files
from dualtrack.engine.objects.errors import NoSuchKey, Unavailable
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.levels import Level
from dualtrack.engine.objects.types import Attributes
from dualtrack.engine.rows import Row, RowState
from dualtrack.engine.stores.protocol import Batch, Outcome, Put
from dualtrack.errors import StoreError, StoreFullError
from layers import Body, Figures, new_drive, opened, sweep

STRONG, LAZY, EVENTUAL = Level.STRONG, Level.LAZY, Level.EVENTUAL
BOTH = ["fs/1", "kv_primary/1/true"]


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    drive = new_drive(tmp_path / "drive")
    with opened(drive, "fs/1") as layer:
        layer.create_bucket("bucket")
        put(layer, "key", b"first")
        layer.drain()
        sweep(layer)
    return drive


def put(layer: ObjectLayer, key: str, content: bytes) -> None:
    layer.put("bucket", key, Body(content), Attributes())


def get(layer: ObjectLayer, key: str) -> bytes:
    return b"".join(layer.read("bucket", key)[1])


def row(layer: ObjectLayer, key: str = "key") -> Row | None:
    assert layer.opened.owner is not None
    return layer.opened.owner.get("bucket", key)


def failing(error: Exception) -> Callable[..., Any]:
    def fail(*arguments: Any, **named: Any) -> Any:
        raise error

    return fail


# -- strong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", BOTH)
def test_strong_has_the_row_before_the_answer_and_nothing_dirty(drive: Path, mode: str) -> None:
    with opened(drive, mode, level=STRONG) as layer:
        put(layer, "key", b"second")
        found = row(layer)
        assert found is not None
        assert found.data == (drive / "bucket/key/xl.meta").read_bytes()
        layer.delete("bucket", "key")
        gone = row(layer)
        assert gone is not None
        assert gone.state is RowState.TOMBSTONE
        assert layer.drain() == 0


@pytest.mark.parametrize("mode", BOTH)
def test_strong_answers_with_neither_where_row_and_file_differ(drive: Path, mode: str) -> None:
    figures = Figures()
    with opened(drive, mode, level=STRONG, figures=figures) as layer:
        old = row(layer)
        put(layer, "key", b"second")
        owner = layer.opened.owner
        assert owner is not None
        assert old is not None
        wrong = Put(Row(**{**fields(old), "generation": owner.next_generation()}), b"", "any", 1)
        assert owner.commit(Batch(puts=(wrong,))).outcomes == (Outcome.APPLIED,)
        with pytest.raises(Unavailable, match="differ"):
            get(layer, "key")
        assert figures.counts["rustfs_consistency_errors_total"] == 1
        put(layer, "key", b"third")
        assert get(layer, "key") == b"third"


def fields(row: Row) -> dict[str, Any]:
    return {name: getattr(row, name) for name in Row.__slots__}


@pytest.mark.parametrize("mode", BOTH)
def test_a_strong_write_whose_row_fails_is_503_and_has_taken_effect(
    drive: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(drive, mode, level=STRONG) as layer:
        assert layer.opened.owner is not None
        with monkeypatch.context() as broken:
            broken.setattr(layer.opened.owner, "commit", failing(StoreFullError("full")))
            with pytest.raises(Unavailable, match="takes no row"):
                put(layer, "key", b"second")
            with pytest.raises(Unavailable):
                get(layer, "key")
        assert get(layer, "key") == b"second"
        assert layer.drain() == 0


@pytest.mark.parametrize("mode", BOTH)
def test_a_strong_write_without_an_intent_leaves_nothing(
    drive: Path, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(drive, mode, level=STRONG) as layer:
        owner = layer.opened.owner
        assert owner is not None
        with monkeypatch.context() as broken:
            broken.setattr(owner._journal, "mark", failing(OSError(28, "no space")))
            with pytest.raises(Unavailable, match="nothing was written"):
                put(layer, "key", b"second")
            with pytest.raises(Unavailable, match="nothing was written"):
                layer.delete("bucket", "key")
        assert not owner.broken
        assert get(layer, "key") == b"first"
        assert not list((drive / ".dualtrack/tmp").iterdir())


@pytest.mark.parametrize("follow", ["read", "write", "drain", "restart"])
def test_an_intent_that_the_drive_refused_is_carried_out_by_whatever_comes_next(
    drive: Path, monkeypatch: pytest.MonkeyPatch, follow: str
) -> None:
    with opened(drive, "fs/1", level=STRONG) as layer:
        with monkeypatch.context() as broken:
            broken.setattr(layer.opened.fs, "commit_meta", failing(Unavailable("EIO", "bucket", "key")))
            with pytest.raises(Unavailable):
                put(layer, "key", b"second")
        if follow == "read":
            assert get(layer, "key") == b"second"
        elif follow == "write":
            layer.set_tags("bucket", "key", None, {"a": "b"})
            assert get(layer, "key") == b"second"
        elif follow == "drain":
            assert layer.drain() == 1
    with opened(drive, "fs/1") as layer:
        assert get(layer, "key") == b"second"
        assert layer.drain() == (follow == "restart")
    assert not list((drive / ".dualtrack/tmp").iterdir())


def test_an_intent_that_was_overtaken_changes_nothing(drive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that had no store, and knew of no intent, has written the object since."""
    with opened(drive, "fs/1", level=STRONG) as layer:
        put(layer, "other", b"later")
        monkeypatch.setattr(layer.opened.fs, "commit_meta", failing(Unavailable("EIO", "bucket", "key")))
        with pytest.raises(Unavailable):
            put(layer, "key", b"second")
        monkeypatch.undo()
        journal = (drive / ".dualtrack/journal").read_bytes()
    newer = (drive / "bucket/other/xl.meta").read_bytes()
    files.write_atomic(str(drive / "bucket/key/xl.meta"), newer)
    (drive / ".dualtrack/journal").write_bytes(journal)
    with opened(drive, "fs/1") as layer:
        assert get(layer, "key") == b"later"
        layer.drain()
        assert get(layer, "key") == b"later"


def test_a_start_without_its_store_still_carries_an_intent_out(
    drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(drive, "fs/1", level=STRONG) as layer:
        monkeypatch.setattr(layer.opened.fs, "commit_meta", failing(Unavailable("EIO", "bucket", "key")))
        with pytest.raises(Unavailable):
            put(layer, "key", b"second")
        monkeypatch.undo()
    (drive / ".dualtrack/store/data.mdb").write_bytes(b"damaged" * 2000)
    with opened(drive, "fs/1") as layer:
        assert layer.opened.owner is None
        assert get(layer, "key") == b"second"


def test_strong_does_not_start_without_a_store(drive: Path) -> None:
    (drive / ".dualtrack/store/data.mdb").write_bytes(b"damaged" * 2000)
    with pytest.raises(StoreError), opened(drive, "fs/1", level=STRONG):
        pass


# -- lazy ----------------------------------------------------------------------------------------------------


def test_lazy_leaves_the_row_to_the_read(drive: Path) -> None:
    with opened(drive, "fs/1", level=LAZY) as layer:
        loader = layer.opened.loader
        assert loader is not None
        put(layer, "key", b"second")
        put(layer, "new", b"1")
        assert row(layer, "new") is None
        assert loader.step() == 0
        assert get(layer, "key") == b"second"
        assert get(layer, "new") == b"1"
        assert get(layer, "new") == b"1"
        assert loader.step() == 2
        for key in ("key", "new"):
            found = row(layer, key)
            assert found is not None
            assert found.data == (drive / "bucket" / key / "xl.meta").read_bytes()
        assert get(layer, "new") == b"1"
        assert loader.step() == 0


@pytest.mark.parametrize("mode", BOTH)
def test_lazy_loads_a_row_that_no_sweep_has_come_to(tmp_path: Path, mode: str) -> None:
    drive = new_drive(tmp_path / "drive")
    with opened(drive, "fs/0") as layer:
        layer.create_bucket("bucket")
        put(layer, "key", b"old")
    with opened(drive, mode, level=LAZY) as layer:
        assert layer.opened.loader is not None
        assert get(layer, "key") == b"old"
        with pytest.raises(NoSuchKey):
            get(layer, "nothing")
        assert layer.opened.loader.step() == 2
        assert row(layer) is not None
        assert row(layer, "nothing") is None


def test_a_row_that_is_loaded_while_its_file_is_written_is_never_stale(drive: Path) -> None:
    """The write comes between the loader's look at the file and its put."""
    with opened(drive, "fs/1", level=LAZY) as layer:
        loader, owner = layer.opened.loader, layer.opened.owner
        assert loader is not None
        assert owner is not None
        put(layer, "new", b"1")
        layer.drain()
        with distrusted(layer):
            read = loader._read

            def overtaken(bucket: str, key: str) -> Any:
                draft = read(bucket, key)
                put(layer, key, b"newer")
                return draft

            loader._read = overtaken
            assert get(layer, "new") == b"1"
            loader.step()
        assert owner.is_dirty("bucket", "new")
        assert get(layer, "new") == b"newer"
        layer.drain()
        found = row(layer, "new")
        assert found is not None
        assert found.data == (drive / "bucket/new/xl.meta").read_bytes()


@contextmanager
def distrusted(layer: ObjectLayer) -> Iterator[None]:
    """As long as it lasts the rows lie below the trust floor, so that reads have them loaded."""
    assert layer.opened.kv is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layer.opened.kv, "trusted", lambda row: False)
        yield


def test_lazy_drains_what_waited_half_a_window(drive: Path) -> None:
    figures = Figures()
    with opened(drive, "fs/1", level=LAZY, window_seconds=1000.0, figures=figures) as layer:
        drain = layer.keeping.drain
        assert drain is not None
        put(layer, "key", b"second")
        assert drain.due() == 0
        layer.keeping.report(False)
        assert figures.gauges["rustfs_dual_track_late_keys"] == 0
    with opened(drive, "fs/1", level=LAZY, window_seconds=0.0, figures=figures) as layer:
        drain = layer.keeping.drain
        assert drain is not None
        put(layer, "key", b"third")
        layer.keeping.report(False)
        assert figures.gauges["rustfs_dual_track_late_keys"] == 1
        assert figures.gauges["rustfs_dual_track_store_reader_behind"] == 0
        assert drain.due() == 1
        found = row(layer)
        assert found is not None
        assert found.data == (drive / "bucket/key/xl.meta").read_bytes()


def test_a_verification_need_not_wait_for_the_window_of_lazy(drive: Path) -> None:
    """Written, and read by nobody: at this level the row would follow in eight minutes."""
    settings = {"level": LAZY, "window_seconds": 1000.0, "socket": True, "drain": True}
    with opened(drive, "fs/1", **settings) as layer:
        put(layer, "key", b"second")
        put(layer, "new", b"1")
        assert row(layer, "new") is None
        words = ["engine", "verify", "--drive", str(drive), "--client-only"]
        assert main(words) == 0
        # Nothing else was hurried, and what is written now has its whole window again.
        put(layer, "key", b"third")
        assert layer.keeping.drain is not None
        assert layer.keeping.drain.due() == 0
