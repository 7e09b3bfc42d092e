"""A power cut at any moment of `rebuild` and `restore-store`: a whole store at the path, the old one kept.

More states, each flush taken out once, and the way on from them are in tests/long.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from logged import gone_on
from store_crashes import Way, recorded, violations
from sweepbench import Bench

SEED = 20261126
STATES = 1_500


@pytest.fixture
def rebuilt(bench: Bench) -> Way:
    return recorded(bench.drive, "rebuild")


@pytest.fixture
def restored(tmp_path: Path) -> Way:
    place = gone_on(tmp_path)
    sources = ("--snapshot", str(place.copy), "--row-log", str(place.log))
    return recorded(place.drive, "restore-store", *sources)


@pytest.mark.parametrize("verb", ["rebuilt", "restored"])
def test_a_store_that_takes_anothers_place_survives_a_power_cut_anywhere(
    verb: str, request: pytest.FixtureRequest
) -> None:
    way = request.getfixturevalue(verb)
    assert way.old != way.new
    for state in way.log.states(STATES, SEED):
        assert violations(way, state) == [], (state.at, way.log.ops[state.at - 1])
