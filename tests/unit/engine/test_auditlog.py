"""The audit's file: only ever longer, each line tied to the one before, and nothing begun without a line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dualtrack.cli.main import main
from dualtrack.engine import audit, auditlog, files
from dualtrack.engine.audit import Begun, Record
from dualtrack.engine.history import State, history, interrupted
from dualtrack.errors import DriveError, IncompleteError, RefusedError

NOW = datetime(2026, 11, 26, 7, tzinfo=UTC)
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts file systems: needs root")


def step(drive: Path, verb: str = "cleanup hold", **more: object):
    begun = Begun(verb, "run-1", 3, "dualtrack engine restore", more, 2, (1, 9), "uid")
    return audit.step(str(drive), begun, Record(), now=lambda: NOW)


def log_of(drive: Path) -> Path:
    return drive / ".dualtrack" / "audit.jsonl"


def filled(drive: Path) -> list[bytes]:
    """Three steps, one of which failed."""
    with step(drive, limit=5) as record:
        record.counts = {"held": 5}
    with pytest.raises(IncompleteError), step(drive):
        raise IncompleteError("interrupted")
    with step(drive, "restore"):
        pass
    return log_of(drive).read_bytes().splitlines()


def test_a_step_has_a_line_before_it_and_one_after_it(tmp_path: Path) -> None:
    with step(tmp_path, limit=5) as record:
        (line,) = map(json.loads, log_of(tmp_path).read_bytes().splitlines())
        assert line["event"] == "begun"
        assert (line["verb"], line["run"], line["fence"], line["epoch"]) == ("cleanup hold", "run-1", 3, 2)
        assert (line["generation"], line["arguments"]) == ([1, 9], {"limit": 5})
        assert (line["who"]["uid"], line["who"]["pid"]) == (os.getuid(), os.getpid())
        assert line["time"] == "2026-11-26T07:00:00Z"
        record.counts = {"held": 5}
    _, ended = map(json.loads, log_of(tmp_path).read_bytes().splitlines())
    assert (ended["event"], ended["began"], ended["result"]) == ("ended", 1, "done")
    assert ended["counts"] == {"held": 5}


def test_a_failure_is_told_with_its_exit_code(tmp_path: Path) -> None:
    filled(tmp_path)
    states = [(each.state, each.ended["exitCode"]) for each in history(str(tmp_path)).steps]
    assert states == [(State.DONE, 0), (State.FAILED, 50), (State.DONE, 0)]
    assert history(str(tmp_path)).steps[1].ended["error"] == "IncompleteError: interrupted"


def test_a_step_at_work_is_told_from_one_that_was_cut_off(tmp_path: Path) -> None:
    with step(tmp_path):
        assert [each.state for each in history(str(tmp_path)).steps] == [State.RUNNING]
        with step(tmp_path, "move marker"):
            assert {each.state for each in history(str(tmp_path)).steps} == {State.RUNNING}
    killed = """
import os, signal, sys
from test_auditlog import step
from pathlib import Path
with step(Path(sys.argv[1]), "cleanup purge"):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run([sys.executable, "-c", killed, str(tmp_path)], env=here, check=False)
    assert done.returncode == -9
    assert [each.state for each in history(str(tmp_path)).steps][2:] == [State.INTERRUPTED]
    assert [each.begun["verb"] for each in interrupted(str(tmp_path))] == ["cleanup purge"]
    with step(tmp_path):
        pass
    assert interrupted(str(tmp_path)) == [], "the next step has put it down"
    assert history(str(tmp_path)).steps[2].state is State.INTERRUPTED
    assert history(str(tmp_path)).faults == ()


@pytest.mark.parametrize("change", ["flip", "remove", "swap", "double"])
def test_a_changed_line_is_found_wherever_it_is(tmp_path: Path, change: str) -> None:
    lines = filled(tmp_path)
    assert len(lines) == 6
    for number in range(len(lines) - 1):
        forged = list(lines)
        if change == "flip":
            forged[number] = lines[number].replace(b"2026", b"2025")
        elif change == "remove":
            del forged[number]
        elif change == "swap":
            forged[number : number + 2] = lines[number + 1], lines[number]
        else:
            forged.insert(number, lines[number])
        log_of(tmp_path).write_bytes(b"\n".join(forged) + b"\n")
        assert history(str(tmp_path)).faults, (change, number)
        assert main(["engine", "history", "--drive", str(tmp_path)]) == 10


