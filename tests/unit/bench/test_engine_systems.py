"""The engine's modes, really measured: small, on drives that are gone afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dtlab.shell import wait_for
from dualtrack.bench import machine
from dualtrack.bench.engine import SETUPS, EngineSystem, check_room
from dualtrack.bench.measuring import Bench
from dualtrack.bench.system import OperationFailed
from dualtrack.bench.workloads import Payload, Sizes, Workload
from dualtrack.cli.main import main
from dualtrack.errors import DifferenceError, RefusedError, UsageError

SMALL = [
    "--objects",
    "12",
    "--large-objects",
    "2",
    "--large-size",
    "200000",
    "--rounds",
    "2",
    "--listings",
    "1",
]


def test_every_mode_is_measured_with_right_answers_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work, chart = tmp_path / "work", tmp_path / "chart.svg"
    work.mkdir()

    code = main(["bench", "--work-dir", str(work), *SMALL, "--format", "json", "--chart", str(chart)])

    document = json.loads(capsys.readouterr().out)
    assert code == 0
    assert [each["name"] for each in document["systems"]] == list(SETUPS)
    assert {each["workload"] for each in document["results"]} == set(Workload)
    assert all(each["count"] and not each["failed"] for each in document["results"])
    sent = {
        each["system"]: each["sentInFull"] for each in document["results"] if each["workload"] == "instant"
    }
    assert sent == {"fs": 2, "dual": 2, "strong": 2, "lazy": 2, "kv_primary": 0, "kv_only": 0}
    assert list(work.iterdir()) == []
    assert chart.read_text().startswith("<svg")


def test_a_signal_ends_the_run_and_removes_the_scratch_drives(tmp_path: Path) -> None:
    words = ["--work-dir", str(tmp_path), "--systems", "kv_only,dual", "--workloads", "small", "--rounds=500"]
    command = [sys.executable, "-m", "dualtrack.cli.main", "bench", *words]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        wait_for("objects", lambda: any(tmp_path.glob("*-dual-small/bench/small/*")), seconds=60)
        child.terminate()
        _, told = child.communicate(timeout=60)
    finally:
        child.kill()

    assert (child.returncode, told) == (50, "dualtrack: interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_in_kv_only_objects_have_no_metadata_file_and_listings_come_from_the_index(tmp_path: Path) -> None:
    place = EngineSystem("kv_only", str(tmp_path), "id").open(Workload.SMALL)
    try:
        with place.session() as session:
            session.put("a/b", Payload.of(b"x"))
            assert session.page("", "") == (["a/b"], "")
            assert session.get("a/b") == b"x"
            with pytest.raises(OperationFailed, match="a/c: NoSuchKey"):
                session.get("a/c")
        assert not list(tmp_path.glob("*/bench/**/xl.meta"))
    finally:
        assert place.remove() == []
    assert list(tmp_path.iterdir()) == []


def test_a_scratch_directory_that_is_there_already_is_refused_and_stays(tmp_path: Path) -> None:
    theirs = tmp_path / "dualtrack-bench-id-dual-small"
    theirs.mkdir()
    (theirs / "file").write_text("theirs")
    systems = [EngineSystem(name, str(tmp_path), "id") for name in ("fs", "dual")]

    with pytest.raises(RefusedError, match="dualtrack-bench-id-dual-small is there already"):
        Bench(systems, Sizes(objects=1, rounds=1), 7).run([Workload.SMALL])

    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == [
        theirs.name,
        f"{theirs.name}/file",
    ]


def test_damage_on_the_drive_is_an_error_and_no_figure(tmp_path: Path) -> None:
    """A byte of a part file that turns between the write and the read."""
    bench = Bench([EngineSystem("fs", str(tmp_path), "id")], Sizes(large_objects=1, rounds=1), 7)

    def flip(what: str, done: int, total: int) -> None:
        if "read" in what:
            (part,) = tmp_path.glob("*/bench/**/part.1")
            content = bytearray(part.read_bytes())
            content[1000] ^= 1
            part.write_bytes(content)

    bench.report = flip
    bench.run([Workload.LARGE])

    assert bench.measured["read 1 MiB", "fs"].failed == 1
    assert not bench.measured["read 1 MiB", "fs"].times
    assert len(bench.failures) == 1
    assert list(tmp_path.iterdir()) == []


def test_content_of_another_object_is_a_difference(tmp_path: Path) -> None:
    """Sound bytes, but those of another key."""
    bench = Bench([EngineSystem("fs", str(tmp_path), "id")], Sizes(objects=2, rounds=1), 7)

    def swap(what: str, done: int, total: int) -> None:
        if "read" in what:
            one, two = tmp_path.glob("*/bench/small/*/xl.meta")
            first, second = one.read_bytes(), two.read_bytes()
            one.write_bytes(second)
            two.write_bytes(first)

    bench.report = swap
    with pytest.raises(DifferenceError, match="fs answered small/0000000"):
        bench.run([Workload.SMALL])

    assert list(tmp_path.iterdir()) == []


def test_the_report_says_which_file_system_was_measured(tmp_path: Path) -> None:
    assert EngineSystem("fs", "/dev/shm", "id").told == "engine, fs/0/true eventual, in /dev/shm (tmpfs)"
    kind = subprocess.run(["stat", "-fc", "%T", tmp_path], capture_output=True, text=True, check=True).stdout
    # What the kernel's list of mounts calls ext4, `stat` calls by the magic number of all three.
    assert machine.file_system(str(tmp_path)) in {"ext2/ext3": ("ext2", "ext3", "ext4")}.get(
        kind.strip(), (kind.strip(), "overlay")
    )


def test_a_disk_that_is_too_small_is_refused_with_figures(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"\d GB needed for 6 systems"):
        check_room(str(tmp_path), 6, Sizes(objects=10**12))


def test_a_work_dir_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--work-dir .*absent"):
        check_room(str(tmp_path / "absent"), 1, Sizes())


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "nothing to measure"),
        (["--systems", "fs"], "--work-dir"),
        (["--work-dir", ".", "--systems", "fs,warp"], "'warp' is none of fs, dual"),
        (["--work-dir", ".", "--workloads", "tiny"], "'tiny' is none of small"),
        (["--work-dir", ".", "--chart", "/absent/chart.svg"], "its directory is not there"),
        (["--work-dir", ".", "--id", "../up"], "letters, digits and dashes"),
        (["--endpoint", "http://h:1"], "AWS_SECRET_ACCESS_KEY"),
        (["--endpoint", "http://h:1", "--access-key", "a"], "AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_a_wrong_command_line_says_what_to_do(
    given: list[str], told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)

    assert main(["bench", *given]) == UsageError.exit_code
    assert told in capsys.readouterr().err
