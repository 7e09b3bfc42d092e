"""Rules that several fields decide together, at their edges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from dualtrack.api import cel
from dualtrack.api.load import InvalidMigrationError, parse
from dualtrack.api.phases import ApprovalPolicy, ApprovalStep, Completing, FixedPhase, StepApproval
from dualtrack.api.rules import problems

ROOT = Path(__file__).resolve().parents[3]


def minimal(**changes: Any) -> dict[str, Any]:
    raw: dict[str, Any] = yaml.safe_load((ROOT / "manifests/samples/minimal.yaml").read_text("utf-8"))
    raw["spec"].update(changes)
    return raw


def found(raw: dict[str, Any]) -> list[str]:
    try:
        return [str(problem) for problem in problems(parse(raw).spec)]
    except InvalidMigrationError as error:
        return [str(problem) for problem in error.problems]


@pytest.mark.parametrize(("warmup", "accepted"), [(89, False), (90, True)])
def test_the_warm_up_covers_one_interval_and_two_scrapes(warmup: int, accepted: bool) -> None:
    raw = minimal(phases=[{"name": "All", "ratioPercent": 100, "warmupSeconds": warmup}])
    assert (found(raw) == []) is accepted


@pytest.mark.parametrize(("deadline", "accepted"), [(199, False), (200, True)])
def test_the_deadline_covers_warm_up_and_observation(deadline: int, accepted: bool) -> None:
    phase = {
        "name": "All",
        "ratioPercent": 100,
        "warmupSeconds": 100,
        "observationSeconds": 100,
        "deadlineSeconds": deadline,
    }
    assert (found(minimal(phases=[phase])) == []) is accepted


@pytest.mark.parametrize(
    ("limit", "request_", "accepted"),
    [("1", "1000m", True), ("1", "1001m", False), ("1.5", "1500m", True), ("0.5", "1", False)],
)
def test_cpu_amounts_are_compared_by_value(limit: str, request_: str, accepted: bool) -> None:
    raw = minimal(jobs={"resources": {"limits": {"cpu": limit}, "requests": {"cpu": request_}}})
    assert (found(raw) == []) is accepted


@pytest.mark.parametrize(
    ("limit", "request_", "accepted"), [("1Gi", "1G", True), ("1G", "1Gi", False), ("1024Mi", "1Gi", True)]
)
def test_memory_amounts_are_compared_by_value(limit: str, request_: str, accepted: bool) -> None:
    raw = minimal(jobs={"resources": {"limits": {"memory": limit}, "requests": {"memory": request_}}})
    assert (found(raw) == []) is accepted


@pytest.mark.parametrize(
    ("args", "fragment"),
    [
        ([("operation", "put")], "must be exactly operation and thresholdMilliseconds"),
        ([("operation", "stat"), ("thresholdMilliseconds", "100")], "must be one of put, get, delete, list"),
        ([("operation", "put"), ("thresholdMilliseconds", "fast")], "must be a bucket boundary"),
        ([("operation", "put"), ("thresholdMilliseconds", "0.5")], "must be a bucket boundary"),
        ([("operation", "put"), ("thresholdMilliseconds", ".")], "must be a bucket boundary"),
        ([("operation", "put"), ("thresholdMilliseconds", "2.5")], ""),
    ],
)
def test_latency_arguments(args: list[tuple[str, str]], fragment: str) -> None:
    gate = {
        "name": "slow",
        "preset": "latency-fraction",
        "max": "0.01",
        "args": [{"name": name, "value": value} for name, value in args],
    }
    listed = found(minimal(gates=[gate]))
    assert len(listed) == (1 if fragment else 0)
    assert all(fragment in problem for problem in listed)


@pytest.mark.parametrize("severity", ["Critical", "Observe"])
def test_a_zero_bound_is_for_gates_that_need_no_proof(severity: str) -> None:
    zero = {"name": "any-error", "preset": "error-rate", "max": "0", "severity": severity}
    normal = {"name": "restarts", "preset": "container-restarts", "max": "0"}
    assert found(minimal(gates=[zero, normal])) == []


def test_a_step_that_is_not_listed_needs_a_person() -> None:
    completing = Completing(
        approvals=(StepApproval(step=ApprovalStep.CUT_OVER, policy=ApprovalPolicy.AUTOMATIC),)
    )
    assert completing.approval_policy(ApprovalStep.CUT_OVER) is ApprovalPolicy.AUTOMATIC
    assert completing.approval_policy(ApprovalStep.PURGE) is ApprovalPolicy.MANUAL


def test_both_lists_of_fixed_phases_agree() -> None:
    assert set(cel.FIXED_PHASES) == set(FixedPhase)
