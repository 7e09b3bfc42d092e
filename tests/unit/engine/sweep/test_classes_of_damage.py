"""Each class of damage that the quarantine names, made of a real server's file on a drive and met by a sweep.

`docs/internals/xlmeta.md` lists the classes of content; a class that is added there needs its damage here.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import xxhash

import old_forms
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.metafile import MAX_META_SIZE
from dualtrack.engine.native import library
from dualtrack.engine.quarantine import all_quarantined
from dualtrack.engine.rows import RowState
from dualtrack.errors import IncompleteError
from smalldrive import BUCKET, small_bench
from sweepbench import Bench

PAGE = Path(__file__).parents[4] / "docs" / "internals" / "xlmeta.md"
FRAME = 13
"""Magic, version and the length of the metadata, which lie between it and the CRC."""
Damage = Callable[[bytes], bytes]


def exchanged(place: int, new: bytes) -> Damage:
    """These bytes of the file; no check is made right again."""
    return lambda data: data[:place] + new + data[place + len(new) :]


def resealed(change: Damage) -> Damage:
    """Changed metadata under a CRC that is right, as a server with a bug would write them."""

    def damage(data: bytes) -> bytes:
        end = FRAME + int.from_bytes(data[FRAME - 4 : FRAME], "big")
        metadata = change(data[FRAME:end])
        crc = xxhash.xxh64_intdigest(metadata, 0) & 0xFFFFFFFF
        return (
            data[: FRAME - 4]
            + struct.pack(">I", len(metadata))
            + metadata
            + struct.pack(">BI", 0xCE, crc)
            + data[end + 5 :]
        )

    return damage


def header_of_type_9(data: bytes) -> bytes:
    header = xlmeta.decode(data).versions[0].header
    wrong = header[:-4] + b"\x09" + header[-3:]
    return resealed(lambda metadata: metadata.replace(header, wrong, 1))(data)


def another_inline_version(data: bytes) -> bytes:
    end = FRAME + int.from_bytes(data[FRAME - 4 : FRAME], "big") + 5
    return exchanged(end, b"\x02")(data)


DAMAGES: dict[str, Damage] = {
    "truncated": lambda data: data[: FRAME + 40],
    "magic": exchanged(0, b"LX"),
    "wrapper": exchanged(8, b"\x80"),
    "crc": lambda data: exchanged(60, bytes([data[60] ^ 1]))(data),
    "metadata": resealed(exchanged(2, b"\x02")),
    "header": header_of_type_9,
    "body": resealed(lambda metadata: metadata.replace(b"\xa4Type\x01", b"\xa4Type\x09", 1)),
    "inline": lambda data: data[:-1],
    "xl-json": lambda _: (old_forms.FOLDER / "xl-json").read_bytes()[:-1],
    "xlmeta-newer": exchanged(6, b"\x04"),
    "header-version": resealed(exchanged(0, b"\x04")),
    "meta-version": resealed(exchanged(1, b"\x04")),
    "inline-version": another_inline_version,
    "legacy-object": lambda _: old_forms.document(version="1.1.0"),
}


def link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def huge(path: Path) -> None:
    os.truncate(path, MAX_META_SIZE + 1)


NO_FILES: dict[str, Callable[[Path], None]] = {"symlink": link, "not-a-file": pipe, "too-large": huge}


@pytest.fixture(params=["native", "python"])
def bench(
    minio_drive: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Bench:
    """An object for each class and one more, migrated; sweeps have the native reader, or not."""
    if request.param == "python":
        monkeypatch.setattr(library, "library", lambda: None)
    elif library.library() is None:
        pytest.skip("built without a C compiler")
    bench = small_bench(minio_drive, tmp_path, len(DAMAGES) + len(NO_FILES) + 1)
    bench.migrate()
    return bench


def test_the_page_of_the_format_lists_these_classes() -> None:
    section = PAGE.read_text().split("under which class\n")[1].split("These are the classes")[0]
    assert {*re.findall(r"`([a-z-]+)`", section)} == {*DAMAGES}


def test_each_class_of_damage_is_found_and_named(bench: Bench) -> None:
    """By the hash of what lies there, which stays as it is; and no row is served for any of them."""
    expected: dict[str, tuple[str, str]] = {}
    for number, (reason, damage) in enumerate(DAMAGES.items()):
        path = bench.file(BUCKET, f"{number:02d}")
        path.write_bytes(damage(path.read_bytes()))
        expected[f"{number:02d}"] = reason, xxhash.xxh3_128_hexdigest(path.read_bytes())
    for number, (reason, replaced) in enumerate(NO_FILES.items(), len(DAMAGES)):
        replaced(bench.file(BUCKET, f"{number:02d}"))
        expected[f"{number:02d}"] = reason, ""
    bench.migrate()
    with bench.owner() as owner:
        assert {each.key: (each.reason, each.digest) for each in all_quarantined(owner)} == expected
        states = {row.key: row.state for row in owner.scan(None, 100) if row.bucket == BUCKET}
    assert {key for key, state in states.items() if state is not RowState.FS_RESIDENT} == {
        f"{len(expected):02d}"
    }
    with pytest.raises(IncompleteError, match=f"{len(expected)} "):
        bench.verify(final=True)
    for key, (_, digest) in expected.items():
        assert not digest or xxhash.xxh3_128_hexdigest(bench.file(BUCKET, key).read_bytes()) == digest
