"""The native reader gives what Python gives, byte for byte, or asks."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import xxhash

from dualtrack.engine.drive import Drive
from dualtrack.engine.native import library
from dualtrack.engine.rows import Generation, is_system
from dualtrack.engine.sealing import Sealer
from dualtrack.engine.walk import Range, walk
from sealedrows import SealedRow, sealed_by_python

GENERATION = Generation(3, 1 << 40)
CASES = ("minio-single", "rustfs-4d")

pytestmark = pytest.mark.skipif(library.library() is None, reason="built without a C compiler")


def sealer_of(drive: Drive, *, trust_links: bool | None = None, threads: int = 3) -> Sealer:
    sealer = Sealer.of(drive.path, drive.drive_id, trust_links=trust_links, threads=threads)
    assert sealer is not None
    sealer.generation = GENERATION
    return sealer


def natively(drive: Drive, *, trust_links: bool | None = None) -> list[Range]:
    return list(
        walk(drive, system=True, trust_links=trust_links, sealer=sealer_of(drive, trust_links=trust_links))
    )


def sealed(ranges: list[Range]) -> Iterator[tuple[bytes, SealedRow]]:
    for each in ranges:
        rows = each.sealed
        yield from zip(rows.fulls, zip(rows.values, rows.entries, rows.versions, strict=True), strict=True)


def assert_the_same(drive: Drive, *, trust_links: bool | None = None) -> tuple[int, int]:
    """How many rows the native reader sealed, and how many objects it left to Python."""
    ours = natively(drive, trust_links=trust_links)
    theirs = list(walk(drive, system=True, trust_links=trust_links))
    by_python = {
        os.fsencode(f"{found.bucket}\0{found.key}"): found for each in theirs for found in each.objects
    }
    left = {os.fsencode(f"{found.bucket}\0{found.key}"): found for each in ours for found in each.objects}
    natives = dict(sealed(ours))
    assert len(natives) == sum(len(each.sealed) for each in ours)
    assert natives.keys() | left.keys() == by_python.keys()
    assert not natives.keys() & left.keys()
    for full, row in natives.items():
        assert row == sealed_by_python(drive.drive_id.encode(), by_python[full], GENERATION)
    assert all(left[full] == by_python[full] for full in left)
    problems = [{problem for each in side for problem in each.problems} for side in (ours, theirs)]
    assert problems[0] == problems[1]
    assert [each.complete for each in ours].count(False) == [each.complete for each in theirs].count(False)
    return len(natives), len([found for found in left.values() if not is_system(found.bucket)])


@pytest.mark.parametrize("case", CASES)
def test_every_real_drive_gives_the_same_rows(pristine: Callable[[str], Path], case: str) -> None:
    for path in sorted(pristine(case).glob("d*"))[:1]:
        natives, left = assert_the_same(Drive.open(path))
        assert natives > 4 * left, "the reader has to understand what servers usually write"


@pytest.mark.parametrize("trust_links", [True, False])
def test_link_counts_decide_alike_what_is_looked_into(minio_drive: Path, trust_links: bool) -> None:
    assert_the_same(Drive.open(minio_drive), trust_links=trust_links)


def test_odd_files_and_directories_are_left_to_python(drives: Callable[[str], Path]) -> None:
    root = drives("minio-single") / "d1"
    chosen = [
        path for path in sorted(root.glob("*/*/xl.meta")) if not path.is_relative_to(root / ".minio.sys")
    ]
    link, legacy, directory, empty, beside, fifo, gone = chosen[::13][:7]
    link.rename(link.with_name("elsewhere"))
    link.symlink_to("elsewhere")
    legacy.rename(legacy.with_name("xl.json"))
    directory.unlink()
    directory.mkdir()
    empty.write_bytes(b"")
    (beside.parent.parent / "a-link").symlink_to(beside.parent.name)
    fifo.unlink()
    os.mkfifo(fifo)
    shutil.rmtree(gone.parent)
    assert_the_same(Drive.open(root))


def test_an_object_below_an_object_with_a_data_directory_is_found(drives: Callable[[str], Path]) -> None:
    root = drives("minio-single") / "d1"
    parent = next(
        path for path in sorted(root.glob("*/*/*/part.1")) if (path.parents[1] / "xl.meta").exists()
    )
    below = parent.parents[1] / "below"
    below.mkdir()
    shutil.copy(parent.parents[1] / "xl.meta", below)
    drive = Drive.open(root)
    assert_the_same(drive)
    bucket, key = str(below.relative_to(root)).split("/", 1)
    assert (bucket, key) in {(found.bucket, found.key) for each in natively(drive) for found in each.objects}


def test_a_range_that_does_not_fit_into_memory_at_once_comes_in_parts(
    minio_drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "_ARENA_ROOM", 20_000)
    natives, left = assert_the_same(Drive.open(minio_drive))
    assert natives > left


@pytest.fixture
def crowded(drives: Callable[[str], Path]) -> Drive:
    """A drive with a directory of 500 entries: objects of many sizes, damaged ones, and none."""
    root = drives("minio-single") / "d1"
    bucket = root / "crowded"
    shapes = sorted(
        (path.read_bytes() for path in root.glob("[!.]*/*/xl.meta") if path.is_file()),
        key=len,
    )
    for number in range(500):
        directory = bucket / f"{number:03}"
        directory.mkdir(parents=True)
        if number % 7:
            data = shapes[number * 31 % len(shapes)]
            (directory / "xl.meta").write_bytes(data if number % 11 else data[:-1])
    return Drive.open(root)


@pytest.mark.parametrize("room", [library._ARENA_ROOM, 600_000, 20_000])
def test_threads_give_what_one_gives_in_the_same_order(
    crowded: Drive, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    monkeypatch.setattr(library, "_ARENA_ROOM", room)
    seen = []
    for threads in (1, 2, 5, 99):
        ranges = list(walk(crowded, buckets=["crowded"], sealer=sealer_of(crowded, threads=threads)))
        objects = {found.path for each in ranges for found in each.objects}
        problems = {problem for each in ranges for problem in each.problems}
        seen.append((list(sealed(ranges)), objects, problems))
    assert len(seen[0][0]) > 300
    assert all(each == seen[0] for each in seen)


def test_a_signal_is_not_lost_while_threads_read(crowded: Drive) -> None:
    caught: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: caught.append(number))
    sender = threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGTERM))
    try:
        sender.start()
        for _ in range(20):
            list(walk(crowded, buckets=["crowded"], sealer=sealer_of(crowded, threads=4)))
        sender.join()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert caught == [signal.SIGTERM]


def test_the_hashes_are_those_of_the_xxhash_library() -> None:
    native = library.library()
    assert native is not None
    size = ctypes.c_size_t
    for function in (native.dt_test_xxh64, native.dt_test_xxh3_64, native.dt_test_xxh3_128):
        function.argtypes = (ctypes.c_char_p, size, ctypes.c_void_p)[: 3 if "128" in function.__name__ else 2]
        function.restype = None if "128" in function.__name__ else ctypes.c_uint64
    data = bytes(each * 131 % 251 for each in range(5_000))
    pair = (ctypes.c_uint64 * 2)()
    for length in [*range(1_100), 2_047, 2_048, 2_049, 4_999]:
        part = data[-length:] if length else b""
        assert native.dt_test_xxh64(part, length) == xxhash.xxh64_intdigest(part)
        if length > 16:
            assert native.dt_test_xxh3_64(part, length) == xxhash.xxh3_64_intdigest(part)
        if length > 240:
            native.dt_test_xxh3_128(part, length, pair)
            assert pair[0] << 64 | pair[1] == xxhash.xxh3_128_intdigest(part)


def test_it_is_not_used_where_it_is_turned_off() -> None:
    script = "from dualtrack.engine.native.library import library; print(library())"
    environment = {**os.environ, library.SWITCH: "0"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "None\n"


def test_a_library_for_other_formats_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_INTERFACE", 0)
    assert library.library.__wrapped__() is None
