"""A cache or a checkout that was moved or copied works where it is now."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dtlab.wheels import pip

ROOT = Path(__file__).resolve().parents[3]


def test_pip_of_a_moved_cache_still_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    make = [sys.executable, "-m", "venv", "--without-pip", "--system-site-packages"]
    subprocess.run([*make, str(first / "uv-tool")], check=True)
    first.rename(second)
    monkeypatch.setenv("DUALTRACK_CACHE", str(second))
    done = subprocess.run([*pip()[:1], "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True)
    assert done.stdout.strip() == str(second / "uv-tool")
    assert pip()[1:] == ["-m", "pip"]


@pytest.mark.parametrize(("place", "kept"), [("", True), ("{}", True), ("/elsewhere", False)])
def test_a_copied_checkout_does_not_use_the_virtual_environment_of_the_first(
    tmp_path: Path, place: str, kept: bool
) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    venv = tmp_path / ".venv"
    venv.mkdir()
    (venv / "something").touch()
    if place:
        (venv / ".place").write_text(place.format(tmp_path) + "\n")
    subprocess.run(["make", "-C", str(tmp_path), "help"], check=True, capture_output=True)
    assert venv.exists() is kept
