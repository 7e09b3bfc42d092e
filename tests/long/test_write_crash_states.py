"""A power cut at any moment of a data plane's writes, on every plane, and each flush left out once.

Every state is laid out as a drive and opened again: what was answered is there, what was not is there whole
or not at all, and both tracks say the same.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import write_crashes
from crashsim import Log
from dualtrack.engine.objects.levels import Level

PLANES = [
    ("fs/1", Level.EVENTUAL),
    ("fs/1", Level.STRONG),
    ("fs/1", Level.LAZY),
    ("kv_primary/1/true", Level.EVENTUAL),
    ("kv_primary/1/true", Level.STRONG),
    ("kv_only", Level.EVENTUAL),
    ("returning", Level.EVENTUAL),
]
STATES = 500
UNSEEN = {
    "engine/marker.py:write": "the marker is that of before; its moves are in test_crash_states.py",
    "engine/journal.py:open": "the journal was there before, so its name is durable",
    "engine/objects/fs_track.py:commit_data": "of its two, the later one is repeated by the metadata's "
    "where files lead; where rows do it is noticed",
    "engine/objects/trash.py:sync": "an intent whose staged file is lost does nothing, and was not answered",
}
"""Flushes that no rule needs on some plane, by function, each with its reason."""


@pytest.mark.parametrize(("mode", "level"), PLANES)
def test_no_state_after_a_power_cut_has_lost_or_torn_a_write(
    tmp_path: Path, mode: str, level: Level, seed: int, tell: Callable[[str], None]
) -> None:
    written = write_crashes.recorded(write_crashes.filled(tmp_path / "drive"), mode, level)
    for state in written.log.states(STATES, seed):
        assert write_crashes.restarted(written, state, tmp_path / "again") == [], state.at
    tell(f"write crash states: {STATES} of {mode} {level}, {len(written.log.ops)} operations, 0 lost")


@pytest.mark.parametrize(("mode", "level"), PLANES)
def test_each_flush_that_is_left_out_is_noticed(
    tmp_path: Path, mode: str, level: Level, seed: int, tell: Callable[[str], None]
) -> None:
    written = write_crashes.recorded(write_crashes.filled(tmp_path / "drive"), mode, level)
    unseen = []
    for site in written.log.sites:
        why = _noticed(written, written.log.without(site), tmp_path / "again", seed)
        function = site.split(" > ")[0].rsplit(":", 1)[0]
        tell(f"{mode} {level} without {site}: {why or UNSEEN.get(function, 'NOT NOTICED')}")
        if not why and function not in UNSEEN:
            unseen.append(site)
    assert unseen == []


def _noticed(written: write_crashes.Written, mutant: Log, again: Path, seed: int) -> str:
    """The first thing that is wrong; empty if nothing is."""
    for state in mutant.states(2 * len(mutant.ops), seed):
        if wrong := write_crashes.restarted(written, state, again):
            return wrong[0]
    return ""
