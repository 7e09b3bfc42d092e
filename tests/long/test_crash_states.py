"""More than 10,000 states that a power cut may leave, each flush taken out once, and the way on from them.

The table of flushes is made by the run itself: whoever adds one is told by the last test whether the model
sees it missing, and has to say why not.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cleanup_crashes import Store, Way, overwritten_in_kv_only, recorded, violations
from crashsim import State
from dualtrack.engine.restore import restore

STATES = 12_000
RECOVERED = 60

UNSEEN = {
    "engine/auditlog.py:__init__": "names of one folder survive in order, and every step flushes a later one",
    "engine/journal.py:open": "an empty journal that is lost is made again; its marks are flushed one by one",
    "engine/lock.py:_raise_fence": "a fence stops processes of this machine, and a power cut ends them all",
    "engine/cleanup/identity.py:give_identity_back": "of its two, the later one is repeated by the marker's",
    "engine/cleanup/purge.py:_remove_folders": "an empty folder that comes back holds nothing",
    "engine/put_back.py:_announce": "it is for what somebody else writes meanwhile, and here nobody does",
    "engine/put_back.py:discard_staged": "a staging folder that is lost held nothing that was promised",
}
"""Flushes that no rule needs, by function, each with its reason."""


@pytest.fixture
def ways(copies: Callable[[Path], object], migrated_tiny: Path, tmp_path: Path) -> dict[str, Way]:
    bench = copies(migrated_tiny)
    undone = copies(migrated_tiny)
    overwritten_in_kv_only(undone)
    return {
        "whole way": recorded(bench, tmp_path / "copy"),
        "restore over older files": recorded(undone, tmp_path / "copy2", undo=True),
    }


def test_no_state_after_a_power_cut_has_lost_anything(
    ways: dict[str, Way], seed: int, tell: Callable[[str], None]
) -> None:
    for name, way in ways.items():
        for state in way.log.states(STATES, seed):
            assert violations(way, state) == [], (name, state.at)
        tell(f"crash states: {STATES} of {name}, {len(way.log.ops)} operations, 0 lost")


def test_each_flush_that_is_left_out_is_noticed(
    ways: dict[str, Way], seed: int, tell: Callable[[str], None]
) -> None:
    noticed: dict[str, str] = {}
    for way in ways.values():
        for site in way.log.sites:
            mutant = way.log.without(site)
            for state in mutant.states(3 * len(mutant.ops), seed):
                if found := violations(way, state):
                    noticed.setdefault(site, found[0])
                    break
    every = {site for way in ways.values() for site in way.log.sites}
    unseen = sorted(site for site in every - noticed.keys() if _function(site) not in UNSEEN)
    for site in sorted(every):
        tell(f"without {site}: {noticed.get(site) or UNSEEN.get(_function(site), 'NOT NOTICED')}")
    assert unseen == []
    assert len(noticed) >= 14


def _function(site: str) -> str:
    return site.split(" > ")[0].rsplit(":", 1)[0]


def test_a_restore_from_any_state_brings_every_file_back(
    ways: dict[str, Way], seed: int, tmp_path: Path, copies: Callable[[Path], object], migrated_tiny: Path
) -> None:
    """The real restore, on drives as power cuts have left them."""
    way = ways["whole way"]
    rng = random.Random(seed)
    bench = copies(migrated_tiny)
    for number in range(RECOVERED):
        state = way.log.crash(rng.randrange(2, len(way.log.ops)), rng)
        _lay_out(state, bench)
        bench.run(restore)
        for path, data in way.files.items():
            assert (bench.drive / path).read_bytes() == data, (number, state.at, path)


def _lay_out(state: State, bench) -> None:
    """The drive and its store as they are after the power cut."""
    shutil.rmtree(bench.drive)
    bench.drive.mkdir()
    for path, data in sorted(state.tree.items()):
        target = bench.drive / path
        if data is None:
            target.mkdir(exist_ok=True)
        else:
            target.write_bytes(data)
    bench.store.mkdir(parents=True)
    store = next(mark for mark in reversed(state.marks) if isinstance(mark, Store))
    (bench.store / "data.mdb").write_bytes(store.file)
