"""A hold that was cut off in the middle of a batch, and gone on with in other circumstances."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

from dualtrack.engine.cleanup import hold as module
from dualtrack.engine.cleanup import records
from dualtrack.engine.cleanup.hold import hold
from dualtrack.engine.cleanup.records import HeldFile
from dualtrack.engine.rows import Row, RowOrigin
from dualtrack.engine.stores.protocol import Batch, Put
from dualtrack.errors import DifferenceError, IncompleteError


class CutOff(BaseException):
    pass


def die(*_: object) -> NoReturn:
    raise CutOff


def cut_off(bench, monkeypatch: pytest.MonkeyPatch, where: object, name: str) -> list[HeldFile]:
    """What the hold had put down to move when it came to this call."""
    with monkeypatch.context() as patch:
        patch.setattr(where, name, die)
        with pytest.raises(CutOff):
            bench.run(hold)
    with bench.task() as task:
        return records.unpack_batch(task.owner.meta(records.PENDING) or b"[]")


def test_a_limit_smaller_than_the_batch_that_was_cut_off_passes_over_no_file(
    small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 8)
    pending = cut_off(small, monkeypatch, module, "_settle")
    assert len(pending) > 5
    while len(small.metas()) > 5:
        before = len(small.metas())
        with pytest.raises(IncompleteError, match="--limit"):
            small.run(hold, limit=5)
        assert len(small.metas()) < before or pending
        pending = []
    small.run(hold)
    assert small.metas() == []


def test_a_file_of_the_batch_that_a_data_plane_has_removed_since_does_not_stop_it(
    small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does so when it deletes the bucket of an object that it has deleted (`clear_leftovers`)."""
    gone, *_ = cut_off(small, monkeypatch, module, "_move")
    with small.task() as task:
        tombstone = Row.tombstone(*gone.place, task.owner.next_generation(), RowOrigin.KV)
        task.owner.commit(Batch(puts=(Put(tombstone, b"", "any", 0),)))
    os.unlink(small.drive / gone.source)
    small.run(hold)
    assert small.metas() == []
    with small.task() as task:
        assert gone.place not in {
            held.place for _, batch in records.held_batches(task.owner) for held in batch
        }


def test_a_file_of_the_batch_that_nobody_has_deleted_does(small, monkeypatch: pytest.MonkeyPatch) -> None:
    gone, *_ = cut_off(small, monkeypatch, module, "_move")
    os.unlink(small.drive / gone.source)
    with pytest.raises(DifferenceError, match="is not there"):
        small.run(hold)
