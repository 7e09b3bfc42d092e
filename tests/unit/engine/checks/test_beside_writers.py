"""Verification beside writers that never rest: nothing planted, nothing reported; planted, found."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dualtrack.engine.drive import Drive
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.types import Attributes
from dualtrack.engine.owner import Owner
from dualtrack.engine.sampled import SampledVerification
from dualtrack.engine.sampling import MILLION, Sample
from dualtrack.engine.task import Task
from dualtrack.engine.verify import Verification
from dualtrack.errors import DifferenceError
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


@pytest.mark.parametrize("mode", ["fs/1", "kv_primary/1/true"])
def test_no_writer_is_taken_for_a_defect_and_no_defect_for_a_writer(tmp_path: Path, mode: str) -> None:
    drive = new_drive(tmp_path / "drive")
    with opened(drive, "fs/1", drain=True) as layer:
        layer.create_bucket("bucket")
        for key in (*QUIET, *BUSY):
            layer.put("bucket", key, Body(key.encode()), Attributes())
        sweep(layer)
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
