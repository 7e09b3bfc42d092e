"""A power cut at any moment of hold, purge, directories and restore: whatever it leaves, nothing is lost.

Killed processes cannot show a missing flush, because the kernel keeps what they wrote; the model of
`tests/support/crashsim.py` loses it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cleanup_crashes import Way, overwritten_in_kv_only, recorded, violations

SEED = 20261126
STATES = 1_500

Copy = Callable[[Path], object]


@pytest.fixture
def way(copies: Copy, migrated_tiny: Path, tmp_path: Path) -> Way:
    return recorded(copies(migrated_tiny), tmp_path / "copy")


@pytest.fixture
def undoing(copies: Copy, migrated_tiny: Path, tmp_path: Path) -> Way:
    bench = copies(migrated_tiny)
    overwritten_in_kv_only(bench)
    return recorded(bench, tmp_path / "copy", undo=True)


def test_the_whole_way_survives_a_power_cut_anywhere(way: Way) -> None:
    assert len(way.files) == 9
    for state in way.log.states(STATES, SEED):
        assert violations(way, state) == [], (state.at, way.log.ops[state.at - 1])


def test_a_restore_over_older_files_survives_a_power_cut_anywhere(undoing: Way) -> None:
    assert undoing.restored != undoing.files
    for state in undoing.log.states(STATES, SEED):
        assert violations(undoing, state) == [], (state.at, undoing.log.ops[state.at - 1])
