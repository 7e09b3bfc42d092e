"""Conditions: the time of a transition, and words with meanings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dualtrack.api.conditions import (
    Condition,
    ConditionStatus,
    ConditionType,
    Documented,
    Reason,
    with_condition,
)

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def ready(before: tuple[Condition, ...], status: ConditionStatus, minutes: int) -> tuple[Condition, ...]:
    return with_condition(
        before,
        ConditionType.READY,
        status,
        Reason.OBSERVING,
        f"minute {minutes}",
        generation=minutes,
        now=NOON + timedelta(minutes=minutes),
    )


def test_the_transition_time_moves_only_with_the_status() -> None:
    first = ready((), ConditionStatus.TRUE, 0)
    second = ready(first, ConditionStatus.TRUE, 1)
    third = ready(second, ConditionStatus.FALSE, 2)
    assert [c[0].last_transition_time for c in (first, second, third)] == [
        NOON,
        NOON,
        NOON + timedelta(minutes=2),
    ]
    assert (second[0].message, second[0].observed_generation) == ("minute 1", 1)


def test_other_conditions_stay_in_their_places() -> None:
    conditions = with_condition(
        ready((), ConditionStatus.TRUE, 0),
        ConditionType.PAUSED,
        ConditionStatus.FALSE,
        Reason.NOT_NEEDED,
        "",
        generation=1,
        now=NOON,
    )
    changed = ready(conditions, ConditionStatus.UNKNOWN, 3)
    assert [c.type for c in changed] == ["Ready", "Paused"]
    assert changed[1] is conditions[1]


@pytest.mark.parametrize("words", [ConditionType, Reason])
def test_every_word_fits_a_condition_and_has_a_meaning(words: type[Documented]) -> None:
    for word in words:
        Condition(
            type=word.value,
            status=ConditionStatus.TRUE,
            reason=word.value,
            observed_generation=1,
            last_transition_time=NOON,
        )
        assert len(word.meaning) > 10
