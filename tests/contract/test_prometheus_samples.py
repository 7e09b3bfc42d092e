"""The adapter against a real Prometheus: what the core gets to see in the cases that decide about data."""

from __future__ import annotations

import time
from typing import Any

import pytest

from dualtrack.adapters.prometheus import PrometheusEndpoint, PrometheusReader
from dualtrack.rollout.world import Matrix, Query, QueryFailure, QueryResult

ERRORS = "rustfs_put_object_errors_total"


def counter(value: int, **labels: str) -> str:
    inside = ",".join(f'{key}="{text}"' for key, text in labels.items())
    return f"# TYPE {ERRORS} counter\n{ERRORS}{{{inside}}} {value}\n"


def errors_of(*targets: Any, seconds: int = 60) -> str:
    """The window of these targets' series alone: the server has those of other tests, too."""
    return f'{ERRORS}{{instance=~"{"|".join(target.address for target in targets)}"}}[{seconds}s]'


async def ask(address: str, expression: str, at: float | None = None, seconds: float = 5.0) -> QueryResult:
    reader = PrometheusReader(PrometheusEndpoint(address, timeout_seconds=seconds))
    query = Query(id="q", expression=expression, at=time.time() if at is None else at)
    return (await reader.run([query]))["q"]


async def matrix(address: str, expression: str, at: float | None = None) -> Matrix:
    answer = await ask(address, expression, at)
    assert isinstance(answer, Matrix), answer
    return answer


def values(answer: Matrix) -> list[float]:
    """The values of the one series, each run of equal ones once."""
    (series,) = answer.series
    found = [value for _, value in series.points]
    return [value for n, value in enumerate(found) if n == 0 or value != found[n - 1]]


async def test_no_traffic_is_samples_of_zero_and_no_series_is_no_series(servers: Any) -> None:
    target = servers.shared.target()
    target.says(counter(0, track="dual"))
    answer = await matrix(servers.shared.address, errors_of(target, seconds=30))
    assert values(answer) == [0.0]
    assert answer.warnings == ()
    assert answer.series[0].labels["track"] == "dual"
    assert len(answer.series[0].points) >= 2
    assert await matrix(servers.shared.address, "rustfs_nobody_exports_this[30s]") == Matrix(series=())


async def test_the_first_error_after_a_restart_is_in_the_samples(servers: Any) -> None:
    target = servers.shared.target()
    target.says(counter(7, track="dual"))
    target.says(None)
    # The new process was scraped for the first time when it had failed once: increase() would say 0.
    target.says(counter(1, track="dual"))
    assert values(await matrix(servers.shared.address, errors_of(target))) == [7.0, 1.0]


async def test_a_reset_inside_the_window_is_kept_as_a_decrease(servers: Any) -> None:
    target = servers.shared.target()
    for value in (5, 0, 3):
        target.says(counter(value, track="dual"))
    answer = await matrix(servers.shared.address, errors_of(target))
    assert values(answer) == [5.0, 0.0, 3.0]
    times = [at for at, _ in answer.series[0].points]
    assert times == sorted(times)
    assert abs(times[-1] - time.time()) < 30


async def test_the_evaluation_is_at_the_instant_that_was_asked_for(servers: Any) -> None:
    target = servers.shared.target()
    target.says(counter(1, track="dual"))
    instant = time.time()
    target.says(counter(2, track="dual"))
    assert values(await matrix(servers.shared.address, errors_of(target), at=instant)) == [1.0]
    assert values(await matrix(servers.shared.address, errors_of(target))) == [1.0, 2.0]


async def test_two_pods_are_two_series(servers: Any) -> None:
    old, new = servers.shared.target(), servers.shared.target()
    old.says(counter(4, track="dual"))
    new.says(counter(0, track="dual"))
    answer = await matrix(servers.shared.address, errors_of(old, new))
    last = {series.labels["instance"]: series.points[-1][1] for series in answer.series}
    assert last == {old.address: 4.0, new.address: 0.0}


@pytest.mark.parametrize(
    ("expression", "kind", "words"),
    [
        ("rustfs_put_object_errors_total[", "Refused", "parse error"),
        ("up", "Malformed", "vector"),
        ("1", "Malformed", "scalar"),
    ],
)
async def test_what_is_not_a_matrix_is_a_failure(
    servers: Any, expression: str, kind: str, words: str
) -> None:
    answer = await ask(servers.shared.address, expression)
    assert isinstance(answer, QueryFailure)
    assert answer.kind == kind
    assert words in answer.message


async def test_partial_data_carries_its_warning(servers: Any) -> None:
    # A second store that does not answer: Prometheus gives what it has itself, and a warning.
    target = servers.partial.target()
    target.says(counter(0, track="dual"))
    answer = await matrix(servers.partial.address, errors_of(target, seconds=30))
    assert values(answer) == [0.0]
    assert answer.warnings


async def test_a_stopped_server_is_unreachable_and_its_samples_come_back_with_it(servers: Any) -> None:
    server = servers.stopped.server
    target = servers.stopped.target()
    target.says(counter(3, track="dual"))
    server.stop()
    answer = await ask(server.address, errors_of(target))
    assert isinstance(answer, QueryFailure)
    assert answer.kind == "Unreachable"
    server.start()
    assert values(await matrix(server.address, errors_of(target))) == [3.0]
