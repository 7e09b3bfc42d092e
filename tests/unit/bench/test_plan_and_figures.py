"""What is pure of the benchmark: the order of turns, the objects of a workload, and figures from times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualtrack.bench.figures import figures, percentile, ratio
from dualtrack.bench.plan import turns
from dualtrack.bench.workloads import QUICK, Kind, Sizes, Workload, human, phases


def test_systems_take_turns_and_every_second_round_runs_backwards() -> None:
    found = [(turn.round, turn.system) for turn in turns(["a", "b"], ["1", "2", "3"], 3)]

    assert found == [(0, "a"), (0, "b"), (1, "b"), (1, "a"), (2, "a"), (2, "b")]


@given(st.integers(0, 50), st.integers(1, 9))
def test_each_system_does_all_of_the_work_once(count: int, rounds: int) -> None:
    names = [str(number) for number in range(count)]

    done = {"a": [], "b": []}  # type: dict[str, list[str]]
    for turn in turns(["a", "b"], names, rounds):
        done[turn.system] += turn.names

    assert done == {"a": names, "b": names}


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1))
def test_a_percentile_is_a_measured_value_that_so_many_do_not_exceed(
    values: list[float], share: float
) -> None:
    ordered = sorted(values)

    found = percentile(ordered, share)

    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < share * len(values) + 1e-9


def test_figures_of_known_times() -> None:
    found = figures({0: [0.1, 0.3], 1: [0.2, 0.2], 2: []}, size=1000, clients=2)

    assert found is not None
    assert (found.count, found.least, found.most) == (4, 0.1, 0.3)
    assert (found.p50, found.p99, found.mean) == (0.2, 0.3, pytest.approx(0.2))
    assert found.operations_per_second == pytest.approx(2 * 4 / 0.8)
    assert found.bytes_per_second == pytest.approx(10_000)
    assert found.rounds == {0: 0.1, 1: 0.2}


def test_where_nothing_succeeded_there_are_no_figures() -> None:
    assert figures({0: []}, 1, 1) is None


def test_a_ratio_is_of_the_same_rounds_and_above_one_where_the_other_is_faster() -> None:
    first = figures({0: [4.0], 1: [2.0], 2: [9.0]}, 1, 1)
    other = figures({0: [1.0], 1: [2.0], 3: [9.0]}, 1, 1)
    assert first is not None
    assert other is not None

    found = ratio(first, other)

    assert found is not None
    assert (found.median, found.least, found.most) == (2.5, 1.0, 4.0)


def test_systems_without_a_round_in_common_have_no_ratio() -> None:
    first, other = figures({0: [4.0]}, 1, 1), figures({1: [1.0]}, 1, 1)
    assert first is not None
    assert other is not None

    assert ratio(first, other) is None


@pytest.mark.parametrize("workload", list(Workload))
def test_a_workload_is_the_same_for_the_same_seed_and_writes_what_it_reads(workload: Workload) -> None:
    one, again = phases(workload, QUICK, 7), phases(workload, QUICK, 7)
    written = {key for phase in one if phase.kind in (Kind.WRITE, Kind.AGAIN) for key in phase.names}
    read = {key for phase in one if phase.kind is Kind.READ for key in phase.names}

    assert one == again
    assert read == (set() if workload is Workload.LIST else written)
    assert [phase.content(7, phase.names[0]) for phase in one] == [
        phase.content(7, phase.names[0]) for phase in again
    ]


def test_reads_come_in_another_order_than_writes_and_contents_differ() -> None:
    write, read = phases(Workload.SMALL, QUICK, 7)

    assert read.names != write.names
    assert write.content(7, "a") != write.content(7, "b")
    assert write.content(7, "a") != write.content(8, "a")
    assert len(write.content(7, "a")) == QUICK.size


def test_listings_go_deeper_each_time_over_a_tenth_of_the_keys() -> None:
    write, *lists = phases(Workload.LIST, Sizes(objects=10_000), 7)

    assert [phase.name for phase in lists] == [
        "list 10,000 keys, depth 0",
        "list 1,000 keys, depth 1",
        "list 100 keys, depth 2",
        "list 10 keys, depth 3",
    ]
    assert [phase.names[0].count("/") - 1 for phase in lists] == [0, 1, 2, 3]
    assert len(set(write.names)) == 10_000
    assert all(
        any(key.startswith(prefix) for key in write.names) for phase in lists for prefix in phase.names
    )


def test_uploads_of_known_content_all_have_one_content() -> None:
    first, again, check = phases(Workload.INSTANT, QUICK, 7)

    assert first.content(7, first.names[0]) == again.content(7, again.names[-1])
    assert set(check.names) == {*first.names, *again.names}
    assert not check.name, "reading them back is a check, not a figure"


def test_sizes_are_told_in_their_largest_whole_unit() -> None:
    assert [human(size) for size in (1, 1024, 1500, 1 << 20, 3 << 20)] == [
        "1 B", "1 KiB", "1500 B", "1 MiB", "3 MiB",
    ]  # fmt: skip
