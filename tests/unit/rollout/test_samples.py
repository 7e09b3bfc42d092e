"""Counting from raw samples, and telling apart what cannot be believed."""

from __future__ import annotations

import math

import pytest

from dualtrack.rollout.samples import Growth, Trouble, Unusable, growth
from dualtrack.rollout.world import Matrix, QueryFailure, QueryResult, Series

LABELS = {"__name__": "requests_total", "pod": "a", "track": "dual"}


def series(*points: tuple[float, float], **labels: str) -> Series:
    return Series({**LABELS, **labels}, points)


def count(*all_series: Series, processes: dict[str, float] | None = None) -> int:
    found = growth(Matrix(all_series), 100, 200, staleness=60, processes=processes)
    assert isinstance(found, Growth), found
    return found.total


@pytest.mark.parametrize(
    ("points", "grown"),
    [
        (((90, 5), (110, 7), (190, 9)), 4),  # the sample before the interval is the base
        (((100, 5), (190, 9)), 4),  # on the boundary is before it
        (((90, 5), (150, 2), (190, 3)), 3),  # a reset counts the new value, and what follows
        (((90, 5), (150, 0), (190, 1)), 1),  # the first error after a restart is not lost
        (((150, 3), (190, 4)), 4),  # first seen above 0: in full
        (((150, 0), (190, 0)), 0),
        (((90, 5), (190, 5), (210, 50)), 0),  # after the interval is not in it
        (((90, 1e15), (190, 1e15 + 3)), 3),
    ],
)
def test_growth_of_one_series(points: tuple[tuple[float, float], ...], grown: int) -> None:
    assert count(series(*points)) == grown


def test_series_are_added_each_with_its_own_base() -> None:
    assert count(series((90, 100), (190, 101)), series((150, 1), (190, 2), pod="b")) == 3


def test_a_gap_in_the_scrapes_of_an_old_process_is_not_counted_again() -> None:
    back = series((150, 5000), (190, 5010))
    assert count(back, processes={"a": 50.0}) == 10
    assert count(back, processes={"a": 140.0}) == 5010  # it began within the interval: its counts are new
    assert count(back) == 5010  # gone, or unknown: nothing may be lost


def test_a_new_label_combination_of_an_old_process_counts_in_full() -> None:
    old = series((90, 10), (190, 10))
    first_error = series((150, 1), (190, 1), track="kv")
    assert count(old, first_error, processes={"a": 50.0}) == 1


@pytest.mark.parametrize(
    ("result", "trouble"),
    [
        (None, Trouble.EMPTY),
        (Matrix(()), Trouble.EMPTY),
        (Matrix((series((250, 1)),)), Trouble.EMPTY),
        (Matrix((series((90, 1), (120, 2)),)), Trouble.STALE),
        (Matrix((series((90, 1)),)), Trouble.STALE),
        (Matrix((series((90, 1), (190, 2)),), ("one store did not answer",)), Trouble.PARTIAL),
        (Matrix((series((90, 1), (190, math.nan)),)), Trouble.NOT_A_NUMBER),
        (Matrix((series((90, 1), (190, math.inf)),)), Trouble.NOT_A_NUMBER),
        (
            Matrix((series((90, 1), (190, 2), job="a"), series((90, 1), (190, 2), job="b"))),
            Trouble.DUPLICATE,
        ),
        (QueryFailure("Unreachable", "connection refused"), Trouble.UNREACHABLE),
        (QueryFailure("Refused", "401"), Trouble.REFUSED),
        (QueryFailure("Malformed", "no JSON"), Trouble.REFUSED),
    ],
)
def test_what_cannot_be_believed_has_a_name(result: QueryResult | None, trouble: Trouble) -> None:
    found = growth(result, 100, 200, staleness=60)
    assert isinstance(found, Unusable)
    assert found.trouble is trouble


def test_a_replaced_scrape_target_is_no_duplicate() -> None:
    assert count(series((90, 1), (140, 2), instance="x"), series((150, 1), (190, 3), instance="y")) == 4
