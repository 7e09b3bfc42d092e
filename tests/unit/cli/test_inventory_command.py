"""`dualtrack engine inventory`, as its users call it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dualtrack.cli.main import engine_verbs, main

FIELDS = {
    "bucket",
    "key",
    "versionId",
    "isLatest",
    "kind",
    "etag",
    "etagSealed",
    "size",
    "lastModified",
    "contentType",
    "userMetadata",
    "tags",
    "storageClass",
    "dataDir",
    "inline",
    "parts",
}


def inventory(drive: Path, *options: str) -> int:
    return main(["engine", "inventory", "--drive", str(drive), *options])


def test_jsonl_is_one_object_a_version(minio_drive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inventory(minio_drive, "--format", "jsonl") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2262
    assert all(set(json.loads(line)) == FIELDS for line in lines)


def test_the_table_and_the_summary_count_the_same(
    minio_drive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert inventory(minio_drive) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert inventory(minio_drive, "--format", "summary") == 0
    counted = json.loads(capsys.readouterr().out)
    assert rows[-1] == ["total", *(str(number) for number in counted["total"].values())]
    assert [row[0] for row in rows[1:-1]] == list(counted["buckets"])
    assert counted["total"]["versions"] == 2262


def test_progress_is_told_where_the_list_is_not(
    minio_drive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert inventory(minio_drive, "--format", "summary", "--progress", "json") == 0
    first, *_, last = capsys.readouterr().out.splitlines()
    assert (json.loads(first)["event"], json.loads(first)["verb"]) == ("progress", "inventory")
    assert json.loads(last)["total"]["versions"] == 2262
    assert inventory(minio_drive, "--format", "jsonl", "--progress", "json") == 0
    assert all(set(json.loads(line)) == FIELDS for line in capsys.readouterr().out.splitlines())
    out = tmp_path / "out.jsonl"
    assert inventory(minio_drive, "--format", "jsonl", "--out", str(out), "--progress", "json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["event"] == "progress"
    assert len(out.read_text().splitlines()) == 2262


def test_one_bucket_alone(minio_drive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inventory(minio_drive, "--format", "jsonl", "--bucket", "xyz") == 0
    assert json.loads(capsys.readouterr().out)["bucket"] == "xyz"


def test_what_is_unreadable_is_named_and_the_exit_code_says_so(
    drives: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    drive = drives("minio-single") / "d1"
    broken = drive / "anon/utf8/xl.meta"
    broken.write_bytes(broken.read_bytes()[:50])
    assert inventory(drive, "--format", "jsonl", "--bucket", "anon") == 50
    told = capsys.readouterr()
    assert len(told.out.splitlines()) == 3
    assert "unreadable: truncated" in told.err
    assert "anon/utf8" in told.err


def ordered(drive: Path, result: Path) -> list[str]:
    """As the operator's Job calls it."""
    options = [
        "--drive",
        str(drive),
        "--store",
        f"{drive}/.dualtrack/store",
        "--client-only",
        "--run-id",
        "r",
    ]
    options += ["--fence", "7", "--migration-uid", "u", "--epoch", "1", "--result-file", str(result)]
    return ["engine", "inventory", *options, "--progress", "json", "--format", "summary"]


def test_a_job_leaves_its_result(
    minio_drive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(ordered(minio_drive, tmp_path / "result")) == 0
    result = json.loads((tmp_path / "result").read_text())
    assert (result["verb"], result["runID"], result["fence"], result["ok"]) == ("inventory", "r", 7, True)
    assert (result["counts"]["versions"], result["counts"]["setDrives"]) == (2262, 1)
    assert result["drive"]["driveID"] == "858920dc-054e-4be0-aed2-42715392ffc3"
    assert result["drive"]["marker"] == "FsAuthoritative"
    assert result["inodesUsed"] >= 0  # some file systems count none


def test_a_job_that_fails_leaves_its_error_and_nothing_of_an_earlier_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "result").write_text('{"ok":true,"runID":"r"}')
    assert main(ordered(tmp_path, tmp_path / "result")) == 20
    result = json.loads((tmp_path / "result").read_text())
    assert (result["ok"], result["runID"], result["exitCode"]) == (False, "r", 20)
    assert "no format.json" in result["message"]


def test_a_job_counts_what_will_be_quarantined_and_names_the_first(
    drives: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drive = drives("minio-single") / "d1"
    broken = list((drive / "many-objects").rglob("xl.meta"))[:50]
    for path in broken:
        path.write_bytes(b"XL2 1   ")
    assert main(ordered(drive, tmp_path / "result")) == 0
    text = (tmp_path / "result").read_text()
    result = json.loads(text)
    assert len(text) <= 3 * 1024
    assert (result["ok"], result["counts"]["unreadable"], len(result["unreadable"])) == (True, 50, 10)
    assert all(name.endswith(": metadata") for name in result["unreadable"])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--drive", "/nowhere"], 20, "no directory"),
    ],
)
def test_errors_end_with_their_own_code(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["engine", "inventory", *arguments]) == code
    assert message in capsys.readouterr().err


def test_a_bucket_that_is_not_there_is_an_error(
    minio_drive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert inventory(minio_drive, "--bucket", "nope") == 2
    assert "nope" in capsys.readouterr().err


def test_verbs_are_found_and_only_the_one_asked_for_is_loaded() -> None:
    assert engine_verbs()["inventory"] == "dualtrack.cli.engine_inventory"
    loaded = (
        "import sys, dualtrack.cli.main as m; m.parser(['engine', 'inventory']); print('kopf' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_a_reader_that_stops_early_is_no_error(minio_drive: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "dualtrack.cli.main",
        "engine",
        "inventory",
        "--format",
        "jsonl",
        "--drive",
    ]
    shell = subprocess.Popen([*command, str(minio_drive)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert shell.stdout is not None
    assert shell.stderr is not None
    shell.stdout.readline()
    shell.stdout.close()
    with shell.stderr:
        assert shell.stderr.read() == b""
    assert shell.wait() == 0
