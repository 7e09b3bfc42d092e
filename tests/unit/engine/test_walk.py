"""The walk finds every object, can go on anywhere, and says where it could not look."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dualtrack.engine import listing, walk
from dualtrack.engine.drive import Drive
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.formats.changes import Part, add_version, new_object_version
from dualtrack.engine.inventory import inventory
from dualtrack.engine.listing import Found
from dualtrack.engine.metafile import MAX_META_SIZE
from dualtrack.engine.native import library
from dualtrack.engine.rows import Fingerprint
from dualtrack.engine.sealing import Sealer
from dualtrack.engine.walk import Cursor, Range

DATA_DIR = "0d0d0d0d-0d0d-0d0d-0d0d-0d0d0d0d0d0d"


def meta(inline: bool = True) -> bytes:
    version = new_object_version(
        version_id=bytes(16),
        data_dir=b"\x0d" * 16,
        mod_time_ns=1,
        parts=[Part(1, 1, 1)],
        meta_user={"etag": "x"},
        inline=inline,
    )
    return xlmeta.encode(add_version(xlmeta.empty(), version))


@pytest.fixture
def drive(tmp_path: Path) -> Drive:
    """A drive with one bucket and no objects."""
    (tmp_path / ".minio.sys").mkdir()
    (tmp_path / ".minio.sys/format.json").write_text(
        '{"version":"1","format":"xl-single","id":"d","xl":{"version":"3","this":"t","sets":[["t"]]}}'
    )
    (tmp_path / "bucket").mkdir()
    return Drive.open(tmp_path)


def put(drive: Drive, *paths: str) -> None:
    for path in paths:
        directory = Path(drive.path, "bucket", path)
        directory.mkdir(parents=True)
        (directory / "xl.meta").write_bytes(meta())


def objects(ranges: list[Range]) -> list[str]:
    return [found.key for one in ranges for found in one.objects]


@pytest.mark.parametrize("trust_links", [True, False, None])
def test_it_finds_what_the_inventory_finds(minio_drive: Path, trust_links: bool | None) -> None:
    drive = Drive.open(minio_drive)
    ranges = list(walk.walk(drive, trust_links=trust_links))
    found = [(one.bucket, one.key) for r in ranges for one in r.objects]
    assert len(found) == len(set(found)) == 2208
    assert set(found) == {(entry.bucket, entry.key) for entry in inventory(drive)}
    assert all(one.complete and not one.problems for one in ranges)


def test_directories_come_in_order_each_before_what_lies_below(minio_drive: Path) -> None:
    directories = [one.directory for one in walk.walk(Drive.open(minio_drive))]
    assert directories == sorted(directories)


def test_bytes_and_attributes_are_those_of_the_file(minio_drive: Path) -> None:
    for one in walk.walk(Drive.open(minio_drive), buckets=["odd-keys", "suspended"]):
        for found in one.objects:
            path = minio_drive / found.path
            stat = path.stat()
            assert found.data == path.read_bytes()
            assert found.fingerprint == Fingerprint.of(stat)
            assert (found.mode, found.uid, found.gid) == (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid)


@pytest.mark.parametrize("limit", [1, 3, 1000])
def test_it_goes_on_after_any_range(minio_drive: Path, monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(walk, "RANGE_OBJECTS", limit)
    drive = Drive.open(minio_drive)
    buckets = ["odd-keys", "odd-xldir", "plain", "versioned"]
    whole = list(walk.walk(drive, buckets=buckets))
    keys = [(one.bucket, one.path) for r in whole for one in r.objects]
    for number in range(0, len(whole), 7):
        cursor = Cursor.unpack(whole[number].cursor.pack())
        assert cursor == whole[number].cursor
        rest = [
            (one.bucket, one.path)
            for r in walk.walk(drive, after=cursor, buckets=buckets)
            for one in r.objects
        ]
        done = sum(len(r.objects) for r in whole[: number + 1])
        assert rest == keys[done:]


def test_a_large_directory_comes_in_ranges_that_join(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    put(drive, *(f"o{number:02}" for number in range(10)))
    monkeypatch.setattr(walk, "RANGE_OBJECTS", 5)
    ranges = list(walk.walk(drive))
    assert [(r.first, r.last, len(r.objects)) for r in ranges] == [
        (b"", b"o04", 5),
        (b"o04", b"o09", 5),
        (b"o09", None, 0),
    ]


def test_system_objects_come_when_asked_without_working_state(minio_drive: Path) -> None:
    found = [
        (one.bucket, one.key)
        for r in walk.walk(Drive.open(minio_drive), buckets=[], system=True)
        for one in r.objects
    ]
    assert (".minio.sys", "buckets/plain/.metadata.bin") in found
    assert any(key.startswith("config/") for _, key in found)
    assert not [key for _, key in found if "metacache" in key or "tmp" in key or "multipart" in key]


def test_keys_may_look_like_the_servers_own_names(drive: Drive) -> None:
    keys = [
        "xl.meta",
        "a",
        "p/xl.meta",
        "a/b",
        "x__XLDIR__/y",
        DATA_DIR,
        f"k/{DATA_DIR}",
        "part.1",
        ".dualtrack/o",
    ]
    put(drive, *keys, "d__XLDIR__")
    assert sorted(objects(list(walk.walk(drive)))) == sorted([*keys, "d/"])


@pytest.mark.parametrize("trust_links", [True, False])
def test_only_the_objects_own_data_directory_is_left_out(drive: Drive, trust_links: bool) -> None:
    put(drive, "o", f"o/{DATA_DIR}/not-looked-at", "o/1d0d0d0d-0d0d-0d0d-0d0d-0d0d0d0d0d0d/object")
    Path(drive.path, "bucket/o/xl.meta").write_bytes(meta(inline=False))
    found = objects(list(walk.walk(drive, trust_links=trust_links)))
    assert found == ["o", "o/1d0d0d0d-0d0d-0d0d-0d0d-0d0d0d0d0d0d/object"]


def test_what_lies_below_a_damaged_object_is_found(drive: Drive) -> None:
    put(drive, "o", "o/child")
    Path(drive.path, "bucket/o/xl.meta").write_bytes(b"damaged")
    assert objects(list(walk.walk(drive))) == ["o", "o/child"]


def test_ours_the_servers_and_other_directories_are_no_buckets(drive: Drive) -> None:
    for name in (".dualtrack", "lost+found", ".rustfs.sys", ".minio.sys/tmp/x", "ab", "_odd"):
        directory = Path(drive.path, name)
        directory.mkdir(parents=True)
        (directory / "xl.meta").write_bytes(meta())
    put(drive, "o")
    assert [one.directory for one in walk.walk(drive)] == [(b"bucket",)]
    assert drive.strangers() == ["_odd", "ab"]


def fail(monkeypatch: pytest.MonkeyPatch, pattern: str, error: int) -> None:
    """Have the system refuse to open what matches: root is never refused, and a test cannot break a disk."""
    system = os.open

    def refusing(path: bytes | str, *args: object, **options: object) -> int:
        if re.search(pattern, os.fsdecode(path)):
            raise OSError(error, os.strerror(error), path)
        return system(path, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refusing)


@pytest.mark.parametrize(("error", "reason"), [(errno.EIO, "EIO"), (errno.EACCES, "EACCES")])
def test_an_unreadable_file_makes_its_range_incomplete(
    drive: Drive, monkeypatch: pytest.MonkeyPatch, error: int, reason: str
) -> None:
    put(drive, "a/x", "b/x", "b/y", "c/x")
    fail(monkeypatch, r"^y/xl.meta$", error)
    ranges = list(walk.walk(drive))
    assert objects(ranges) == ["a/x", "b/x", "c/x"]
    assert [(r.directory[1], r.complete) for r in ranges] == [(b"a", True), (b"b", False), (b"c", True)]
    assert [(p.key, p.reason, p.transient) for r in ranges for p in r.problems] == [("b/y", reason, True)]


@pytest.mark.parametrize("error", [errno.EIO, errno.EACCES, errno.ENOENT])
def test_a_directory_that_cannot_be_listed_or_vanished_is_told(
    drive: Drive, monkeypatch: pytest.MonkeyPatch, error: int
) -> None:
    put(drive, "a/x", "b/x", "b/y/z", "c/x")
    fail(monkeypatch, r"/bucket/b$", error)
    ranges = list(walk.walk(drive))
    assert objects(ranges) == ["a/x", "c/x"]
    (failed,) = [r for r in ranges if not r.complete]
    assert (failed.directory, failed.last, failed.problems[0].transient) == ((b"bucket", b"b"), None, True)


@pytest.mark.parametrize("native", [True, False])
def test_a_file_beyond_every_limit_is_named_and_not_read(
    drive: Drive, monkeypatch: pytest.MonkeyPatch, native: bool
) -> None:
    put(drive, "a", "huge")
    os.truncate(f"{drive.path}/bucket/huge/xl.meta", MAX_META_SIZE + 1)
    if not native:
        monkeypatch.setattr(library, "library", lambda: None)
    sealer = Sealer.of(drive.path, drive.drive_id)
    ranges = list(walk.walk(drive, sealer=sealer))
    found = [(p.key, p.reason, p.transient) for one in ranges for p in one.problems]
    assert found == [("huge", "too-large", False)]


def test_links_are_named_and_never_followed(drive: Drive, tmp_path: Path) -> None:
    put(drive, "o", "target/t")
    bucket = Path(drive.path, "bucket")
    (bucket / "l").mkdir()
    (bucket / "l/xl.meta").symlink_to(bucket / "o/xl.meta")
    (bucket / "way").symlink_to(bucket / "target")
    ranges = list(walk.walk(drive))
    assert objects(ranges) == ["o", "target/t"]
    assert {(p.key, p.reason) for r in ranges for p in r.problems} == {("l", "symlink"), ("way", "symlink")}
    # They will not go away by trying again, so they do not hold up the range.
    assert all(r.complete for r in ranges)


def test_access_times_stay(drive: Drive) -> None:
    put(drive, "o/p")
    paths = [Path(drive.path, "bucket", name) for name in ("", "o", "o/p", "o/p/xl.meta")]
    for path in paths:
        os.utime(path, ns=(1, 2))
    before = [path.stat().st_atime_ns for path in paths]
    assert objects(list(walk.walk(drive))) == ["o/p"]
    assert [path.stat().st_atime_ns for path in paths] == before


def test_names_that_are_no_utf8_survive(drive: Drive) -> None:
    directory = os.path.join(os.fsencode(drive.path), b"bucket", b"m\xfcll")
    os.mkdir(directory)
    with open(os.path.join(directory, b"xl.meta"), "wb") as file:
        file.write(meta())
    (found,) = next(walk.walk(drive)).objects
    assert found.key.encode("utf-8", "surrogateescape") == b"m\xfcll"


def test_a_file_that_changes_while_it_is_read_is_read_again(
    drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(drive, "o")
    path = Path(drive.path, "bucket/o/xl.meta")
    changes: list[Callable[[], object]] = [lambda: os.utime(path, ns=(5, 5))]
    system = os.read

    def changing(descriptor: int, size: int) -> bytes:
        data = system(descriptor, size)
        if changes:
            changes.pop()()
        return data

    monkeypatch.setattr(os, "read", changing)
    (found,) = next(walk.walk(drive)).objects
    assert found.fingerprint == Fingerprint.of(path.stat())


def test_a_file_that_never_holds_still_is_told(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    put(drive, "o")
    path = Path(drive.path, "bucket/o/xl.meta")
    system, times = os.read, iter(range(100))

    def changing(descriptor: int, size: int) -> bytes:
        os.utime(path, ns=(9, next(times)))
        return system(descriptor, size)

    monkeypatch.setattr(os, "read", changing)
    (told,) = list(walk.walk(drive))
    assert (told.objects, told.complete, told.problems[0].reason) == ((), False, "unstable")


def test_link_counts_are_trusted_only_where_they_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(listing, "_COUNTING", frozenset())
    assert not listing.links_count_subdirectories(str(tmp_path))


def test_everything_found_is_an_object_file(rustfs_drive: Path) -> None:
    for one in walk.walk(Drive.open(rustfs_drive), system=True):
        for found in one.objects:
            assert isinstance(found, Found)
            assert found.data[:4] == b"XL2 "


def test_a_system_volume_that_cannot_be_looked_at_is_not_absent(
    minio_drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = Drive.open(minio_drive)
    wanted = os.fsencode(f"{minio_drive}/.minio.sys/buckets")

    def failing(real: Callable[..., object]) -> Callable[..., object]:
        def call(path: object, *args: object, **named: object) -> object:
            if path == wanted:
                raise OSError(errno.EIO, "injected")
            return real(path, *args, **named)

        return call

    for name in ("stat", "lstat"):
        monkeypatch.setattr(os, name, failing(getattr(os, name)))
    with pytest.raises(OSError, match="injected"):
        list(walk.walk(drive, buckets=[], system=True))