def test_an_end_that_was_cut_off_is_found_by_an_anchor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = filled(tmp_path)
    anchor = history(str(tmp_path)).anchors[-1]
    expecting = ["engine", "history", "--drive", str(tmp_path), "--expect", anchor]
    assert main(expecting) == 0
    log_of(tmp_path).write_bytes(b"\n".join(lines[:-2]) + b"\n")
    assert main(expecting[:-2]) == 0, "the chain alone cannot show it"
    assert main(expecting) == 10
    assert anchor in capsys.readouterr().err


def test_a_torn_line_stays_and_the_next_one_follows_it(tmp_path: Path) -> None:
    lines = filled(tmp_path)
    for kept in (1, len(lines[-1]) // 2, len(lines[-1])):
        log_of(tmp_path).write_bytes(b"\n".join([*lines[:-1], lines[-1][:kept]]))
        with step(tmp_path, "after"):
            pass
        found = history(str(tmp_path))
        assert found.faults == (), kept
        assert found.steps[-1].begun["verb"] == "after"
        torn = [each.number for each in found.steps if each.state is State.UNREADABLE]
        assert torn == ([] if kept == len(lines[-1]) else [6])


def test_a_damaged_past_does_not_keep_a_step_from_being_put_down(tmp_path: Path) -> None:
    lines = filled(tmp_path)
    log_of(tmp_path).write_bytes(b"\n".join([b"\xff" * 40, *lines[1:]]) + b"\n")
    with step(tmp_path, "restore"):
        pass
    assert history(str(tmp_path)).faults == (
        "line 1 cannot be read",
        "line 2 does not follow the line before it: one of them was changed",
    )
    assert history(str(tmp_path)).steps[-1].state is State.DONE


@contextmanager
def mounted(place: Path, options: str) -> Iterator[None]:
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "audit-test", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def steps_until_it_is_full(drive: Path) -> None:
    for _ in range(1_000):  # what was reserved is used up first
        with step(drive):
            pass


@needs_root
def test_a_full_disk_refuses_a_step_before_it_and_not_after_it(tmp_path: Path) -> None:
    drive = tmp_path / "full"
    with mounted(drive, "size=1m"):
        with step(drive):
            with pytest.raises(OSError, match="No space"):
                (drive / "filler").write_bytes(bytes(2 << 20))
            assert os.statvfs(drive).f_bavail == 0
        assert history(str(drive)).steps[0].state is State.DONE, "its room was reserved"
        with pytest.raises(RefusedError, match="No space"):
            steps_until_it_is_full(drive)
        assert {each.state for each in history(str(drive)).steps} == {State.DONE}
        assert history(str(drive)).faults == ()


@needs_root
def test_a_read_only_drive_refuses_a_step(tmp_path: Path) -> None:
    drive = tmp_path / "ro"
    with mounted(drive, "size=1m"):
        filled(drive)
        subprocess.run(["mount", "-o", "remount,ro", str(drive)], check=True)
        with pytest.raises(RefusedError, match="Read-only"), step(drive):
            pytest.fail("it was begun")
        assert len(history(str(drive)).steps) == 3


def test_a_step_whose_end_cannot_be_written_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int, data: bytes) -> None:
        raise OSError(5, "Input/output error")

    with pytest.raises(DriveError, match="was done, but its end"), step(tmp_path):
        monkeypatch.setattr(files, "append", fail)
    assert history(str(tmp_path)).steps[0].state is State.INTERRUPTED


def test_many_at_once_write_one_chain(tmp_path: Path) -> None:
    script = """
import sys
from test_auditlog import step
from pathlib import Path
for _ in range(20):
    with step(Path(sys.argv[1])):
        pass
"""
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    running = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], env=here) for _ in range(3)]
    assert [each.wait() for each in running] == [0, 0, 0]
    found = history(str(tmp_path))
    assert found.faults == ()
    assert [each.state for each in found.steps] == [State.DONE] * 60


def test_a_line_is_bounded_whatever_it_is_about(tmp_path: Path) -> None:
    many = [f"bucket/{'k' * 1_000}-{number}" for number in range(5_000)]
    with step(tmp_path, objects=many, name="n" * 10_000) as record:
        record.counts = {str(number): number for number in range(1_000)}
    assert all(len(line) <= auditlog.MAX_LINE for line in log_of(tmp_path).read_bytes().splitlines())
    assert history(str(tmp_path)).steps[0].begun["arguments"]["objects"][-1] == "and 4990 more"
