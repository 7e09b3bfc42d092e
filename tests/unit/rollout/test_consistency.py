"""`spec.consistency` on its way to the server: with the mode, kept there, and given back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dualtrack.api import names
from outside import Operator, deployment, world
from way_data import FROM_CUT_OVER, FROM_FIRST_MARK, FROM_READ_SWITCH

At = Callable[[str], Operator]
LEVEL, CAPACITY = names.ENV_LEVEL, names.ENV_CACHE_CAPACITY


def say(operator: Operator, **consistency: Any) -> None:
    operator.world.migration["spec"]["consistency"] = consistency


def env(operator: Operator) -> dict[str, str]:
    """All variables of the server's container, as the template has them now."""
    assert operator.world.deployment is not None
    (container,) = operator.world.deployment["spec"]["template"]["spec"]["containers"]
    return {e["name"]: e["value"] for e in container["env"]}


def generation(operator: Operator) -> int:
    assert operator.world.deployment is not None
    return int(operator.world.deployment["metadata"]["generation"])


def test_it_comes_with_the_first_switch_and_costs_no_rollout_of_its_own() -> None:
    outside = world(consistency={"level": "Strong", "windowSeconds": 5, "cache": {"capacity": 7}})
    operator = Operator(outside)
    operator.complete()
    assert generation(operator) == 1 + len(outside.environments)
    for applied in outside.environments:
        assert tuple(applied) == names.TARGET_ENV
        assert (applied[LEVEL], applied[names.ENV_WINDOW], applied[CAPACITY]) == ("strong", "5", "7")
    assert [e["RUSTFS_DUAL_TRACK_RATIO"] for e in outside.environments] == ["0.05", "1", "1", "1"]


@pytest.mark.parametrize("place", [FROM_FIRST_MARK[-1], FROM_READ_SWITCH[-1], FROM_CUT_OVER[0]])
def test_a_rollback_takes_it_away_in_the_last_patch_and_not_before(at: At, place: str) -> None:
    operator = at(place)
    applied = len(operator.world.environments)
    operator.command("rollback.1.r1")
    operator.run("RolledBack/")
    *between, last = operator.world.environments[applied:]
    assert all(set(names.CONSISTENCY_ENV) <= set(e) for e in between)
    assert tuple(last) == names.MODE_ENV
    assert not set(names.CONSISTENCY_ENV) & set(env(operator))
    assert env(operator)["RUSTFS_VOLUMES"] == "/data"


def test_what_was_taken_over_is_given_back_and_taken_again_by_a_second_attempt() -> None:
    outside = world()
    outside.migration["spec"]["target"]["existingEnv"] = "TakeOver"
    outside.deployment = deployment({CAPACITY: "123"})
    operator = Operator(outside)
    for attempt in (1, 2):
        outside.migration["spec"]["attempt"] = attempt
        operator.run("Canary/WarmUp")
        assert env(operator)[CAPACITY] == "10000"
        operator.command(f"rollback.{attempt}.r{attempt}")
        operator.run("RolledBack/")
        assert env(operator)[CAPACITY] == "123"
        assert LEVEL not in env(operator)
        operator.pass_time(60)
        assert "Drifted" not in [e.reason for e in outside.events]


def test_somebody_elses_variable_is_refused_by_name() -> None:
    outside = world()
    outside.deployment = deployment({LEVEL: "strong"})
    operator = Operator(outside)
    operator.pass_time(60)
    assert f"env {LEVEL}: is set to 'strong'" in operator.status["message"]
    assert "existingEnv: TakeOver" in operator.status["message"]
    assert outside.environments == []


def test_a_second_attempt_refuses_what_was_set_meanwhile(at: At) -> None:
    operator = at("Canary/Observing")
    operator.command("rollback.1.r1")
    operator.run("RolledBack/")
    operator.world.set_env({CAPACITY: "5"})
    operator.world.migration["spec"]["attempt"] = 2
    operator.pass_time(120)
    assert operator.place == "Validating/Preflight"
    assert f"env {CAPACITY}: is set to '5'" in operator.status["message"]


def test_an_edit_waits_for_the_next_switch_and_is_named_by_its_event(at: At) -> None:
    operator = at("Canary/Observing")
    before = generation(operator)
    say(operator, level="Lazy", windowSeconds=60)
    operator.pass_time(120)
    assert operator.place == "Canary/Observing"
    assert generation(operator) == before
    assert env(operator)[LEVEL] == "eventual"
    operator.run("FullOut/WarmUp")
    assert env(operator)[LEVEL] == "lazy"
    assert generation(operator) == before + 1
    told = [e.message for e in operator.world.events if e.reason == "Switching"]
    assert told[-1].endswith(f"epoch 1; {LEVEL}=lazy")


def test_drift_of_it_alone_is_put_back_in_the_same_epoch(at: At) -> None:
    operator = at("Canary/Observing")
    say(operator, level="Strong")  # not yet what the target was told
    operator.world.set_env({LEVEL: "lazy"})
    operator.step()
    operator.step()
    assert env(operator)[LEVEL] == "eventual"
    assert operator.world.environments[-1]["RUSTFS_DUAL_TRACK_EPOCH"] == "1"
    reapplied = [e.message for e in operator.world.events if e.reason == "TargetReapplied"]
    assert f"variables: {LEVEL}=lazy;" in reapplied[-1]
    operator.run("Canary/WarmUp")
    operator.run("FullOut/")


def test_a_switch_that_is_taken_back_takes_it_back_too(at: At) -> None:
    operator = at("Canary/Observing")
    say(operator, level="Strong")
    operator.run("FullOut/Switch")
    operator.world.pods_start = False
    operator.pass_time(310)
    assert operator.status["switch"]["purpose"] == "Revert"
    assert env(operator)["RUSTFS_DUAL_TRACK_RATIO"] == "0.05"
    assert env(operator)[LEVEL] == "eventual"


def test_a_status_from_before_it_was_recorded_is_no_drift(at: At) -> None:
    operator = at("Canary/Observing")
    operator.world.migration["status"]["target"]["desired"].pop("variables")
    operator.world.set_env({}, without=names.CONSISTENCY_ENV)
    operator.pass_time(60)
    assert "TargetReapplied" not in [e.reason for e in operator.world.events]
    operator.run("FullOut/WarmUp")
    assert env(operator)[LEVEL] == "eventual"
