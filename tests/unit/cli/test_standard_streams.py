"""Standard output that is closed, full or read by nobody: the exit code is still the work's, and the store's
files never stand in for a stream.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from dualtrack.cli.main import main
from smalldrive import small_bench

SHELL = f'exec {sys.executable} -m dualtrack.cli.main engine "$@" '
FULL = "/dev/full"


@pytest.fixture
def drive(minio_drive: Path, tmp_path: Path) -> Path:
    """Migrated, with its store in the usual place."""
    bench = small_bench(minio_drive, tmp_path, 20)
    assert main(["engine", "migrate", "--drive", str(bench.drive)]) == 0
    return bench.drive


def shell(redirection: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """An engine verb as a shell starts it."""
    command = ["bash", "-c", SHELL + redirection, "bash", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def unread(*arguments: str, errors_too: bool = False) -> int:
    """The exit code of a verb whose standard output nobody reads any more when it begins."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        errors = writing if errors_too else subprocess.DEVNULL
        command = [sys.executable, "-m", "dualtrack.cli.main", "engine", *arguments]
        return subprocess.run(command, stdout=writing, stderr=errors, check=False, timeout=60).returncode
    finally:
        os.close(writing)


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls", "bkt", "--store"],
        ["export", "--store"],
        ["export", "--format", "csv", "--store"],
        ["du", "--store"],
    ],
)
def test_a_listing_that_does_not_fit_is_no_success(drive: Path, arguments: list[str]) -> None:
    ended = shell(f">{FULL}", *arguments, f"{drive}/.dualtrack/store")
    assert ended.returncode == 50
    assert ended.stderr.startswith("dualtrack: standard output: No space left on device")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("errors_too", [False, True])
def test_a_verb_goes_on_where_nobody_reads_its_progress(
    drive: Path, tmp_path: Path, errors_too: bool
) -> None:
    result = tmp_path / "result"
    options = ["--drive", str(drive), "--progress", "json", "--result-file", str(result)]
    assert unread("verify", *options, errors_too=errors_too) == 0
    assert json.loads(result.read_text())["counts"]["equal"] == 20


def test_a_failure_keeps_its_code_where_nobody_reads_of_it(drive: Path) -> None:
    next(drive.glob("bkt/*/xl.meta")).write_bytes(b"XL2 no longer")
    assert unread("verify", "--drive", str(drive), errors_too=True) == 51


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_no_file_of_ours_takes_the_place_of_a_closed_stream(drive: Path, closed: str) -> None:
    assert shell(closed, "verify", "--drive", str(drive)).returncode == 0
    assert shell(closed, "ls", "--store", f"{drive}/.dualtrack/store").returncode == 0
    assert shell(closed, "scrub", "--drive", str(drive)).returncode == 0
    assert shell("", "scrub", "--drive", str(drive)).returncode == 0


@pytest.mark.parametrize("place", ["/nowhere/result", "/"])
def test_a_result_file_that_cannot_be_is_named_before_the_work(drive: Path, place: str) -> None:
    ended = shell("", "verify", "--drive", str(drive), "--result-file", place)
    assert ended.returncode == 2
    assert f"--result-file {place}: " in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_success_that_cannot_be_left_as_a_result_is_none(drive: Path) -> None:
    ended = shell("", "verify", "--drive", str(drive), "--result-file", FULL)
    assert ended.returncode == 50
    assert "the run ended with 0: files and rows of" in ended.stderr


def test_export_makes_no_store_where_none_is(tmp_path: Path) -> None:
    ended = shell("", "export", "--store", str(tmp_path / "none"))
    assert ended.returncode == 2
    assert "there is no store; migrate makes one" in ended.stderr
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "--drive", "/", "--fence", "-1"], "--fence: '-1' is no whole number from 0"),
        (["migrate", "--drive", "/", "--concurrency", "0"], "'0' is no whole number from 1 to 256"),
        (["verify", "--drive", ""], "'' is no directory"),
        (["ls", "--store", ""], "--store is empty"),
        (["ls", "--store", "mysql://db/x"], "--store mysql://…: no such kind of store"),
    ],
)
def test_words_that_cannot_be_meant_are_named(arguments: list[str], message: str) -> None:
    ended = shell("", *arguments)
    assert ended.returncode in (2, 20)
    assert message in ended.stderr


@pytest.fixture(scope="module")
def store(minio_drive: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """All of a real drive's rows, to be read only."""
    folder = tmp_path_factory.mktemp("streams")
    subprocess.run(["cp", "--archive", str(minio_drive), str(folder / "d1")], check=True)
    assert main(["engine", "migrate", "--drive", str(folder / "d1"), "--store", str(folder / "kv")]) == 0
    return str(folder / "kv")


@pytest.mark.parametrize("words", [["find", "-0"], ["export"], ["ls", "odd-keys", "-r"]])
def test_names_are_utf8_whatever_the_locale_is(store: str, words: list[str]) -> None:
    command = [sys.executable, "-m", "dualtrack.cli.main", "engine", *words, "--store", store]
    ascii_alone = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LANG": ""}
    outputs = [
        subprocess.run(command, env=os.environ | changed, capture_output=True, check=True).stdout
        for changed in ({}, ascii_alone)
    ]
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) > 500


def test_a_table_on_a_narrow_terminal_leaves_nothing_out(drive: Path) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 40))
    command = [sys.executable, "-m", "dualtrack.cli.main", "engine", "history", "--drive", str(drive)]
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL) as process:
        os.close(theirs)
        told = b""
        with contextlib.suppress(OSError):  # EIO: the other end is closed, and all of it is read
            while part := os.read(ours, 4096):
                told += part
    os.close(ours)
    assert process.returncode == 0
    head, row = told.decode().splitlines()
    assert [word for word in ("state", "verb", "run", "by") if word in head] == ["state", "verb", "run", "by"]
    assert "migrate" in row
    assert "applied 20" in row


def test_an_output_file_that_does_not_fit_is_named_and_not_left(
    drive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    Path(f"{out}.partial").symlink_to(FULL)
    assert main(["engine", "inventory", "--drive", str(drive), "--format", "jsonl", "--out", str(out)]) == 50
    assert capsys.readouterr().err.startswith(f"dualtrack: --out {out}: No space left on device")
    assert list(tmp_path.glob("out*")) == []
