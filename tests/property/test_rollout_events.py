"""Whatever happens in whatever order, the promises of the rollout hold.

Random worlds: gates fail, Prometheus and the API server go away, others change the target, people command
and approve, the operator crashes between its actions and its status, the clock jumps. After every pass the
promises are checked on what was really done to the outside.
"""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dualtrack.api.names import CONSISTENCY_ENV, ENV_LEVEL, MODE_ENV, TARGET_ENV
from outside import ALLOWED, Operator, mode_of, world

_ORDER = {"fs": 0, "kv_primary": 1, "kv_only": 2}
_STARTS = (
    "Pending/Claim",
    "Canary/Switch",
    "Canary/Observing",
    "FullOut/Sweep",
    "FullOut/Observing",
    "Completing/ReadSwitch",
    "Completing/ApproveCutOver",
    "Completing/CutOver",
    "Completing/Soak",
    "Completing/ApprovePurge",
    "Completing/Purge",
)
_EVENTS = st.one_of(
    st.tuples(st.just("time"), st.integers(1, 400)),
    st.tuples(st.just("time"), st.integers(1, 400)),
    st.tuples(
        st.sampled_from(
            (
                "suspend",
                "unsuspend",
                "pause",
                "resume",
                "rollback",
                "approve",
                "approve wrong",
                "crash",
                "errors",
                "no errors",
                "divergence",
                "prometheus away",
                "prometheus back",
                "blind",
                "seeing",
                "drift",
                "drift of the level",
                "level",
                "job fails",
                "pods hang",
                "pods start",
                "clock forward",
                "attempt",
            )
        ),
        st.just(0),
    ),
)


@pytest.fixture(scope="module")
def places() -> dict[str, Operator]:
    operator, found = Operator(world()), {}
    while operator.place != "Complete/Watching":
        decision = operator.step()
        if operator.place not in found:
            found[operator.place] = copy.deepcopy(operator)
        if operator.status.get("pendingApproval"):
            operator.approve()
        operator.world.advance(max(1.0, min(decision.delay_seconds, 10.0)))
    return found


