"""The quick way of a verification: the merge's answer, or none."""

from __future__ import annotations

from typing import Any

import pytest

from dualtrack.engine import verify
from dualtrack.engine.native import library
from dualtrack.engine.rows import Row
from dualtrack.engine.stores.protocol import Batch, Put
from dualtrack.engine.task import Task
from dualtrack.errors import DifferenceError
from sweepbench import Bench

pytestmark = pytest.mark.skipif(library.library() is None, reason="built without a C compiler")


def found(task: Task) -> tuple[dict[str, int], object, int]:
    return dict(+task.counts), task.notes["digest"], task.scanned


def unreachable(*_: Any) -> Any:
    raise AssertionError("the merge was asked")


def test_it_counts_and_sums_as_the_merge_does(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    task = bench.migrate()
    with monkeypatch.context() as patch:
        patch.setattr(library, "library", lambda: None)
        merged = found(bench.verify())
    monkeypatch.setattr(verify, "pairs", unreachable)
    assert found(bench.verify()) == merged
    assert merged[0]["equal"] == task.counts["applied"]


def test_a_row_too_many_and_one_too_few_are_both_found(bench: Bench, some: tuple[str, str]) -> None:
    """As many rows as files, but not the same ones."""
    bench.migrate()
    with bench.owner() as owner:
        kept = owner.get_many([some])[0]
        assert kept is not None
        entry = dict(owner.scan_index(*some, None, 1))[some[1]]
        tombstone = Row.tombstone(*some, owner.next_generation())
        owner.commit(Batch(puts=(Put(tombstone, versions=0),)))
        stray = Row(some[0], some[1] + "-stray", owner.next_generation(), *astuple(kept)[3:])
        owner.commit(Batch(puts=(Put(stray, entry),)))
    with pytest.raises(DifferenceError) as caught:
        bench.verify()
    assert "2 objects differ" in str(caught.value)


def astuple(row: Row) -> tuple[Any, ...]:
    return tuple(getattr(row, name) for name in row.__slots__)


def test_an_old_row_is_not_trusted_though_its_bytes_are_right(bench: Bench) -> None:
    bench.migrate()
    with bench.owner() as owner:
        owner.commit(Batch(meta={"trust_floor": owner.next_generation().pack()}))
    with pytest.raises(DifferenceError, match="untrusted"):
        bench.verify()
