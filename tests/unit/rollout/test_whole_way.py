"""From Pending to Complete over the model of the outside, undisturbed and with every kind of restart."""

from __future__ import annotations

from outside import Operator, world

from dualtrack.api import names


def test_the_whole_way_to_complete() -> None:
    operator = Operator(world())
    operator.complete()
    print("\n".join(operator.places))