class Promises:
    """What was true before a pass, to be compared with what is true after it."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self.serial = 0
        self.observed_at = operator.world.now

    def one_pass(self) -> float:
        operator = self.operator
        before = copy.deepcopy(operator.status)
        applied = len(operator.world.environments)
        created = len(operator.world.created_jobs)
        held = _held(operator)
        decision = operator.step()
        self._no_forward_move_while_held(before, applied, created, held=held)
        self._settings_are_allowed(applied)
        self._consistency_goes_with_the_mode(applied)
        self._destruction_has_its_approvals(created)
        self._observed(before)
        return decision.delay_seconds

    def _no_forward_move_while_held(
        self, before: dict[str, Any], applied: int, created: int, *, held: bool
    ) -> None:
        operator, status = self.operator, self.operator.status
        going_back = "RollingBack" in (status.get("phase"), before.get("phase"))
        if not held or not _held(operator) or going_back:
            return
        same = (status.get("phase"), status.get("step")) == (before.get("phase"), before.get("step"))
        back = status.get("step") == "MarkKvPrimary" and before.get("step") == "ReadSwitch"
        again = "switch" in before and status.get("step") == "WarmUp"  # our variables were put back
        assert same or back or again, f"{before.get('step')} → {status.get('step')} while held"
        forward = [n for n in operator.world.created_jobs[created:] if "revert-to-dual-write" not in n]
        assert not forward
        for env in operator.world.environments[applied:]:
            assert "switch" in before, f"{env} applied while held, and no switch had begun"

    def _settings_are_allowed(self, applied: int) -> None:
        operator = self.operator
        rolled = "rollback" in operator.status
        for env in operator.world.environments[applied:]:
            mode = mode_of(env)
            marker = operator.world.marker
            allowed = ALLOWED.get(marker)
            assert mode in allowed if allowed is not None else mode[0] == "fs", (marker, mode)
        for old, new in pairwise(operator.world.environments):
            assert int(old["RUSTFS_DUAL_TRACK_EPOCH"]) <= int(new["RUSTFS_DUAL_TRACK_EPOCH"])
            if _strength(new) < _strength(old):
                assert int(old["RUSTFS_DUAL_TRACK_EPOCH"]) < int(new["RUSTFS_DUAL_TRACK_EPOCH"])
                reverted = any(e.reason == "SwitchDeadlineExceeded" for e in operator.world.events)
                begun = any(e.reason == "RollingBack" for e in operator.world.events)
                assert rolled or reverted or begun, "weaker without a rollback or a deadline"

    def _consistency_goes_with_the_mode(self, applied: int) -> None:
        """Whole wherever rows are written, gone on the files, and never a replacement of pods by itself."""
        environments = self.operator.world.environments
        for env in environments[applied:]:
            files = mode_of(env) == ("fs", "0", "true")
            assert tuple(env) == (MODE_ENV if files else TARGET_ENV)
        for old, new in pairwise(environments):
            if [old.get(name) for name in CONSISTENCY_ENV] != [new.get(name) for name in CONSISTENCY_ENV]:
                assert mode_of(old) != mode_of(new)

    def _destruction_has_its_approvals(self, created: int) -> None:
        world_, status = self.operator.world, self.operator.status
        done = [
            h["command"].split(".")[0] for h in status.get("handledCommands", ()) if h["outcome"] == "Done"
        ]
        if any(mode_of(e)[0] == "kv_only" for e in world_.environments):
            assert "CutOver" in done or len(status["handledCommands"]) == 20
        for name in world_.created_jobs[created:]:
            if "-purge-" in name:
                assert "Purge" in done
                assert "snapshot" in world_.finished_verbs

    def _observed(self, before: dict[str, Any]) -> None:
        old, new = before.get("observation") or {}, self.operator.status.get("observation") or {}
        if old.get("windowStart") != new.get("windowStart"):
            self.observed_at = self.operator.world.now
        elapsed = self.operator.world.now - self.observed_at
        grown = new.get("observedSeconds", 0)
        if old.get("windowStart") == new.get("windowStart"):
            assert grown - old.get("observedSeconds", 0) <= 30
        else:
            assert grown <= 30 or grown <= elapsed


def _held(operator: Operator) -> bool:
    return "pause" in operator.status or bool(operator.world.migration["spec"].get("suspend"))


def _strength(env: dict[str, str]) -> tuple[int, float]:
    return _ORDER[env["RUSTFS_METADATA_ENGINE"]], float(env["RUSTFS_DUAL_TRACK_RATIO"])


def happen(promises: Promises, event: str, amount: int) -> None:  # noqa: C901 — one line an event
    operator = promises.operator
    outside, spec = operator.world, operator.world.migration["spec"]
    promises.serial += 1
    match event:
        case "time":
            end = outside.now + amount
            while outside.now < end:
                delay = promises.one_pass()
                outside.advance(max(2.0, min(delay, 10.0)))
        case "suspend" | "unsuspend":
            spec["suspend"] = event == "suspend"
        case "pause" | "rollback":
            operator.command(f"{event}.{operator.status.get('attempt', 1)}.c{promises.serial}")
        case "resume":
            if "pause" in operator.status:
                operator.command(f"resume.{operator.status['attempt']}.{operator.status['pause']['id']}")
        case "approve":
            if "pendingApproval" in operator.status:
                operator.approve()
        case "approve wrong":
            operator.annotate("dualtrack.rustfs.com/approve", f"Purge.1.w{promises.serial}")
        case "crash":
            operator.crash_before_status = True
        case "errors" | "no errors":
            outside.errors_per_second = 2.0 if event == "errors" else 0.0
        case "divergence":
            outside.divergences = 1
        case "prometheus away" | "prometheus back":
            outside.prometheus_up = event == "prometheus back"
        case "blind" | "seeing":
            outside.blind = event == "blind"
        case "drift":
            outside.set_env({}, only=True)
        case "drift of the level":
            outside.set_env({ENV_LEVEL: "none"})
        case "level":
            level = ("Eventual", "Strong", "Lazy")[promises.serial % 3]
            spec["consistency"] = {"level": level, "windowSeconds": promises.serial}
        case "job fails":
            step = operator.status.get("step", "")
            outside.failing_steps[step] = 1
        case "pods hang" | "pods start":
            outside.pods_start = event == "pods start"
        case "clock forward":
            outside.now += 3600
        case "attempt":
            spec["attempt"] = spec.get("attempt", 1) + 1
        case _:
            raise AssertionError(event)


@pytest.mark.parametrize("start", ["Completing/MarkKvOnly", "Completing/CutOver"])
@pytest.mark.parametrize("passes", [0, 1, 2])
def test_variables_that_are_lost_while_the_marker_moves_on_do_not_come_back(
    places: dict[str, Operator], start: str, passes: int
) -> None:
    """Found by the test below: with the marker at `KvOnly` the operator put `kv_primary` back."""
    promises = Promises(copy.deepcopy(places[start]))
    for _ in range(passes):
        promises.one_pass()
    happen(promises, "drift", 0)
    happen(promises, "time", 600)
    assert promises.operator.place.startswith("Comple")
    assert mode_of(promises.operator.world.environments[-1])[0] == "kv_only"


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(start=st.sampled_from(_STARTS), events=st.lists(_EVENTS, min_size=4, max_size=14))
@example("Canary/Switch", [("suspend", 0), ("attempt", 0), ("rollback", 0), ("time", 60)])
def test_the_promises_hold(places: dict[str, Operator], start: str, events: list[tuple[str, int]]) -> None:
    promises = Promises(copy.deepcopy(places[start]))
    for event, amount in events:
        happen(promises, event, amount)
        promises.one_pass()
    happen(promises, "time", 60)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(start=st.sampled_from(_STARTS[1:]), events=st.lists(_EVENTS, min_size=3, max_size=8))
def test_a_person_can_always_get_back_to_the_files(
    places: dict[str, Operator], start: str, events: list[tuple[str, int]]
) -> None:
    promises = Promises(copy.deepcopy(places[start]))
    for event, amount in events:
        happen(promises, event, amount)
        promises.one_pass()
    operator, outside = promises.operator, promises.operator.world
    outside.blind, outside.pods_start, outside.prometheus_up = False, True, True
    outside.failing_steps.clear()
    for _ in range(6):
        for event in ("rollback", "resume"):
            happen(promises, event, 0)
            happen(promises, "time", 400)
        if operator.status["phase"] == "RolledBack":
            break
    if operator.status["phase"] != "RolledBack":
        # Only an attempt that has been started again, and has changed nothing yet, has nothing to take back.
        assert operator.status["phase"] in ("Validating", "Pending"), operator.status["message"]
    assert outside.marker == "FsAuthoritative"
