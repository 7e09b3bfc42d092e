"""`make test-long` runs every long suite once, in one of its lanes."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
_SPEC = importlib.util.spec_from_file_location("test_long_runner", ROOT / "hack" / "test_long.py")
assert _SPEC is not None
assert _SPEC.loader is not None
runner = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(runner)


def test_every_long_suite_runs_in_exactly_one_lane() -> None:
    lanes = runner.lanes()
    assert len(lanes) == 3
    assert Counter(suite for lane in lanes for suite in lane) == Counter(ROOT.glob("tests/long/test_*.py"))
