"""The whole life of a migration as a Hypothesis state machine, on top of the one that objects follow.

`tests/property/test_objects_follow_a_dict.py` has the dict, the writes and the modes; here come the verbs and
the accidents: sweeps that are paused and resumed, verifications, a cut-over with hold, purge and directories,
a restore, crashes that leave open files as a kill does, and a drive that is away for a while. After every
step each acknowledged version has to be there exactly, nothing else may be, and a verification that passes
has to be right.
"""

from __future__ import annotations

import importlib.util
import os
import random
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from dualtrack.engine import snapshot
from dualtrack.engine.cleanup.directories import remove_directories
from dualtrack.engine.cleanup.hold import hold
from dualtrack.engine.cleanup.purge import purge
from dualtrack.engine.departed import Accepted
from dualtrack.engine.drive import Drive
from dualtrack.engine.lock import DriveLock, known_fence
from dualtrack.engine.migrate import Sweep
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.levels import Level
from dualtrack.engine.objects.types import Settings
from dualtrack.engine.pace import Pace
from dualtrack.engine.restore import restore
from dualtrack.engine.rows import is_system
from dualtrack.engine.task import Task
from dualtrack.engine.verify import Verification
from dualtrack.errors import DifferenceError, DriveError, IncompleteError
from layers import MAP_SIZE, mode_of

_PATH = Path(__file__).parents[1] / "property" / "test_objects_follow_a_dict.py"


