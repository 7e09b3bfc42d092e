"""One gate at a time: verdicts, trips, figures."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from dualtrack.api.gates import Gate
from dualtrack.api.status_evidence import GateStatus
from dualtrack.rollout import gates
from dualtrack.rollout.gates import Count, Measured
from dualtrack.rollout.samples import Trouble, Unusable

AT = datetime(2026, 11, 20, tzinfo=UTC)


def gate(**changes: Any) -> Gate:
    return Gate.model_validate({"name": "g", "preset": "error-rate", "max": "0.0001", **changes})


def judge(of: Gate, bad: int, samples: int, before: GateStatus | None = None) -> GateStatus:
    count = Count(bad, samples)
    return gates.judge(of, before or GateStatus(name="g"), Measured(count, count), AT)


@pytest.mark.parametrize(
    ("bad", "samples", "verdict", "needed"),
    [
        (0, 29_956, "Pass", 0),
        (0, 29_955, "Insufficient", 1),
        (1, 47_437, "Pass", 0),
        (2, 62_955, "Insufficient", 1),
        (0, 0, "NoData", 1),
        (4, 4, "Insufficient", None),
        (5, 20, "Fail", None),
    ],
)
def test_error_rate(bad: int, samples: int, verdict: str, needed: int | None) -> None:
    status = judge(gate(), bad, samples)
    assert status.verdict == verdict
    if needed is not None:
        assert status.samples_needed == needed


def test_counts_are_pooled_since_the_window_began() -> None:
    first = judge(gate(), 0, 20_000)
    second = judge(gate(), 0, 9_956, first)
    assert (first.verdict, second.verdict, second.samples) == ("Insufficient", "Pass", 29_956)


def test_failures_in_a_row_act_and_a_good_interval_clears_them() -> None:
    of, status = gate(), GateStatus(name="g")
    for wanted in (1, 2, 3):
        status = judge(of, 10, 20, status)
        assert status.consecutive_failures == wanted
        assert gates.acts(of, status, 3) is (wanted == 3)
    assert judge(of, 0, 20, status).consecutive_failures == 0


@pytest.mark.parametrize(
    ("trouble", "on_no_data", "verdict", "blocks"),
    [
        (Trouble.EMPTY, "Wait", "NoData", True),
        (Trouble.STALE, "Pass", "NoData", False),
        (Trouble.PARTIAL, "Fail", "Fail", True),
        (Trouble.UNREACHABLE, "Fail", "Error", True),
        (Trouble.DUPLICATE, "Pass", "Error", True),
        (Trouble.NOT_A_NUMBER, "Pass", "Error", True),
    ],
)
def test_trouble(trouble: Trouble, on_no_data: str, verdict: str, blocks: bool) -> None:
    of = gate(onNoData=on_no_data)
    status = gates.judge(of, GateStatus(name="g", bad=1, samples=5), Unusable(trouble, "why"), AT)
    assert (status.verdict, gates.blocks(of, status)) == (verdict, blocks)
    assert (status.bad, status.samples) == (1, 5)


def test_consistency_without_enough_comparisons_is_no_data_and_one_difference_acts() -> None:
    of = gate(preset="consistency-errors", max="0", severity="Critical", evidence={"minimumSamples": 1000})
    assert judge(of, 0, 999).verdict == "NoData"
    assert judge(of, 0, 1000).verdict == "Pass"
    status = judge(of, 1, 3)
    assert status.verdict == "Fail"
    assert gates.acts(of, status, 100)


def test_a_critical_gate_without_data_does_not_act_at_once() -> None:
    of = gate(preset="consistency-errors", max="0", severity="Critical", onNoData="Fail")
    status = gates.judge(of, GateStatus(name="g", bad=0), Unusable(Trouble.EMPTY, "no series"), AT)
    assert status.verdict == "Fail"
    assert not gates.acts(of, status, 3)


def test_an_observed_gate_is_shown_and_never_acts() -> None:
    of = gate(severity="Observe")
    status = judge(of, 50, 50)
    assert status.verdict == "Fail"
    assert not gates.acts(of, status, 1)
    assert not gates.blocks(of, status)
    assert gates.overall([(of, status)]) == "NoData"


def test_the_worst_verdict_is_the_whole() -> None:
    passing, insufficient = judge(gate(), 0, 30_000), judge(gate(), 0, 10)
    assert gates.overall([(gate(), passing), (gate(), insufficient)]) == "Insufficient"
    assert gates.overall([(gate(), passing)]) == "Pass"
    assert gates.overall([]) == "NoData"


def test_figures_are_text_that_the_status_takes() -> None:
    shown = judge(gate(), 3, 412_906)
    again = GateStatus.model_validate(shown.model_dump(by_alias=True, exclude_none=True, mode="json"))
    assert again.value == "7.26558e-06"
    assert again.upper_bound is not None
    assert 1.8e-5 < float(again.upper_bound) < 1.9e-5
    assert again.bound == "0.0001"


def test_ready_fraction_judges_the_share_of_time() -> None:
    of = gate(preset="ready-fraction", max="0.1")
    assert judge(of, 0, 60).verdict == "Pass"
    assert judge(of, 60, 60).verdict == "Fail"
