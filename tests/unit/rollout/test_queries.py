"""What Prometheus is asked: the new track of our pods, in ranges of raw samples."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from dualtrack.api.gates import Gate
from dualtrack.rollout import presets
from dualtrack.rollout.queries import queries
from outside import Operator, parse_selector

At = Callable[[str], Operator]


def asked(operator: Operator) -> dict[str, str]:
    now = datetime.fromtimestamp(operator.world.now, UTC)
    return {q.id.partition("@")[0]: q.expression for q in queries(operator.world.migration, now)}


def test_nothing_is_asked_before_it_matters_and_after(at: At) -> None:
    assert asked(at("Validating/Inventory")) == {}
    assert asked(at("Complete/Watching")) == {}
    assert queries({"metadata": {}, "spec": {}}, datetime(2026, 1, 1, tzinfo=UTC)) == ()


def test_an_interval_asks_for_each_gate_and_the_pods_own_report(at: At) -> None:
    operator = at("Canary/Observing")
    operator.world.advance(31)
    assert set(asked(operator)) == {
        "gate/error-rate/bad",
        "gate/error-rate/total",
        "gate/put-latency/within",
        "gate/put-latency/total",
        "gate/consistency/bad",
        "gate/consistency/total",
        "info",
    }


@pytest.mark.parametrize("place", ["Canary/WarmUp", "Completing/ApproveCutOver", "Completing/Hold"])
def test_outside_windows_only_critical_gates(at: At, place: str) -> None:
    operator = at(place)
    operator.step()
    operator.world.advance(3)
    assert set(asked(operator)) <= {"probe/consistency", "gate/consistency/bad", "gate/consistency/total"}
    operator.world.advance(31)
    assert set(asked(operator)) == {"gate/consistency/bad", "gate/consistency/total"}


def test_the_whole_window_is_asked_for_when_it_may_be_complete(at: At) -> None:
    operator = at("Canary/Observing")
    for _ in range(200):
        operator.world.advance(3)
        found = asked(operator)
        if "window/error-rate/bad" in found:
            break
        operator.step()
    assert operator.status["observation"]["observedSeconds"] == 270
    _, _, seconds = parse_selector(found["window/error-rate/bad"])
    assert 600 <= seconds <= 640  # 300 of the window, 300 before it for the bases


@pytest.mark.parametrize(
    ("pod", "ours"),
    [
        ("rustfs-6d5f8d9c7b-x2x4z", True),
        ("rustfs-6d5f8-00001", True),
        ("rustfs-other-6d5f8d9c7b-x2x4z", False),
        ("rustfs-0", False),
        ("xrustfs-6d5f8-00001", False),
    ],
)
def test_pods_are_those_of_the_deployment(pod: str, ours: bool) -> None:
    pattern = re.search(r'pod=~"([^"]*)"', presets.selector("storage", "rustfs"))
    assert pattern is not None
    assert bool(re.fullmatch(pattern[1].replace("\\\\", "\\"), pod)) is ours


def test_a_name_with_a_dot_is_no_wildcard() -> None:
    assert 'pod=~"a\\\\.b-' in presets.selector("storage", "a.b")


def test_the_new_track_alone_is_judged_and_a_bucket_is_found_however_it_is_written() -> None:
    gate = Gate.model_validate(
        {
            "name": "l",
            "preset": "latency-fraction",
            "max": "0.01",
            "args": [
                {"name": "operation", "value": "list"},
                {"name": "thresholdMilliseconds", "value": "0.5"},
            ],
        }
    )
    parts = presets.measure(gate, "storage", "rustfs").parts
    name, matchers, _ = parse_selector(parts["within"] + "[60s]")
    assert name == "rustfs_list_objects_latency_ms_bucket"
    labels = {"namespace": "storage", "pod": "rustfs-6d5f8-00001", "track": "dual", "le": "0.5"}
    assert all(m(labels) for m in matchers)
    assert not all(m({**labels, "track": "fs"}) for m in matchers)
    assert not all(m({**labels, "le": "0.75"}) for m in matchers)
    hundred = gate.model_copy(
        update={"args": (gate.args[0], gate.args[1].model_copy(update={"value": "100"}))}
    )
    _, matchers, _ = parse_selector(presets.measure(hundred, "storage", "rustfs").parts["within"] + "[60s]")
    for written in ("100", "100.0"):
        assert all(m({**labels, "le": written}) for m in matchers)
    assert not all(m({**labels, "le": "1000"}) for m in matchers)
