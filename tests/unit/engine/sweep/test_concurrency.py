"""At most so many objects are read at a time as the pace file and the command line allow."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dualtrack.cli.main import main
from dualtrack.engine import batches
from dualtrack.engine.migrate import Sweep
from dualtrack.engine.native import library
from dualtrack.engine.pace import REREAD_SECONDS, Pace
from sweepbench import Bench

needs_library = pytest.mark.skipif(library.library() is None, reason="built without a C compiler")


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """With how many threads each call into the native reader works, on a machine of 16 processors."""
    seen: list[int] = []
    read = library.Reader.read

    def noting(self: library.Reader, *arguments: object) -> library.Part:
        seen.append(self._job.threads)
        return read(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(library.Reader, "read", noting)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)))
    return seen


def sweep(bench: Bench, pace: Pace, concurrency: int | None = None) -> int:
    """How many were read at a time, as the result says it."""
    with bench.owner() as owner:
        task = bench.task(owner)
        Sweep(task, pace, concurrency=concurrency).run()
        return int(str(task.notes["readers"]))


def pace_file(tmp_path: Path, **fields: object) -> str:
    path = tmp_path / "pace"
    path.write_text(json.dumps(fields))
    return str(path)


@needs_library
@pytest.mark.parametrize(
    ("of_file", "of_command", "readers"),
    [
        ({"concurrency": 3}, None, 3),
        ({"concurrency": 3}, 2, 2),
        ({"concurrency": 1}, 4, 1),
        ({"concurrency": 256}, None, 4),
        ({}, None, 1),
        ({}, 3, 3),
        (None, None, 4),
        (None, 1, 1),
    ],
)
def test_the_lower_limit_is_kept_to(
    bench: Bench,
    tmp_path: Path,
    threads: list[int],
    of_file: dict[str, object] | None,
    of_command: int | None,
    readers: int,
) -> None:
    pace = Pace(None if of_file is None else pace_file(tmp_path, **of_file), None)
    assert sweep(bench, pace, of_command) == readers
    assert set(threads) == {readers}


@needs_library
def test_a_running_sweep_follows_an_edit_from_its_next_batch(
    bench: Bench, tmp_path: Path, threads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_ROWS", 20)
    clock = iter(range(0, 1_000_000, int(REREAD_SECONDS)))
    pace = Pace(pace_file(tmp_path, concurrency=3), None, wall=lambda: 0.0, clock=lambda: float(next(clock)))
    pace_file(tmp_path, concurrency=2)
    assert sweep(bench, pace) == 2
    assert threads[0] == 3
    assert sorted(set(threads)) == [2, 3]
    assert threads == sorted(threads, reverse=True)


def test_without_the_native_reader_one_reads(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "library", lambda: None)
    assert sweep(bench, Pace(None, None), 4) == 1


@needs_library
def test_the_command_line_takes_the_limit(bench: Bench, tmp_path: Path, threads: list[int]) -> None:
    result = tmp_path / "result"
    words = ("--drive", bench.drive, "--store", bench.store, "--concurrency", 2, "--result-file", result)
    assert main(["engine", "migrate", *map(str, words)]) == 0
    assert set(threads) == {2}
    assert json.loads(result.read_text())["readers"] == 2


@pytest.mark.parametrize("wrong", ["0", "257", "two"])
def test_what_is_no_limit_is_refused(bench: Bench, wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["engine", "migrate", "--drive", str(bench.drive), "--concurrency", wrong]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "--concurrency" in capsys.readouterr().err
