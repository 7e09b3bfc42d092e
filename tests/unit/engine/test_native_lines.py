"""The native export writes what Python writes, byte for byte, or leaves the row to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dualtrack.cli.main import main
from dualtrack.engine.drive import Drive
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.formats.changes import Part, add_version, new_delete_marker, new_object_version
from dualtrack.engine.native import library, lines
from dualtrack.engine.native.lines import LineWriter
from dualtrack.engine.rows import RowState
from dualtrack.engine.stores.protocol import PackedRow
from dualtrack.engine.walk import walk
from dualtrack.errors import DualTrackError
from exportlines import DRIVE, by_python, natively, packed

FORMATS = Path(__file__).parents[2] / "data" / "formats"
CASES = ("minio-single", "minio-4d-stale", "minio-8d-2sets", "rustfs-4d")
ID = bytes(range(16))

pytestmark = pytest.mark.skipif(library.library() is None, reason="built without a C compiler")


@pytest.fixture(scope="module")
def writer() -> LineWriter:
    found = library.library()
    assert found is not None
    return LineWriter(found, DRIVE)


def rows_of(drive: Path) -> Iterator[PackedRow]:
    for part in walk(Drive.open(drive), system=True):
        for found in part.objects:
            yield packed(found.bucket, found.key, found.data)


def assert_the_same(writer: LineWriter, rows: list[PackedRow]) -> int:
    """How many rows were left to Python."""
    left = 0
    for row in rows:
        ours = natively(writer, row)
        left += ours is None
        assert ours is None or ours == by_python(row)
    together = [
        item if isinstance(item, bytes) else by_python(item)
        for item in writer.lines([row for row in rows if natively(writer, row) is not None])
    ]
    assert b"".join(together) == b"".join(filter(None, (natively(writer, row) for row in rows)))
    return left


@pytest.mark.parametrize("case", CASES)
def test_every_real_drive_gives_the_same_lines(
    pristine: Callable[[str], Path], writer: LineWriter, case: str
) -> None:
    for path in sorted(pristine(case).glob("d*"))[:1]:
        rows = list(rows_of(path))
        assert assert_the_same(writer, rows) < len(rows) / 2, "usual rows have to be written natively"


def test_every_committed_form_is_left_to_python_or_written_alike(writer: LineWriter) -> None:
    files = [path for path in sorted(FORMATS.rglob("*")) if path.is_file()]
    assert files
    for path in files:
        row = packed("bucket", path.name, path.read_bytes())
        ours = natively(writer, row)
        assert ours is None or ours == by_python(row)


def one(user: dict[str, str], *, inline: bool = False, size: int = 5, **named: bytes) -> bytes:
    version = new_object_version(
        version_id=ID,
        data_dir=bytes(reversed(ID)),
        mod_time_ns=1_700_000_000_123_456_789,
        parts=[Part(1, size, size)],
        meta_user=user,
        meta_sys=named.get("system"),
        inline=inline,
    )
    return xlmeta.encode(add_version(xlmeta.empty(), version, b"hash and content" if inline else None))


def test_a_usual_row_is_written_natively(writer: LineWriter) -> None:
    user = {
        "etag": "0" * 32,
        "content-type": 'text/plain; charset="utf-8"',
        "X-Amz-Meta-Color": "rot, grün \U0001f600 \x7f\t\\",
        "X-Custom": "kept",
        "x-amz-tagging": "a+b=c%20d&e=%C3%A9&f",
        "x-amz-storage-class": "COLD",
    }
    row = packed("bucket", 'ä/ " key', one(user, inline=True))
    ours = natively(writer, row)
    assert ours == by_python(row)
    document = json.loads(ours or b"")
    assert document["userMetadata"] == {"color": user["X-Amz-Meta-Color"], "x-custom": "kept"}
    assert document["tags"] == {"a b": "c d", "e": "é", "f": ""}
    assert (document["inline"], document["dataDir"], document["storageClass"]) == (True, None, "COLD")


@pytest.mark.parametrize("time", [0, -1, -(10**9), 951_782_399_999_999_999, 951_782_400 * 10**9, 2**63 - 1])
def test_every_time_is_written_alike(writer: LineWriter, time: int) -> None:
    marker = new_delete_marker(version_id=ID, mod_time_ns=time)
    row = packed("bucket", "key", xlmeta.encode(add_version(xlmeta.empty(), marker)))
    assert natively(writer, row) == by_python(row)


@pytest.mark.parametrize(
    "user",
    [
        {"etag": "20000f00" + "0" * 90},
        {"x-amz-server-side-encryption": "AES256"},
        {"x-amz-meta-color": "a", "X-Amz-Meta-Color": "b"},
        {"x-amz-meta-color": "a", "Color": "b"},
        {"x-amz-meta-bytes": "\udcff"},
        {"x-amz-tagging": "a=1&a=2"},
        {"x-amz-tagging": "a=%zz"},
        {"x-amz-tagging": "a=%FF"},
        {"x-amz-tagging": "é=1"},
        {f"x-amz-meta-{number}": "" for number in range(65)},
    ],
    ids=str,
)
def test_what_is_not_usual_is_left_to_python(writer: LineWriter, user: dict[str, str]) -> None:
    row = packed("bucket", "key", one(user))
    assert by_python(row)
    assert natively(writer, row) is None


def test_metadata_of_the_same_name_inside_and_outside_the_users_prefix_is_told_apart(
    writer: LineWriter,
) -> None:
    row = packed("bucket", "key", one({"etag": "a", "x-amz-meta-etag": "b", "x-amz-meta-content-type": "c"}))
    ours = natively(writer, row)
    assert ours == by_python(row)
    assert json.loads(ours or b"")["userMetadata"] == {"etag": "b", "content-type": "c"}


def test_only_rows_that_are_served_give_lines(writer: LineWriter) -> None:
    data = one({})
    assert natively(writer, packed(".minio.sys", "config/x", data)) == b""
    assert natively(writer, packed("bucket", "k" * 300, b"", RowState.TOMBSTONE)) == b""
    assert natively(writer, packed("bucket", "key", data, RowState.FS_RESIDENT)) is None
    assert natively(writer, packed("bucket", "\udcff", data)) is None


def test_a_damaged_or_misplaced_row_is_left_to_python_which_names_it(writer: LineWriter) -> None:
    full, value = packed("bucket", "key", one({"etag": "0" * 32}))
    for place in (0, 2, 3, 10, 70, 90, len(value) - 1):
        changed = bytearray(value)
        changed[place] ^= 1
        assert natively(writer, (full, bytes(changed))) is None
        with pytest.raises(DualTrackError):
            by_python((full, bytes(changed)))
    for cut in (0, 1, 85, 101, 102, len(value) - 1):
        assert natively(writer, (full, value[:cut])) is None
    for other in (b"", b"bucket", b"bucket\0kez", b"bucket\0ke"):
        assert natively(writer, (other, value)) is None


def test_a_page_that_does_not_fit_comes_in_parts(writer: LineWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [packed("bucket", f"key-{number}", one({"etag": "0" * 32})) for number in range(20)]
    whole = b"".join(map(by_python, rows))
    monkeypatch.setattr(lines, "_LINES_ROOM", 1_500)
    assert b"".join(item for item in writer.lines(rows) if isinstance(item, bytes)) == whole
    monkeypatch.setattr(lines, "_LINES_ROOM", 100)
    assert list(writer.lines(rows)) == rows


def test_the_command_prints_the_same_without_the_library(
    drives: Callable[[str], Path],
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = str(tmp_path / "store")
    assert main(["engine", "migrate", "--drive", str(drives("minio-single") / "d1"), "--store", store]) == 0
    capfdbinary.readouterr()
    code = main(["engine", "export", "--store", store])
    native = capfdbinary.readouterr().out
    monkeypatch.setattr(library, "library", lambda: None)
    assert main(["engine", "export", "--store", store]) == code
    assert capfdbinary.readouterr().out == native
    assert native.count(b"\n") > 100
