"""A log's owner killed at the first and the last of each call that changes something; all in `tests/long`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from logkills import Killing, begun_anywhere, copied_anywhere, first_and_last, restored_anywhere

pytestmark = pytest.mark.skipif(
    subprocess.run(["which", "strace"], capture_output=True).returncode != 0, reason="strace is not installed"
)


def test_commits_killed_anywhere_loses_nothing_acknowledged(tmp_path: Path) -> None:
    assert Killing(tmp_path).writer(first_and_last) > 8


def test_row_log_start_killed_anywhere_loses_nothing_acknowledged(tmp_path: Path) -> None:
    assert begun_anywhere(tmp_path, first_and_last) > 8


def test_snapshot_killed_anywhere_loses_nothing_acknowledged(tmp_path: Path) -> None:
    assert copied_anywhere(tmp_path, first_and_last) > 10


def test_restore_store_killed_anywhere_loses_nothing_acknowledged(tmp_path: Path) -> None:
    assert restored_anywhere(tmp_path, first_and_last) > 10
