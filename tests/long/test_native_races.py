"""The C library under ThreadSanitizer: its threads, and several of Python's in it at once, share nothing that
they should not.

A bucket is read by as many threads as the library may start, time and again, by two readers side by side.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dualtrack.engine.objects.types import Attributes
from layers import Body, new_drive, opened
from sanitizing import RACES, Build, build

LIBRARY = """
import ctypes, os, sys, threading
from pathlib import Path
from dualtrack.engine.native import library as native
native.LIBRARY = Path(sys.argv[1])
library = native.library()
assert library is not None
folder = os.open(sys.argv[2], os.O_RDONLY)

def together(*works):
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
"""
SHARED = (
    LIBRARY
    + """
names = ctypes.create_string_buffer(1 << 16)

def work():
    for _ in range(200):
        one = os.open(sys.argv[2], os.O_RDONLY)
        flags, used = ctypes.c_uint32(), ctypes.c_uint64()
        library.dt_list(one, names, len(names), ctypes.byref(flags), ctypes.byref(used))
        os.close(one)

together(work, work)
"""
)
READERS = (
    LIBRARY
    + """
from dualtrack.engine.rows import Generation

def work():
    reader = native.Reader(library, b"drive", trust_links=True, threads=int(sys.argv[3]))
    one = os.open(sys.argv[2], os.O_RDONLY)
    for _ in range(20):
        names = reader.names(one)
        start = total = 0
        while start < len(names.packed):
            part = reader.read(one, names, start, 1000, b"bucket\\0", Generation(1, 1))
            start, total = part.next, total + part.count
        assert total == names.count == 600, (total, names.count)

together(work, work)
"""
)


@pytest.fixture
def sanitized(tmp_path: Path) -> Build:
    if not shutil.which("cc"):
        pytest.skip("needs a C compiler")
    return build(RACES, tmp_path)


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    """600 objects."""
    drive = new_drive(tmp_path / "drive")
    with opened(drive, "fs/0") as layer:
        layer.create_bucket("bucket")
        layer.put("bucket", "k", Body(b"content"), Attributes())
    meta = (drive / "bucket" / "k" / "xl.meta").read_bytes()
    bucket = tmp_path / "bucket"
    for number in range(600):
        (bucket / f"k{number:04d}").mkdir(parents=True)
        (bucket / f"k{number:04d}" / "xl.meta").write_bytes(meta)
    return bucket


def test_the_sanitizer_finds_a_race(sanitized: Build, bucket: Path) -> None:
    done = sanitized.python("-c", SHARED, str(sanitized.library), str(bucket))
    assert done.returncode == 66, done.stderr[-2000:]
    assert "ThreadSanitizer: data race" in done.stderr
    assert "dt_list" in done.stderr


@pytest.mark.parametrize("threads", [1, 4, 16])
def test_threads_that_read_a_directory_together_do_not_race(
    sanitized: Build, bucket: Path, threads: int
) -> None:
    done = sanitized.python("-c", READERS, str(sanitized.library), str(bucket), str(threads))
    assert done.returncode == 0, done.stderr[-4000:]
