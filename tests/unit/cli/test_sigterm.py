"""SIGTERM in verbs that only read: a code of its own, a result, and nothing half left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dualtrack.cli.main import main

COMMAND = (sys.executable, "-m", "dualtrack.cli.main", "engine")


@pytest.fixture(scope="module")
def store(minio_drive: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("kv")
    subprocess.run(["cp", "--archive", str(minio_drive), str(folder / "d1")], check=True)
    path = str(folder / "store")
    assert main(["engine", "migrate", "--drive", str(folder / "d1"), "--store", path]) == 0
    return path


@pytest.mark.parametrize("words", [["export"], ["find", "--format", "jsonl"]])
def test_a_listing_that_nobody_reads_on_ends_at_once(store: str, words: list[str]) -> None:
    command = [*COMMAND, *words, "--store", store]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as reader:
        assert reader.stdout is not None
        assert reader.stderr is not None
        assert reader.stdout.read(1) == b"{"  # the rest is far more than a pipe takes
        reader.send_signal(signal.SIGTERM)
        assert reader.wait(timeout=30) == 50
        assert reader.stderr.read() == b"dualtrack: interrupted\n"


def test_an_inventory_leaves_a_result_and_no_part_of_its_file(minio_drive: Path, tmp_path: Path) -> None:
    out, result = tmp_path / "out.jsonl", tmp_path / "result"
    partial = Path(f"{out}.partial")
    os.mkfifo(partial)
    options = ["--format", "jsonl", "--out", str(out), "--result-file", str(result)]
    with subprocess.Popen([*COMMAND, "inventory", "--drive", str(minio_drive), *options]) as inventory:
        with partial.open("rb", buffering=0) as written:
            assert written.read(1) == b"{"
            inventory.send_signal(signal.SIGTERM)
            while written.read(1 << 16):
                pass
        assert inventory.wait(timeout=30) == 50
    assert list(tmp_path.glob("out*")) == []
    found = json.loads(result.read_text())
    assert (found["verb"], found["ok"], found["exitCode"]) == ("inventory", False, 50)
    assert found["message"] == "interrupted"
