"""A drive is known by its format.json."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dualtrack.engine.drive import HELD_FORMAT, ORIGINAL_FORMAT, Drive
from dualtrack.errors import DriveError


def document(**changes: object) -> dict[str, object]:
    layout = {
        "version": "3",
        "this": "b2",
        "sets": [["a1", "a2"], ["b1", "b2"]],
        "distributionAlgo": "SIPMOD",
    }
    return {"version": "1", "format": "xl", "id": "deployment", "xl": layout, **changes}


def write(root: Path, content: object, name: str = ".minio.sys/format.json") -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def test_a_single_drive_of_minio(minio_drive: Path) -> None:
    drive = Drive.open(minio_drive)
    assert (drive.system_volume, drive.format, drive.held) == (".minio.sys", "xl-single", False)
    assert (drive.drive_count, drive.drives_per_set, drive.set_index, drive.drive_index) == (1, 1, 0, 0)
    assert drive.deployment_id == "46389590-f9ed-4db1-94bb-7e978b714fb1"
    assert drive.drive_id == "858920dc-054e-4be0-aed2-42715392ffc3"


def test_drives_of_one_set_know_their_places(pristine: Callable[[str], Path]) -> None:
    drives = [Drive.open(pristine("rustfs-4d") / f"d{number}") for number in (1, 2, 3, 4)]
    assert {drive.system_volume for drive in drives} == {".rustfs.sys"}
    assert len({drive.deployment_id for drive in drives}) == 1
    assert sorted(drive.drive_index for drive in drives) == [0, 1, 2, 3]
    assert {drive.drive_count for drive in drives} == {4}


def test_the_place_in_several_sets(tmp_path: Path) -> None:
    write(tmp_path, document())
    drive = Drive.open(tmp_path)
    assert (drive.set_index, drive.drive_index, drive.drives_per_set, drive.drive_count) == (1, 1, 2, 4)


def test_on_a_drive_that_rustfs_adopted_rustfs_counts(tmp_path: Path) -> None:
    write(tmp_path, document(id="minios"))
    write(tmp_path, document(id="rustfs"), ".rustfs.sys/format.json")
    assert Drive.open(tmp_path).deployment_id == "rustfs"


def test_a_held_drive_is_known_by_the_original(tmp_path: Path) -> None:
    write(tmp_path, document(format=HELD_FORMAT))
    with pytest.raises(DriveError, match="orig is missing"):
        Drive.open(tmp_path)
    write(tmp_path, document(), ORIGINAL_FORMAT)
    drive = Drive.open(tmp_path)
    assert (drive.held, drive.format, drive.drive_id) == (True, "xl", "b2")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "holds no object"),
        (document(format="fs"), "not understood"),
        (document(xl={}), "not understood"),
        (document(xl={"this": "c9", "sets": [["a1"]]}), "in none of its sets"),
    ],
)
def test_a_format_that_is_not_understood_is_refused(tmp_path: Path, content: object, message: str) -> None:
    write(tmp_path, content)
    with pytest.raises(DriveError, match=message):
        Drive.open(tmp_path)


def test_a_directory_without_format_is_no_drive(tmp_path: Path) -> None:
    with pytest.raises(DriveError, match=r"no format\.json"):
        Drive.open(tmp_path)
    with pytest.raises(DriveError, match="no directory"):
        Drive.open(tmp_path / "absent")


def test_buckets_come_in_byte_order_without_the_servers_own(minio_drive: Path) -> None:
    buckets = Drive.open(minio_drive).buckets()
    assert buckets == sorted(buckets)
    assert len(buckets) == 16
    assert not [name for name in buckets if name.startswith(".")]
