"""A migrated and verified drive for the verbs that take files away and give them back.

The sweep and the verification are the real ones; each test gets a copy of the drive with its store in it.
"""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import old_forms
from dualtrack.engine.drive import Drive
from dualtrack.engine.lock import DriveLock, known_fence
from dualtrack.engine.migrate import Sweep
from dualtrack.engine.owner import Owner, OwnerSettings
from dualtrack.engine.pace import Pace
from dualtrack.engine.task import Task
from dualtrack.engine.verify import Verification
from layers import new_drive

Tree = dict[str, tuple[object, ...]]


@dataclass(frozen=True, slots=True)
class Bench:
    """A drive with its store. Everything that is measured leaves `.dualtrack` out."""

    drive: Path
    store: Path

    @contextmanager
    def task(self, **changes: Any) -> Iterator[Task]:
        """A task that owns the store, with the drive's lock, as the command line makes one."""
        drive = Drive.open(self.drive)
        owner = Owner.open(drive.path, str(self.store), OwnerSettings(drive_id=drive.drive_id))
        try:
            run_id = f"test-{uuid.uuid4()}"
            fence = owner.begin(run_id, 0)
            if fence <= known_fence(drive.path):
                fence = owner.begin(run_id, known_fence(drive.path) + 1)
            with DriveLock.acquire(drive.path, fence, run_id) as lock:
                fields: dict[str, Any] = {"server_stopped": True, "lock": lock, **changes}
                yield Task(drive, str(self.store), owner, fence, run_id, **fields)
        finally:
            owner.close()

    def run(self, verb: Callable[[Task], object], **changes: Any) -> Task:
        with self.task(**changes) as task:
            verb(task)
        return task

    def migrate(self) -> None:
        self.run(lambda task: Sweep(task, Pace(None, None, lambda: 0.0)).run())
        self.run(lambda task: Verification(task).run())

    def metas(self) -> list[str]:
        """The directory of every `xl.meta` and `xl.json` below a bucket."""
        found = []
        for parent, _, names in os.walk(self.drive):
            relative = os.path.relpath(parent, self.drive)
            if not relative.startswith(".") and {"xl.meta", "xl.json"} & {*names}:
                found.append(relative)
        return sorted(found)

    def tree(self) -> Tree:
        """Path → mode, owner, time and, of a file, its hash."""
        found: Tree = {}
        for parent, directories, names in os.walk(os.fsencode(self.drive)):
            if parent == os.fsencode(self.drive):
                directories[:] = [name for name in directories if name != b".dualtrack"]
            for name in directories + names:
                path = os.path.join(parent, name)
                status = os.lstat(path)
                fields: tuple[object, ...] = (
                    stat.S_IMODE(status.st_mode),
                    status.st_uid,
                    status.st_gid,
                    status.st_mtime_ns,
                )
                if stat.S_ISREG(status.st_mode):
                    fields += (hashlib.sha256(Path(os.fsdecode(path)).read_bytes()).hexdigest(),)
                found[os.fsdecode(os.path.relpath(path, os.fsencode(self.drive)))] = fields
        return found

    def files(self) -> Tree:
        return {path: fields for path, fields in self.tree().items() if len(fields) == 5}

    def directories(self) -> Tree:
        return {path: fields for path, fields in self.tree().items() if len(fields) == 4}

    def held(self) -> int:
        return sum(len(names) for _, _, names in os.walk(self.drive / ".dualtrack" / "hold"))


def _copied(source: Path, target: Path) -> Path:
    subprocess.run(["cp", "--archive", str(source), str(target)], check=True)
    return target


Once = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def migrated(minio_drive: Path, made_once: Once) -> Path:
    """All of `minio-single`, migrated and verified. Copy it."""

    def fill(folder: Path) -> None:
        drive = _copied(minio_drive, folder / "d1")
        Bench(drive, drive / ".dualtrack" / "store").migrate()

    return made_once("migrated", fill) / "d1"


def _migrated_part(minio_drive: Path, buckets: Sequence[str], folder: Path) -> None:
    drive = folder / "d1"
    drive.mkdir()
    for name in (".minio.sys", *buckets):
        _copied(minio_drive / name, drive / name)
    Bench(drive, drive / ".dualtrack" / "store").migrate()


SMALL = ("anon", "versioned", "odd-xldir", "plain", "empty-bucket", "xyz")
TINY = ("anon", "odd-xldir", "xyz")


@pytest.fixture(scope="session")
def migrated_small(minio_drive: Path, made_once: Once) -> Path:
    """A few buckets of `minio-single`, migrated and verified. Copy it."""
    return made_once("migrated-small", partial(_migrated_part, minio_drive, SMALL)) / "d1"


@pytest.fixture(scope="session")
def migrated_tiny(minio_drive: Path, made_once: Once) -> Path:
    """Nine objects, migrated and verified: small enough to be killed at many places. Copy it."""
    return made_once("migrated-tiny", partial(_migrated_part, minio_drive, TINY)) / "d1"


@pytest.fixture
def whole(migrated: Path, tmp_path: Path) -> Bench:
    drive = _copied(migrated, tmp_path / "d1")
    return Bench(drive, drive / ".dualtrack" / "store")


@pytest.fixture
def small(migrated_small: Path, tmp_path: Path) -> Bench:
    drive = _copied(migrated_small, tmp_path / "d1")
    return Bench(drive, drive / ".dualtrack" / "store")


@pytest.fixture
def old(tmp_path: Path) -> Bench:
    """A drive with an object of every old form, migrated and verified. Keys of JSON under the old file name
    begin with `xl.json`, their parts lie beside it.
    """
    drive = new_drive(tmp_path / "d1")
    for fixture in old_forms.fixtures():
        _object(drive, fixture.name, "xl.meta", fixture.data)
        if fixture.form == "json":
            directory = _object(drive, f"xl.json/{fixture.name}", "xl.json", fixture.data)
            for number in (1, 2):
                (directory / f"part.{number}").write_bytes(b"a shard")
    bench = Bench(drive, drive / ".dualtrack" / "store")
    bench.migrate()
    return bench


def _object(drive: Path, key: str, name: str, data: bytes) -> Path:
    directory = drive / "old" / key
    directory.mkdir(parents=True)
    (directory / name).write_bytes(data)
    (directory / name).chmod(0o640)
    return directory


@pytest.fixture
def copies(tmp_path: Path) -> Callable[[Path], Bench]:
    """Gives a fresh copy of a drive, each time another."""

    def copy(source: Path) -> Bench:
        drive = _copied(source, tmp_path / uuid.uuid4().hex)
        return Bench(drive, drive / ".dualtrack" / "store")

    return copy
