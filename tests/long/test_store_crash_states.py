"""More than 10,000 states that a power cut may leave of `rebuild` and of `restore-store`, each flush taken
out once, and the verb run again on what was left."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from crashsim import State
from dualtrack.cli.main import main
from logged import Place, gone_on
from store_crashes import Way, recorded, violations

STATES = 12_000
AGAIN = 40

UNSEEN = {
    "engine/auditlog.py:__init__": "names of one folder survive in order, and every step flushes a later one",
    "engine/lock.py:_raise_fence": "a fence stops processes of this machine, and a power cut ends them all",
    "engine/replacing.py:begin": "its folder, if lost, held nothing; its empty note is the first name in it",
    "engine/stores/lmdb.py:open": "all of the new store is flushed again before the exchange",
}
"""Flushes that no rule of these ways needs, by function, each with its reason."""


@pytest.fixture
def drive(migrated_tiny: Path, tmp_path: Path) -> Path:
    place = tmp_path / "d1"
    subprocess.run(["cp", "--archive", "--sparse=always", str(migrated_tiny), str(place)], check=True)
    return place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return gone_on(tmp_path)


@pytest.fixture
def commands(drive: Path, place: Place) -> dict[str, tuple[Path, tuple[str, ...]]]:
    sources = ("--snapshot", str(place.copy), "--row-log", str(place.log))
    return {"rebuild": (drive, ("rebuild",)), "restore-store": (place.drive, ("restore-store", *sources))}


@pytest.mark.parametrize("verb", ["rebuild", "restore-store"])
def test_no_state_after_a_power_cut_lacks_a_store(
    commands: dict[str, tuple[Path, tuple[str, ...]]], verb: str, seed: int, tell: Callable[[str], None]
) -> None:
    drive, command = commands[verb]
    way = recorded(drive, *command)
    for state in way.log.states(STATES, seed):
        assert violations(way, state) == [], state.at
    tell(f"crash states: {STATES} of {verb}, {len(way.log.ops)} operations, no store lost")


@pytest.mark.parametrize("verb", ["rebuild", "restore-store"])
def test_each_flush_that_is_left_out_is_noticed(
    commands: dict[str, tuple[Path, tuple[str, ...]]], verb: str, seed: int, tell: Callable[[str], None]
) -> None:
    drive, command = commands[verb]
    way = recorded(drive, *command)
    unseen = []
    for site in way.log.sites:
        found = _noticed(way, site, seed)
        reason = UNSEEN.get(site.split(" > ")[0].rsplit(":", 1)[0])
        tell(f"{verb} without {site}: {found or reason or 'NOT NOTICED'}")
        if not found and not reason:
            unseen.append(site)
    assert unseen == []


def _noticed(way: Way, site: str, seed: int) -> str:
    mutant = way.log.without(site)
    for state in mutant.states(3 * len(mutant.ops), seed):
        if found := violations(way, state):
            return found[0]
    return ""


@pytest.mark.parametrize("verb", ["rebuild", "restore-store"])
def test_the_verb_run_again_makes_the_same_store_from_any_state(
    commands: dict[str, tuple[Path, tuple[str, ...]]], verb: str, seed: int, tmp_path: Path
) -> None:
    drive, command = commands[verb]
    way = recorded(drive, *command)
    rng = random.Random(seed)
    for number in range(AGAIN):
        state = way.log.crash(rng.randrange(1, len(way.log.ops)), rng)
        _lay_out(state, drive)
        assert main(["engine", command[0], "--drive", str(drive), *command[1:]]) == 0, (number, state.at)
        kept = {path.read_bytes() for path in drive.glob(".dualtrack/store.replaced-*/data.mdb")}
        assert way.old in kept or way.new in kept, (number, state.at)
        assert main(["engine", "scrub", "--drive", str(drive)]) == 0


def _lay_out(state: State, drive: Path) -> None:
    """The drive as it is after the power cut."""
    shutil.rmtree(drive)
    drive.mkdir()
    for path, data in sorted(state.tree.items()):
        target = drive / path
        if data is None:
            target.mkdir(exist_ok=True)
        else:
            target.write_bytes(data)
