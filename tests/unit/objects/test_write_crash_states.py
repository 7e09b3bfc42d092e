"""A power cut at any moment of a write, in short; all planes and each flush are in tests/long."""

from __future__ import annotations

from pathlib import Path

import pytest

import write_crashes
from dualtrack.engine.objects.levels import Level

SEED = 20261126
STATES = 40


@pytest.mark.parametrize("mode", ["fs/1", "returning"])
def test_what_was_answered_survives_a_power_cut_whole_and_on_both_tracks(tmp_path: Path, mode: str) -> None:
    written = write_crashes.recorded(write_crashes.filled(tmp_path / "drive"), mode, Level.EVENTUAL)
    chosen = [*written.log.states(3 * len(written.log.ops), SEED)][:: 3 * len(written.log.ops) // STATES]
    for state in chosen:
        assert write_crashes.restarted(written, state, tmp_path / "again") == [], state.at


def test_a_mark_that_is_not_flushed_is_noticed(tmp_path: Path) -> None:
    written = write_crashes.recorded(write_crashes.filled(tmp_path / "drive"), "fs/1", Level.EVENTUAL)
    (mark,) = (site for site in written.log.sites if site.startswith("engine/journal.py:_sync"))
    mutant = written.log.without(mark)
    assert any(
        write_crashes.restarted(written, state, tmp_path / "again")
        for state in mutant.states(len(mutant.ops), SEED)
    )
