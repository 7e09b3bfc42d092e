"""Names that a file system allows and a program stumbles over go all the way and come back byte for byte.

Every third object with a data directory of its own, in C and in Python alike.
"""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from dualtrack.engine.formats import xlmeta
from dualtrack.engine.formats.changes import Part, add_version, new_object_version
from dualtrack.engine.native import library
from layers import new_drive
from sets import engine, metas, state

KEYS = [
    b"a" * 255,
    b"/".join([b"b" * 255] * 4),
    b"/".join([b"d"] * 512),
    b"/".join([b"longer than S3 allows"] * 60),
    b" ", b"space ", b"\n", b"new\nline", b"tab\t", b"\x01", b"\x7f",
    b"no utf-8 \xff\xfe", b"\xed\xa0\x80", "é".encode(), "e\u0301".encode(),
    b"xl.meta", b"q/xl.meta/c", b"xl.json", b"part.1",
    b"...", b"..a", b".dualtrack", b".minio.sys/buckets/x",
    b"k__XLDIR__", b"x__XLDIR__/y", b"x__XLDIR__/y__XLDIR__",
    b"Key", b"key", b"KEY/below",
    b"-", b"--help", b"%2F", b"a\\b", b'"q"', b"*", b"[x]", b"null",
    b"a", b"a-b", b"a/b", b"a/b/c", b"a0",
    b"11111111-2222-3333-4444-555555555555", b"o/11111111-2222-3333-4444-555555555555",
]  # fmt: skip


def put(drive: Path, bucket: bytes, key: bytes, number: int) -> None:
    """One directory at a time: the whole path may be longer than the system takes."""
    at = os.open(drive, os.O_RDONLY)
    for name in (bucket, *key.split(b"/")):
        at = enter(at, name)
    inline = number % 3 > 0
    version = new_object_version(
        version_id=bytes(16),
        data_dir=number.to_bytes(16, "big"),
        mod_time_ns=1_700_000_000_000_000_000 + number,
        parts=[Part(1, 5, 5)],
        meta_user={"etag": f"{number:032x}"},
        inline=inline,
    )
    content = b"hash and content"
    write(at, "xl.meta", xlmeta.encode(add_version(xlmeta.empty(), version, content if inline else None)))
    if not inline:
        at = enter(at, str(uuid.UUID(int=number)).encode())
        write(at, "part.1", content)
    os.close(at)


def enter(at: int, name: bytes) -> int:
    if name.decode("utf-8", "surrogateescape") not in os.listdir(at):
        os.mkdir(name, dir_fd=at)
    below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
    os.close(at)
    return below


def write(at: int, name: str, data: bytes) -> None:
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640, dir_fd=at)
    os.write(file, data)
    os.close(file)


@pytest.mark.parametrize("native", [True, False])
def test_every_name_goes_all_the_way_and_back(
    native: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not native:
        monkeypatch.setattr(library, "library", lambda: None)
    drive = new_drive(tmp_path / "drive")
    places = [*((b"bucket", key) for key in KEYS), *((b"xl.meta", key) for key in KEYS[-10:])]
    for number, (bucket, key) in enumerate(places, 1):
        put(drive, bucket, key, number)
    before = state(drive)
    assert len(metas([drive])) == len(places)
    assert engine("migrate", [drive]) == 0
    assert engine("verify", [drive]) == 0
    assert engine("cleanup hold", [drive], "--server-stopped") == 0
    assert metas([drive]) == []
    copies = str(tmp_path / "copies")
    assert engine("snapshot", [drive], "--to", copies) == 0
    where = ("--snapshot", copies, "--accept-same-device")
    assert engine("cleanup purge", [drive], "--server-stopped", *where) == 0
    assert engine("cleanup directories", [drive], "--server-stopped") == 0
    assert engine("restore", [drive]) == 0
    assert state(drive) == before
