"""Drives to measure on: real-format trees, written by our own encoder, the same bytes on every machine.

    python -m benchmarks.trees SHAPE COUNT      makes one (or finds it) and prints where it lies

Shapes: `inline` (content in the `xl.meta`, one directory an object), `parts` (content in a data directory:
two directories and two files an object), `deep` (as `inline`, but only 8 objects lie in a directory). Files
have some 500 bytes; one object in 20 has three versions, one in 50 a delete marker on top. Trees lie under
`${DUALTRACK_CACHE:-.cache}/benchmarks/` and are made once.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

from dualtrack.engine.formats import bitrot, xlmeta
from dualtrack.engine.formats.changes import (
    BLOCK_SIZE,
    Part,
    add_version,
    new_delete_marker,
    new_object_version,
)

REPO = Path(__file__).resolve().parents[1]
BUCKET = "bench"
RECIPE = 1
"""Part of the tree's name: raise it when the same shape and count would give other bytes."""

_CONTENT = 60
_MORE = {f"X-Amz-Meta-Field-{number}": "a value of the user's" for number in range(3)}
"""Metadata that brings files without content to the size of the others."""
_BORN = 1_760_000_000_000_000_000
_FAN_OUT = {"inline": (50, 200), "parts": (50, 200), "deep": (25, 8)}
"""How many subdirectories a middle level has, and how many objects lie in a lowest directory."""


def cache() -> Path:
    return Path(os.environ.get("DUALTRACK_CACHE") or REPO / ".cache") / "benchmarks"


def tree(shape: str, count: int) -> Path:
    """The drive of that shape with `count` objects; made where it is not there yet."""
    drive = cache() / f"{shape}-{count}-r{RECIPE}"
    if not (drive / ".made").exists():
        shutil.rmtree(drive, ignore_errors=True)
        _make(drive, shape, count)
        os.sync()
        (drive / ".made").touch()
    return drive


def _make(drive: Path, shape: str, count: int) -> None:
    _format(drive)
    for number, directory in enumerate(_directories(shape, count)):
        path = drive / BUCKET / directory
        path.mkdir(parents=True)
        data_dir = _uuid("data", number)
        (path / "xl.meta").write_bytes(encoded(number, data_dir, inline=shape != "parts"))
        if shape == "parts":
            part = path / str(uuid.UUID(bytes=data_dir))
            part.mkdir()
            (part / "part.1").write_bytes(bitrot.frame(_content(number), BLOCK_SIZE))


def _format(drive: Path) -> None:
    this = str(uuid.UUID(bytes=_uuid("drive", 0)))
    document = {
        "version": "1",
        "format": "xl-single",
        "id": str(uuid.UUID(bytes=_uuid("deployment", 0))),
        "xl": {"version": "3", "this": this, "sets": [[this]], "distributionAlgo": "SIPMOD+PARITY"},
    }
    system = drive / ".minio.sys"
    system.mkdir(parents=True)
    (system / "format.json").write_text(json.dumps(document))


def _directories(shape: str, count: int) -> Iterator[str]:
    middle, lowest = _FAN_OUT[shape]
    for number in range(count):
        group, object_number = divmod(number, lowest)
        top, below = divmod(group, middle)
        yield f"year-{top:04}/day-{below:03}/object-{object_number:04}.json"


def encoded(number: int, data_dir: bytes, *, inline: bool) -> bytes:
    """The `xl.meta` of one object."""
    meta = xlmeta.empty()
    versions = 3 if number % 20 == 7 else 1
    for each in range(versions):
        version_id = _uuid("version", number * 8 + each) if versions > 1 else bytes(16)
        content = _content(number + each)
        version = new_object_version(
            version_id=version_id,
            data_dir=data_dir if each == versions - 1 else _uuid("old", number * 8 + each),
            mod_time_ns=_BORN + number * 1_000_003 + each,
            parts=[Part(1, len(content), len(content))],
            meta_user=_metadata(content) if inline else _metadata(content) | _MORE,
            inline=inline,
        )
        meta = add_version(meta, version, bitrot.frame(content, BLOCK_SIZE) if inline else None)
    if number % 50 == 3:
        marker = new_delete_marker(version_id=_uuid("marker", number), mod_time_ns=_BORN + 10**15 + number)
        meta = add_version(meta, marker)
    return xlmeta.encode(meta)


def _metadata(content: bytes) -> dict[str, str]:
    etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return {"content-type": "application/json", "etag": etag}


def _content(number: int) -> bytes:
    return hashlib.shake_128(number.to_bytes(8, "big")).digest(_CONTENT)


def _uuid(kind: str, number: int) -> bytes:
    return hashlib.shake_128(f"{kind} {number}".encode()).digest(16)


if __name__ == "__main__":
    print(tree(sys.argv[1], int(sys.argv[2])))
