"""Batches that are read ahead: in order, each once, and no further ahead than is allowed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from dualtrack.engine.ahead import read_ahead

BOUND_SECONDS = 30


class Source:
    """Numbers; knows which were begun, and lets others wait for that."""

    def __init__(self, count: int, fails: bool = False) -> None:
        self.count, self.fails = count, fails
        self.begun: list[int] = []
        self.changed = threading.Condition()
        self.closed = False

    def __iter__(self) -> Iterator[int]:
        for number in range(self.count):
            with self.changed:
                self.begun.append(number)
                self.changed.notify_all()
            yield number
        if self.fails:
            raise OSError("no more")

    def wait_for(self, number: int) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: number in self.begun, BOUND_SECONDS)


@pytest.mark.parametrize("eager", [True, False])
def test_every_item_comes_once_and_in_order(eager: bool) -> None:
    assert list(read_ahead(iter(Source(50)), lambda: eager)) == list(range(50))
    assert list(read_ahead(iter(Source(0)), lambda: eager)) == []


def test_the_next_item_is_read_while_the_last_one_is_used() -> None:
    source = Source(5)
    with closing(read_ahead(iter(source))) as items:
        assert next(items) == 0
        assert source.wait_for(1)
        assert source.wait_for(2)
        assert source.begun[-1] <= 2


def test_what_must_not_be_read_ahead_is_begun_when_it_is_asked_for() -> None:
    source = Source(5)
    with closing(read_ahead(iter(source), lambda: False)) as items:
        for number in range(4):
            assert source.begun == list(range(number))
            assert next(items) == number


def test_it_runs_ahead_again_as_soon_as_it_may() -> None:
    source, free = Source(5), threading.Event()
    with closing(read_ahead(iter(source), free.is_set)) as items:
        assert next(items) == 0
        free.set()
        assert source.wait_for(1)


@pytest.mark.parametrize("eager", [True, False])
def test_an_error_comes_where_the_next_item_would_have(eager: bool) -> None:
    items = read_ahead(iter(Source(2, fails=True)), lambda: eager)
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(OSError, match="no more"):
        next(items)


@pytest.mark.parametrize("eager", [True, False])
def test_ending_early_ends_the_thread(eager: bool) -> None:
    before = set(threading.enumerate())
    items = read_ahead(iter(Source(1_000)), lambda: eager)
    next(items)
    items.close()
    assert set(threading.enumerate()) <= before
