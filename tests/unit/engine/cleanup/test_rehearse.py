"""A rehearsal that would not end well says so, by name, and leaves the drive as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dualtrack.engine import put_back
from dualtrack.engine.rehearse import rehearse
from dualtrack.engine.rows import Row, is_system
from dualtrack.engine.stores.protocol import Batch, Put
from dualtrack.errors import DifferenceError


@pytest.fixture
def bench(copies: Callable[[Path], Any], migrated_tiny: Path) -> Any:
    return copies(migrated_tiny)


def first(bench: Any) -> Row:
    with bench.task() as task:
        return next(row for row in task.owner.scan(None, 100) if not is_system(row.bucket))


def another_file(bench: Any, row: Row, _: pytest.MonkeyPatch) -> str:
    """The file has changed, and nothing has said so."""
    path = bench.drive / row.path
    path.write_bytes(path.read_bytes() + b"later")
    return "its file on the drive differs from its row"


def not_decodable(bench: Any, row: Row, _: pytest.MonkeyPatch) -> str:
    """A row that is sound by its seal, and whose bytes no server reads."""
    with bench.task() as task:
        spoilt = replace(row, data=b"XL2 spoilt", generation=task.owner.next_generation())
        task.owner.commit(Batch(puts=(Put(spoilt, b"summary", "any"),)))
    return "the restored file cannot be decoded"


def torn_by_the_device(bench: Any, row: Row, monkeypatch: pytest.MonkeyPatch) -> str:
    """What is read back is not what was written."""
    place = put_back.Writer.place

    def placing(writer: put_back.Writer, staged: list[Any], below: str = "") -> None:
        place(writer, staged, below)
        path = bench.drive / f"{below}{row.path}"
        path.write_bytes(path.read_bytes()[:-1])

    monkeypatch.setattr(put_back.Writer, "place", placing)
    return "the restored file is not what its row says"


@pytest.mark.parametrize("spoil", [another_file, not_decodable, torn_by_the_device])
def test_a_row_that_would_not_come_back_is_named(
    bench: Any, monkeypatch: pytest.MonkeyPatch, spoil: Callable[..., str]
) -> None:
    row = first(bench)
    why = spoil(bench, row, monkeypatch)
    before = bench.tree()
    with pytest.raises(DifferenceError, match=f"1 rows .*{row.bucket}/{row.key}: {why}"):
        bench.run(rehearse)
    assert bench.tree() == before
    assert not (bench.drive / ".dualtrack" / "rehearsal").exists()
