"""Twenty minutes of the life of a migration, each example from a seed of its own, printed."""

from __future__ import annotations

import time
from collections.abc import Callable

from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from lifecycle import Lifecycle

EXAMPLES = 20


def test_the_life_of_a_migration(
    seed: int, minutes: Callable[[float], float], tell: Callable[[str], None]
) -> None:
    end = time.monotonic() + minutes(20) * 60
    rounds = 0
    while time.monotonic() < end:
        _run(seed + rounds)
        rounds += 1
    tell(f"state machine: {rounds * EXAMPLES} lives of up to 40 steps, seeds {seed} to {seed + rounds - 1}")
    assert rounds


def _run(number: int) -> None:
    """A failure prints its steps and this number."""
    chosen = settings(
        max_examples=EXAMPLES,
        stateful_step_count=40,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(seed(number)(Lifecycle), settings=chosen)
    except BaseException as error:
        error.add_note(f"state machine seed {number}")
        raise
