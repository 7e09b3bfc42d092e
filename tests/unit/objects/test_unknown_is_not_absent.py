"""A drive that does not say whether something is there has not said that it is absent."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dualtrack.engine import marker, trust
from dualtrack.engine.drive import HOLD_DIRECTORY
from dualtrack.engine.journal import Journal
from dualtrack.engine.marker import Marker, MarkerState
from dualtrack.engine.objects.errors import BucketExists, Unavailable
from dualtrack.engine.objects.fs_track import FsTrack
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.orphans import collecting, records
from layers import opened, orphans_task
from orphanage import DAY, collect, orphanage, plant


@contextmanager
def silent(monkeypatch: pytest.MonkeyPatch, path: Path) -> Iterator[None]:
    """The drive fails whenever it is asked for this one path."""
    real = {"stat": os.stat, "lstat": os.lstat}

    def asked(name: str) -> Any:
        def answer(place: Any, *arguments: Any, **named: Any) -> os.stat_result:
            if not isinstance(place, int) and os.fsdecode(place) == str(path):
                raise OSError(errno.EIO, os.strerror(errno.EIO), place)
            return real[name](place, *arguments, **named)

        return answer

    with monkeypatch.context() as patch:
        for name in real:
            patch.setattr(os, name, asked(name))
        yield


def test_a_bucket_that_is_not_answered_for_is_not_said_to_be_gone(
    drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    track = FsTrack(str(drive))
    track.open()
    (drive / "bucket").mkdir()
    with silent(monkeypatch, drive / "bucket"), pytest.raises(Unavailable, match="Input/output"):
        track.write("bucket", "key", b"metadata")


def test_a_bucket_that_cannot_be_looked_at_is_not_made_anew(
    drive: Path, layer: ObjectLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer.set_versioning("bucket", "Enabled")
    with silent(monkeypatch, drive / "bucket"), pytest.raises(Unavailable, match="Input/output"):
        layer.create_bucket("bucket")
    with pytest.raises(BucketExists):
        layer.create_bucket("bucket")
    assert layer.versioning("bucket") == "Enabled"


def test_a_marker_that_cannot_be_looked_at_is_none_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / ".dualtrack").symlink_to(tmp_path / ".dualtrack")
    with pytest.raises(OSError, match="symbolic links"):
        marker.exists(str(tmp_path))


def test_what_was_held_to_a_place_that_is_not_mounted_was_taken_all_the_same(tmp_path: Path) -> None:
    state = Marker(MarkerState.KV_ONLY, "store", 0, "", "2026-11-23T00:00:00Z")
    marker.write(str(tmp_path), state)
    assert not trust.files_taken(str(tmp_path))
    (tmp_path / HOLD_DIRECTORY).symlink_to(tmp_path / "not-mounted")
    assert trust.files_taken(str(tmp_path))


def test_an_epoch_of_which_nobody_knows_whether_it_broke_is_not_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal.open(str(tmp_path))
    assert not journal.broken
    with silent(monkeypatch, tmp_path / "epoch.broken"), pytest.raises(OSError, match="Input/output"):
        _ = journal.broken
    journal.close()


def test_a_collected_directory_that_cannot_be_looked_at_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = orphanage(tmp_path / "d1")
    plant(drive)
    with opened(drive, "kv_only") as layer:
        collect(layer)
        with orphans_task(layer, DAY) as task:
            kept = [*records.collected(task.owner)]
            with (
                silent(monkeypatch, drive / kept[0].target),
                pytest.raises(OSError, match="Input/output"),
            ):
                collecting.settle(task)
            assert [*records.collected(task.owner)] == kept