def _objects() -> Any:
    """The machine below, by path: with `--import-mode=importlib` test modules are in no package."""
    spec = importlib.util.spec_from_file_location("objects_follow_a_dict", _PATH)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["objects_follow_a_dict"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


model = _objects()


class Lifecycle(model.Objects):  # type: ignore[misc]
    """Attempts are counted by `epoch`; `taken` is whether cleanup has begun on this drive."""

    def __init__(self) -> None:
        self.taken = False
        super().__init__()

    # -- verbs ----------------------------------------------------------------------------------------------

    @contextmanager
    def task(self, **changes: Any) -> Iterator[Task]:
        """A Job beside the data plane, which owns the store."""
        owner = self.layer.opened.owner
        run_id = f"run-{uuid.uuid4()}"
        fence = owner.begin(run_id, 0)
        if fence <= known_fence(str(self.drive)):
            fence = owner.begin(run_id, known_fence(str(self.drive)) + 1)
        with DriveLock.acquire(str(self.drive), fence, run_id) as lock:
            store = str(self.drive / ".dualtrack" / "store")
            fields = {"epoch": self.epoch, "client_only": True, "lock": lock, **changes}
            yield Task(Drive.open(self.drive), store, owner, fence, run_id, **fields)

    @precondition(lambda self: self.mode in ("fs/0.5", "fs/1", "kv_primary/1/true"))
    @rule(steps=st.integers(0, 6))
    def sweep_a_while(self, steps: int) -> None:
        """A sweep that is paused after some checkpoints; the next one goes on where it was."""
        left = iter(range(steps))
        with self.task(stop=lambda: next(left, None) is None) as task, suppress(IncompleteError):
            Sweep(task, Pace(None, None, lambda: 0.0), Accepted(everything=True)).run()

    @precondition(lambda self: self.mode in ("fs/1", "kv_primary/1/true", "kv_primary/1/false", "kv_only"))
    @precondition(lambda self: not self.taken)
    @rule()
    def verify(self) -> None:
        """The gate: where it opens, the rows are exactly what was acknowledged, counted by nobody else."""
        self.layer.drain()
        try:
            with self.task() as task:
                Verification(task, final=self.mode == "kv_only").run()
        except (IncompleteError, DifferenceError):
            assert self.mode == "fs/1", "beside a server that writes every row nothing is left to find"
            return
        owner = self.layer.opened.owner
        rows = {row.key for row in owner.scan(None, 10_000) if row.present and not is_system(row.bucket)}
        assert rows == set(self.model)

    @precondition(lambda self: self.mode == "kv_only")
    @rule(limit=st.sampled_from([0, 0, 1, 3]), far=st.integers(1, 4))
    def clean_up(self, limit: int, far: int) -> None:
        """Hold, snapshot, purge, directories: as far as `far`, the hold in pieces of `limit`."""
        self.layer.drain()
        if not self.taken:
            with self.task() as task:
                Verification(task, final=True).run()
        copy = str(self.home / "snapshot")
        self.taken = True
        with self.task(limit=limit) as task:
            try:
                hold(task)
            except IncompleteError:
                return
        if far > 1:
            with self.task() as task:
                snapshot.snapshot(task, copy)
        if far > 2:
            with self.task() as task:
                purge(task, copy, same_device=True)
        if far > 3:
            with self.task() as task:
                remove_directories(task)

    @precondition(lambda self: self.mode == "returning")
    @rule()
    def give_back(self) -> None:
        """The way back: files are made of rows, and the file system answers again."""
        with self.task() as task:
            restore(task)
        assert not Drive.open(self.drive).held
        self.taken = False
        self.stack.close()
        self.mode = "kv_primary/1/true"
        self.layer = self._open()

    def _enter(self, following: str) -> None:
        """The real sweep before rows are asked; the machine below has the shortest form of one."""
        if following.startswith("kv_") and self.mode == "fs/1":
            self.layer.drain()
            with self.task() as task:
                Sweep(task, Pace(None, None, lambda: 0.0), Accepted(everything=True)).run()
        super()._enter(following)

    # -- accidents ------------------------------------------------------------------------------------------

    @rule()
    def crash(self) -> None:
        """What a kill leaves: every byte that was written, no file closed, nobody asked."""
        copy = self.home / f"drive-{uuid.uuid4()}"
        subprocess.run(["cp", "--archive", str(self.drive), str(copy)], check=True)
        self.stack.close()
        shutil.rmtree(self.drive)
        copy.rename(self.drive)
        self.layer = self._open()

    @rule()
    def drive_off_and_on(self) -> None:
        """A drive that is away is no empty drive: nothing starts on the empty mount point."""
        self.stack.close()
        away = self.drive.with_name("away")
        self.drive.rename(away)
        self.drive.mkdir()
        with pytest.raises(DriveError):
            Drive.open(self.drive)
        assert list(self.drive.iterdir()) == []
        self.drive.rmdir()
        away.rename(self.drive)
        self.layer = self._open()

    @precondition(lambda self: self.mode in ("fs/0", "fs/0.5", "fs/1"))
    @rule(hours=st.sampled_from([-48, 48]))
    def skew(self, hours: int) -> None:
        """A clock that was wrong when files were written: their times jump, and prove nothing."""
        self.layer.drain()
        self.stack.close()
        chosen = random.Random(hours)
        for path in sorted(self.drive.rglob("xl.meta")):
            if ".minio.sys" not in path.parts and chosen.random() < 0.5:
                status = path.stat()
                moved = status.st_mtime_ns + hours * 3_600_000_000_000
                os.utime(path, ns=(status.st_atime_ns, moved))
        # Somebody changed files without a mark, which only a new attempt may answer.
        self.epoch += 1
        if self.mode != "fs/0":
            self.level = Level.EVENTUAL
        self.layer = self._open()

    def _open(self) -> Any:
        """As the machine below does, but the marker is not written anew while files are away."""
        if self.taken:
            return self.stack.enter_context(self._opened_as_marked())
        return super()._open()

    @contextmanager
    def _opened_as_marked(self) -> Iterator[Any]:
        settings = Settings(map_size=MAP_SIZE, socket=False, drain=False, inventory=False, level=self.level)
        layer = ObjectLayer.open(str(self.drive), mode_of(self.mode, self.epoch), settings, self.figures)
        try:
            yield layer
        finally:
            layer.close()
