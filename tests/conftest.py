"""Fixtures that all tests share: drives that real servers have filled, and what their S3 API said of them."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from postgres import Postgres, postgres

DATA = Path(__file__).parent / "data"

Oracle = dict[str, Any]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What `-n auto` means: one worker more than cores, for at any time one waits for a server or a disk."""
    return len(os.sched_getaffinity(0)) + 1


def unpack(case: str, target: Path) -> None:
    """Unpack a case's drives with the modes and times that the server left; the folder holds d1, d2, …"""
    # tar, not tarfile: five times as fast on these 20,000 small files.
    command = ["tar", "--extract", "--preserve-permissions", "--no-same-owner", "--directory", str(target)]
    with (DATA / f"{case}.tar.zst").open("rb") as packed:
        tar = subprocess.Popen(command, stdin=subprocess.PIPE)
        assert tar.stdin is not None
        with tar.stdin:
            zstandard.ZstdDecompressor().copy_stream(packed, tar.stdin)
        assert tar.wait() == 0


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Gives a folder of this name, filled once a run by whichever worker of pytest-xdist asks first. All of
    them read it, nobody writes: copy it.
    """
    own = tmp_path_factory.getbasetemp()
    common = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def folder(name: str, fill: Callable[[Path], None]) -> Path:
        made = common / f"once-{name}"
        with (common / f"once-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                # Nobody takes what a worker that was ended has left for all of it.
                filling = made.with_name(f"{made.name}.filling")
                filling.mkdir()
                fill(filling)
                filling.rename(made)
        return made

    return folder


@pytest.fixture(scope="session")
def pristine(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Iterator[Callable[[str], Path]]:
    """Gives a case's folder, unpacked once a run. Read it; whoever writes takes `drives`."""
    used: dict[str, Path] = {}

    def case_folder(case: str) -> Path:
        if case not in used:
            used[case] = made_once(case, lambda folder: unpack(case, folder))
        return used[case]

    yield case_folder
    left = [path for folder in used.values() for path in folder.glob("*/.dualtrack")]
    assert not left, f"a test has written to a drive that others read; it wants a copy: {left}"


@pytest.fixture
def drives(pristine: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """Gives a copy of a case's folder for this test alone."""

    def case_copy(case: str) -> Path:
        # cp, not shutil.copytree: that one recurses, and keys may be 500 directories deep.
        subprocess.run(["cp", "--archive", str(pristine(case)), str(tmp_path / case)], check=True)
        return tmp_path / case

    return case_copy


@pytest.fixture(scope="session")
def oracle() -> Callable[[str], Oracle]:
    """Gives what the server's S3 API said of a case."""
    read: dict[str, Oracle] = {}

    def case_oracle(case: str) -> Oracle:
        if case not in read:
            packed = (DATA / f"{case}.oracle.json.zst").read_bytes()
            read[case] = json.loads(zstandard.ZstdDecompressor().stream_reader(packed).read())
        return read[case]

    return case_oracle


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Postgres]:
    """One PostgreSQL for the whole session; each test takes a schema of its own."""
    with tempfile.TemporaryDirectory(prefix="dtpg") as directory:
        Path(directory).chmod(0o755)
        with postgres(Path(directory) / "pg") as server:
            yield server


@pytest.fixture(scope="session")
def minio_drive(pristine: Callable[[str], Path]) -> Path:
    """The one drive of `minio-single`, to be read only."""
    return pristine("minio-single") / "d1"


@pytest.fixture(scope="session")
def rustfs_drive(pristine: Callable[[str], Path]) -> Path:
    """The first drive of `rustfs-4d`, to be read only."""
    return pristine("rustfs-4d") / "d1"
