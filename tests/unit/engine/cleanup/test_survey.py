"""A server that wrote after the verification: seen, named and refused before the first file is held."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dualtrack.engine import marker
from dualtrack.engine.cleanup import preconditions
from dualtrack.engine.cleanup.hold import hold
from dualtrack.engine.drive import Drive
from dualtrack.engine.listing import DirectoryReader
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.restore import restore
from dualtrack.engine.rows import Row, RowOrigin
from dualtrack.engine.stores.protocol import Batch, Put
from dualtrack.errors import DifferenceError, IncompleteError, RefusedError


def untouched(bench) -> None:
    """Not only is nothing held: a stock server still takes the drive, and the marker has not moved."""
    assert bench.held() == 0
    assert not Drive.open(bench.drive).held
    assert marker.read(str(bench.drive)).state is MarkerState.FS_AUTHORITATIVE


def written_anew(bench) -> str:
    """An object that no row knows."""
    shutil.copytree(bench.drive / "anon" / "latin1", bench.drive / "anon" / "later.txt")
    return "anon/later.txt: its file has no row"


def written_at_depth(bench) -> str:
    """The same below a directory that no row names."""
    target = bench.drive / "anon" / "new" / "and" / "deep.txt"
    shutil.copytree(bench.drive / "anon" / "latin1", target)
    return "anon/new/and/deep.txt: its file has no row"


def overwritten(bench) -> str:
    """A server replaces the file by a rename; here with the bytes of another object."""
    target = bench.drive / "anon" / "latin1" / "xl.meta"
    other = next(bench.drive / name for name in bench.metas() if name.startswith("plain/"))
    shutil.copyfile(other / "xl.meta", target.with_name("new"))
    target.with_name("new").rename(target)
    return "anon/latin1: its file is newer than its row"


def deleted(bench) -> str:
    """Deleted by a server: its row would bring it back with the next restore."""
    shutil.rmtree(bench.drive / "anon" / "latin1")
    return "anon/latin1: its file is gone"


def deleted_in_the_store_alone(bench) -> str:
    with bench.task() as task:
        row = Row.tombstone("anon", "latin1", task.owner.next_generation(), RowOrigin.FS)
        task.owner.commit(Batch(puts=(Put(row, b"", "any", 0),)))
    return "anon/latin1: its file is newer than its row"


@pytest.mark.parametrize(
    "change", [written_anew, written_at_depth, overwritten, deleted, deleted_in_the_store_alone]
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_what_a_server_did_after_the_verification_refuses_the_first_hold(
    small, change: Callable[[object], str], dry_run: bool
) -> None:
    named = change(small)
    before = small.tree()
    with small.task(dry_run=dry_run) as task:
        with pytest.raises(DifferenceError, match=named):
            hold(task)
        assert task.counts["uncovered"] == 1
    untouched(small)
    assert small.tree() == before


def test_a_directory_that_cannot_be_read_refuses_the_first_hold(
    small, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = DirectoryReader.listing

    def failing(self, path, data_directories):
        if path and path[0] == b"versioned":
            raise OSError(5, "Input/output error")
        return listing(self, path, data_directories)

    monkeypatch.setattr(DirectoryReader, "listing", failing)
    with small.task() as task, pytest.raises(IncompleteError, match="versioned: EIO"):
        hold(task)
    untouched(small)


def test_mended_by_a_sweep_and_a_verification_the_hold_goes_on(small) -> None:
    written_anew(small)
    overwritten(small)
    rows = len(small.metas())
    with pytest.raises(DifferenceError, match="2 objects"):
        small.run(hold)
    small.migrate()
    assert small.run(hold).counts["held"] == rows
    assert small.metas() == []


def test_a_drive_that_servers_refuse_already_is_not_surveyed_again(small) -> None:
    small.run(hold)
    assert "surveyed" not in small.run(hold).counts
    small.run(restore)
    small.migrate()
    assert small.run(hold).counts["surveyed"] > 0


def test_an_open_file_on_the_drive_refuses_cleanup(small) -> None:
    path = small.drive / "anon" / "latin1" / "xl.meta"
    program = "import sys; file = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        with pytest.raises(RefusedError, match=rf"process {process.pid} has {path} open"):
            small.run(hold)
        untouched(small)
        process.stdin.close()
    small.run(hold)


def test_a_store_on_another_device_is_refused_even_with_the_server_stopped(
    small, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    small.store.rename(store)
    monkeypatch.setattr(
        "dualtrack.engine.cleanup.preconditions._device", lambda path: 1 if path == str(store) else 2
    )
    with pytest.raises(RefusedError, match="outside its drive"):
        replace(small, store=store).run(hold)
    untouched(small)


def test_a_database_that_nobody_calls_replicated_is_refused_without_its_password(small) -> None:
    url = "postgresql://dualtrack:secret@db.example/rows"
    with small.task() as task:
        task.store_dir = url
        with pytest.raises(RefusedError, match="outside its drive") as refused:
            preconditions.require(task, "hold")
    assert "secret" not in str(refused.value)
    untouched(small)
