"""`ls`, `du` and `find` over the stores of a set say what its export says; what is undecided is named."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualtrack.cli.main import main
from dualtrack.errors import DriveError
from sets import engine

Output = pytest.CaptureFixture[str]
Lines = list[dict[str, Any]]
INCOMPLETE = 50
FIELDS = ("bucket", "key", "size", "lastModified", "etag", "storageClass", "inline")


@pytest.fixture(scope="module")
def stores(pristine: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Of four drives, of which one was away while the others were written."""
    folder = tmp_path_factory.mktemp("set")
    subprocess.run(["cp", "--archive", f"{pristine('minio-4d-stale')}/.", str(folder)], check=True)
    drives = sorted(folder.glob("d?"))
    assert engine("migrate", drives) == 0
    return [f"{drive}/.dualtrack/store" for drive in drives]


def told(capsys: Output, stores: list[str], *words: str, code: int = 0) -> Lines:
    capsys.readouterr()
    named = [word for store in stores for word in ("--store", store)]
    assert main(["engine", *words, *named, "--format", "jsonl"]) == code
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def exported(stores: list[str], capsys: Output) -> Lines:
    return told(capsys, stores, "export")


def latest(exported: Lines, bucket: str) -> Lines:
    found = [each for each in exported if each["isLatest"] and each["kind"] == "object"]
    return [{name: each[name] for name in FIELDS} for each in found if each["bucket"] == bucket]


@pytest.mark.parametrize("bucket", ["unv", "ver", "bnew"])
def test_a_listing_is_the_latest_of_the_export(
    bucket: str, stores: list[str], exported: Lines, capsys: Output
) -> None:
    found = told(capsys, stores, "ls", bucket, "-r")
    assert [{name: each[name] for name in FIELDS} for each in found] == latest(exported, bucket)
    versions = told(capsys, stores, "ls", bucket, "-r", "--versions")
    assert versions == [each for each in exported if each["bucket"] == bucket]
    counted = {each["key"]: sum(one["key"] == each["key"] for one in versions) for each in versions}
    assert {each["key"]: each["versions"] for each in found}.items() <= counted.items()


def test_a_level_and_a_prefix_that_is_a_key(stores: list[str], exported: Lines, capsys: Output) -> None:
    keys = [each["key"] for each in latest(exported, "unv")]
    found = told(capsys, stores, "ls", "unv")
    assert [each.get("prefix", each.get("key")) for each in found] == list(
        dict.fromkeys(key[: key.index("/") + 1] if "/" in key else key for key in keys)
    )
    assert "new" in keys
    below = told(capsys, stores, "ls", "unv/new", "-r")
    assert [each["key"] for each in below] == [key for key in keys if key.startswith("new")]


def test_usage_and_search_are_those_of_the_set(stores: list[str], exported: Lines, capsys: Output) -> None:
    buckets = told(capsys, stores, "ls")
    assert [(each["bucket"], each["versions"]) for each in buckets] == [
        (name, sum(each["bucket"] == name for each in exported)) for name in ("bnew", "unv", "ver")
    ]
    for each in told(capsys, stores, "du"):
        objects = latest(exported, each["bucket"])
        assert (each["objects"], each["bytes"]) == (len(objects), sum(one["size"] for one in objects))
    assert told(capsys, stores, "find", "--all-versions") == exported
    large = told(capsys, stores, "find", "--larger", "100k")
    assert large == [
        each for each in exported if each["isLatest"] and each["kind"] == "object" and each["size"] > 102_400
    ]


def test_the_drive_that_was_away_decides_nothing(stores: list[str], exported: Lines, capsys: Output) -> None:
    assert told(capsys, stores[:3], "find", "--all-versions") == exported
    assert told(capsys, [stores[2], stores[0], stores[3], stores[1]], "find", "--all-versions") == exported


@pytest.mark.parametrize("words", [("ls", "unv", "-r"), ("du",), ("find", "--all-versions"), ("export",)])
def test_half_of_a_set_ends_as_incomplete(words: tuple[str, ...], stores: list[str], capsys: Output) -> None:
    named = [word for store in stores[2:] for word in ("--store", store)]
    assert main(["engine", *words, *named, "--format", "jsonl"]) == INCOMPLETE
    said = capsys.readouterr().err
    assert "2 of the 4 drives of set 1 were not named" in said
    assert "cannot be decided: 2 of the set's 4 drives were not seen" in said


def test_what_too_many_drives_keep_in_their_files_is_named(
    drives: Callable[[str], Path], capsys: Output
) -> None:
    chosen = sorted(drives("minio-4d-stale").glob("d?"))
    for drive in chosen[:3]:
        (drive / "unv/new/xl.meta").write_bytes(b"XL2 damaged")
    assert engine("migrate", chosen) == 0
    named = [word for drive in chosen for word in ("--store", str(drive / ".dualtrack/store"))]
    for words in (("ls", "unv"), ("ls", "unv", "-r"), ("du",), ("export",)):
        capsys.readouterr()
        assert main(["engine", *words, *named]) == INCOMPLETE, words
        assert "unv/new cannot be decided" in capsys.readouterr().err


def test_stores_of_two_servers_are_refused(
    stores: list[str], drives: Callable[[str], Path], capsys: Output
) -> None:
    drive = drives("minio-8d-2sets") / "d1"
    assert engine("migrate", [drive]) == 0
    other = f"{drive}/.dualtrack/store"
    assert main(["engine", "ls", "--store", stores[0], "--store", other]) == DriveError.exit_code
    assert "name drives of one server only" in capsys.readouterr().err
