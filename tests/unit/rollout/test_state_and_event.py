"""The table of state × event: at every station of the way, what must stop everything does stop everything."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from outside import Operator
from way_data import PLACES

At = Callable[[str], Operator]


def suspend(operator: Operator) -> None:
    operator.world.migration["spec"]["suspend"] = True


def pause(operator: Operator) -> None:
    operator.command("pause.1.p1")


def blind(operator: Operator) -> None:
    operator.world.blind = True


def claim_lost(operator: Operator) -> None:
    assert operator.world.lease is not None
    operator.world.lease["spec"]["holderIdentity"] = "another"
    operator.world.holder_exists = True


def target_replaced(operator: Operator) -> None:
    assert operator.world.deployment is not None
    operator.world.deployment["metadata"]["uid"] = "another"


STOPS = (suspend, pause, blind, claim_lost, target_replaced)


@pytest.mark.parametrize("stop", STOPS, ids=lambda s: s.__name__)
@pytest.mark.parametrize("place", PLACES[1:])
def test_nothing_goes_forward(at: At, place: str, stop: Callable[[Operator], None]) -> None:
    operator = at(place)
    applied, created = list(operator.world.environments), list(operator.world.created_jobs)
    stop(operator)
    operator.pass_time(30)
    assert operator.place == place
    assert operator.world.environments == applied
    assert operator.world.created_jobs == created
    assert operator.status["message"]
