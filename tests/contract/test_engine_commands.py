"""The engine's commands as people and Jobs run them: processes, exit codes, results, signals, a live
server.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualtrack.engine.objects.types import Attributes
from layers import Body, new_drive, opened

Drives = Callable[[str], Path]


def command(verb: str, *options: str | Path) -> list[str]:
    code = "import sys; from dualtrack.cli.main import main; sys.exit(main())"
    return [sys.executable, "-c", code, "engine", *verb.split(), *map(str, options)]


def run(verb: str, *options: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(command(verb, *options), capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == code, ended.stderr
    return ended


@pytest.fixture
def drive(drives: Drives) -> Path:
    return drives("minio-single") / "d1"


@pytest.fixture
def both(drive: Path, tmp_path: Path) -> tuple[str, ...]:
    return ("--drive", str(drive), "--store", str(tmp_path / "kv"))


def test_export_of_the_store_is_the_inventory_of_the_drive(
    drive: Path, both: tuple[str, ...], tmp_path: Path
) -> None:
    run("migrate", *both)
    run("verify", *both)
    inventory = run("inventory", "--drive", drive, "--format", "jsonl").stdout
    export = run("export", "--store", tmp_path / "kv", "--format", "jsonl").stdout
    assert export == inventory
    assert len(export.splitlines()) > 2_000


def test_a_difference_has_its_own_exit_code_and_is_named_in_the_result(
    drive: Path, both: tuple[str, ...], tmp_path: Path
) -> None:
    run("migrate", *both)
    path = next(path for path in sorted(drive.glob("*/*/xl.meta")) if not path.parts[-3].startswith("."))
    path.chmod(0o600)
    result = tmp_path / "result"
    ended = run("verify", *both, "--result-file", result, code=51)
    assert path.parent.name in ended.stderr
    found = json.loads(result.read_text())
    assert (found["ok"], found["exitCode"], found["counts"]["differences"]) == (False, 51, 1)
    assert found["unreadable"] == [f"{path.parts[-3]}/{path.parts[-2]}: attributes"]


def start(verb: str, *options: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(verb, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_second_run_beside_the_first_is_refused(both: tuple[str, ...], tmp_path: Path) -> None:
    pace = tmp_path / "pace"
    pace.write_text('{"objectsPerDay": 1000}')
    with start("migrate", *both, "--pace-file", pace, "--progress", "json") as first:
        assert first.stdout is not None
        line = json.loads(first.stdout.readline())
        assert (line["event"], line["verb"]) == ("progress", "migrate")
        refused = run("migrate", *both, code=31)
        assert "owned by another process" in refused.stderr
        first.send_signal(signal.SIGTERM)
        first.communicate()
        assert first.returncode == 50


def test_sigterm_leaves_a_checkpoint_and_a_result_at_once(both: tuple[str, ...], tmp_path: Path) -> None:
    pace, result = tmp_path / "pace", tmp_path / "result"
    pace.write_text('{"objectsPerDay": 1000}')
    options = ("--pace-file", pace, "--progress", "json", "--result-file", result)
    with start("migrate", *both, *options) as sweep:
        assert sweep.stdout is not None
        sweep.stdout.readline()
        asked = time.monotonic()
        sweep.send_signal(signal.SIGTERM)
        sweep.communicate()
        assert time.monotonic() - asked < 5
        assert sweep.returncode == 50
    found = json.loads(result.read_text())
    assert (found["ok"], found["message"]) == (False, "interrupted")
    run("migrate", *both, "--result-file", result)
    counts = json.loads(result.read_text())["counts"]
    assert 0 < counts["applied"] < counts["scanned"]
    run("verify", *both)


@pytest.mark.parametrize("seed", range(3))
def test_a_sweep_that_is_killed_again_and_again_ends_as_an_undisturbed_one(
    both: tuple[str, ...], tmp_path: Path, drive: Path, seed: int
) -> None:
    moments = random.Random(seed)
    kills = 0
    for _ in range(6):
        with start("migrate", *both) as sweep:
            try:
                sweep.communicate(timeout=moments.uniform(0.15, 0.9))
            except subprocess.TimeoutExpired:
                os.kill(sweep.pid, signal.SIGKILL)
                kills += 1
    assert kills
    run("migrate", *both)
    run("verify", *both)
    inventory = run("inventory", "--drive", drive, "--format", "jsonl").stdout
    assert run("export", "--store", tmp_path / "kv").stdout == inventory


def test_the_marker_moves_on_proof(drive: Path, both: tuple[str, ...]) -> None:
    run("mark", *both, "--state", "DualWrite", "--migration-uid", "m1")
    assert "run verify first" in run("mark", *both, "--state", "KvPrimary", code=41).stderr
    run("migrate", *both)
    run("verify", *both)
    run("mark", *both, "--state", "KvPrimary", "--migration-uid", "m1")
    assert json.loads((drive / ".dualtrack/marker.json").read_text())["migrationUID"] == "m1"


def write_until(layer: Any, stop: threading.Event, number: int, written: dict[str, bytes | None]) -> None:
    """Puts, overwrites and deletes, each noted once it is acknowledged."""
    chance = random.Random(number)
    while not stop.is_set():
        key = f"{number}/key-{chance.randrange(40)}"
        if chance.random() < 0.25 and written.get(key) is not None:
            layer.delete("load", key, None)
            written[key] = None
        else:
            content = chance.randbytes(chance.randrange(10, 2_000))
            layer.put("load", key, Body(content), Attributes())
            written[key] = content


def test_beside_a_server_that_writes_nothing_is_lost_or_brought_back(tmp_path: Path) -> None:
    """Jobs as clients of a live data plane in fs/1: sweep twice, verify while the load goes on."""
    drive, result = new_drive(tmp_path / "drive"), tmp_path / "result"
    store = drive / ".dualtrack/store"
    with opened(drive, "fs/0") as layer:
        layer.create_bucket("load")
        for i in range(300):
            layer.put("load", f"old/{i}", Body(b"old" * i), Attributes())
    job = ("--drive", drive, "--store", store, "--client-only", "--epoch", "2", "--result-file", result)
    stop = threading.Event()
    written: list[dict[str, bytes | None]] = [{} for _ in range(3)]
    with opened(drive, "fs/1", epoch=2, socket=True, drain=True) as layer:
        writers = [
            threading.Thread(target=write_until, args=(layer, stop, number, notes))
            for number, notes in enumerate(written)
        ]
        for writer in writers:
            writer.start()
        try:
            run("migrate", *job, "--run-id", "sweep-1", "--fence", "1")
            run("verify", *job, "--run-id", "verify-1", "--fence", "2")
            run("migrate", *job, "--run-id", "sweep-2", "--fence", "3")
            refused = run("migrate", *job, "--run-id", "old", "--fence", "2", code=42)
            assert "sweep-2" in refused.stderr
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        run("verify", *job, "--run-id", "verify-2", "--fence", "4")
        digest = json.loads(result.read_text())["digest"]
        assert int(digest.rpartition("/")[2]) > 300
    exported = [json.loads(line) for line in run("export", "--store", store).stdout.splitlines()]
    expected = {key: content for notes in written for key, content in notes.items() if content is not None}
    expected |= {f"old/{i}": b"old" * i for i in range(300)}
    found = {entry["key"]: entry["size"] for entry in exported if entry["bucket"] == "load"}
    assert found == {key: len(content) for key, content in expected.items()}
