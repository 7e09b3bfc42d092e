"""Verification beside writers that never rest: nothing planted, nothing reported; planted, found."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from dualtrack.engine import confirming
from dualtrack.engine.client import OwnerClient
from dualtrack.engine.drive import Drive
from dualtrack.engine.objects.fs_track import FsTrack
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.types import Attributes
from dualtrack.engine.owner import Owner
from dualtrack.engine.sampled import SampledVerification
from dualtrack.engine.sampling import MILLION, Sample
from dualtrack.engine.task import Task
from dualtrack.engine.verify import Verification
from dualtrack.errors import DifferenceError, IncompleteError
from layers import Body, new_drive, opened, sweep
from planting import PLANTS

WRITERS = 3
QUIET = [f"quiet/{number:02d}" for number in range(40)]
BUSY = [f"busy/{number:02d}" for number in range(30)]


@contextmanager
def writing(layer: ObjectLayer) -> Iterator[list[int]]:
    """Threads that overwrite and delete until the block ends; the list counts what each has written."""
    done = threading.Event()
    written = [0] * WRITERS
    failed: list[BaseException] = []

    def write(number: int) -> None:
        chance = random.Random(number)
        try:
            while not done.is_set():
                key = chance.choice(BUSY)
                if chance.random() < 0.3:
                    layer.delete("bucket", key)
                else:
                    layer.put("bucket", key, Body(chance.randbytes(chance.choice((10, 3_000)))), Attributes())
                written[number] += 1
        except BaseException as error:  # noqa: BLE001 - told by the test that reads the list
            failed.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    try:
        yield written
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failed == []


def task_of(layer: ObjectLayer, drive: Path, number: int) -> Task:
    owner = owner_of(layer)
    run_id = f"verify-{number}"
    fence = owner.begin(run_id, 0)
    return Task(Drive.open(drive), str(drive / ".dualtrack/store"), owner, fence, run_id, client_only=True)


def owner_of(layer: ObjectLayer) -> Owner:
    owner = layer.opened.owner
    assert owner is not None
    return owner


def filled(tmp_path: Path) -> Path:
    drive = new_drive(tmp_path / "drive")
    with opened(drive, "fs/1", drain=True) as layer:
        layer.create_bucket("bucket")
        for key in (*QUIET, *BUSY):
            layer.put("bucket", key, Body(key.encode()), Attributes())
        sweep(layer)
    return drive


@pytest.mark.parametrize("mode", ["fs/1", "kv_primary/1/true", "returning"])
def test_no_writer_is_taken_for_a_defect_by_a_client_and_no_defect_for_a_writer(
    tmp_path: Path, mode: str
) -> None:
    drive = filled(tmp_path)
    store = str(drive / ".dualtrack/store")
    with (
        opened(drive, mode, drain=True, socket=True) as layer,
        closing(OwnerClient(store)) as client,
        writing(layer) as written,
    ):

        def verify(run_id: str) -> Task:
            fence = client.begin(run_id, 0)
            task = Task(Drive.open(drive), store, client, fence, run_id, client_only=True)
            Verification(task).run()
            return task

        for number in range(5):
            assert verify(f"verify-{number}").counts["objects"] >= len(QUIET)
        assert min(written) > 0
        PLANTS["flipped byte"][0](drive, owner_of(layer), ("bucket", QUIET[7]))
        with pytest.raises(DifferenceError, match=f"1 objects differ.*{QUIET[7]}: content"):
            verify("verify-planted")


@pytest.mark.parametrize("mode", ["fs/1", "kv_primary/1/true", "returning"])
def test_no_writer_is_taken_for_a_defect_and_no_defect_for_a_writer(tmp_path: Path, mode: str) -> None:
    drive = filled(tmp_path)
    with opened(drive, mode, drain=True) as layer, writing(layer) as written:
        for number in range(3):
            Verification(task_of(layer, drive, number)).run()
            SampledVerification(task_of(layer, drive, 10 + number), Sample(MILLION, str(number))).run()
        assert min(written) > 0
        PLANTS["flipped byte"][0](drive, owner_of(layer), ("bucket", QUIET[7]))
        with pytest.raises(DifferenceError, match=f"1 objects differ.*{QUIET[7]}: content"):
            Verification(task_of(layer, drive, 20)).run()
        with pytest.raises(DifferenceError, match=f"1 of .*{QUIET[7]}: content"):
            SampledVerification(task_of(layer, drive, 21), Sample(MILLION, "seed")).run()


def test_no_writer_in_kv_only_is_taken_for_a_defect_by_the_final_one(tmp_path: Path) -> None:
    drive = filled(tmp_path)
    with opened(drive, "kv_only", drain=True) as layer, writing(layer) as written:
        for number in range(3):
            Verification(task_of(layer, drive, number), final=True).run()
        assert min(written) > 0
        PLANTS["flipped byte"][0](drive, owner_of(layer), ("bucket", QUIET[7]))
        with pytest.raises(DifferenceError, match=f"1 objects differ.*{QUIET[7]}: content"):
            Verification(task_of(layer, drive, 20), final=True).run()


def test_a_write_on_the_way_back_that_has_its_row_and_not_yet_its_file_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the rename takes: two looks at the same half of a write prove nothing."""
    monkeypatch.setattr(confirming, "LOOKS", 4)
    monkeypatch.setattr(confirming, "PAUSE_SECONDS", 0.0)
    drive = filled(tmp_path)
    reached, go_on = threading.Event(), threading.Event()
    store = str(drive / ".dualtrack/store")
    with opened(drive, "returning", socket=True) as layer, closing(OwnerClient(store)) as client:
        commit_meta = FsTrack.commit_meta

        def waiting(*arguments: object) -> object:
            reached.set()
            assert go_on.wait(60)
            return commit_meta(*arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(FsTrack, "commit_meta", waiting)
        writer = threading.Thread(target=layer.put, args=("bucket", QUIET[3], Body(b"new"), Attributes()))
        writer.start()
        try:
            assert reached.wait(60)
            task = Task(Drive.open(drive), store, client, client.begin("half", 0), "half", client_only=True)
            with pytest.raises(IncompleteError):
                Verification(task).run()
            assert task.names == [f"bucket/{QUIET[3]}: stays dirty"]
        finally:
            go_on.set()
            writer.join()
        Verification(task_of(layer, drive, 2)).run()
