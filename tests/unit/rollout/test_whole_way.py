"""From Pending to Complete over the model of the outside, undisturbed and with every kind of restart."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from dualtrack.api import names
from outside import Operator, world
from way_data import PLACES, SETTINGS, VERBS, settings


def approving(operator: Operator) -> None:
    if operator.status.get("pendingApproval"):
        operator.approve()


def test_the_whole_way_to_complete(way: dict[str, Operator]) -> None:
    operator = way["Complete/Watching"]
    assert operator.places == PLACES
    assert settings(operator.world) == SETTINGS
    assert {e[names.ENV_EPOCH] for e in operator.world.environments} == {"1"}
    assert operator.world.finished_verbs == VERBS
    assert operator.world.refused_starts == []
    assert operator.condition("Succeeded")["status"] == "True"
    assert operator.condition("Ready")["status"] == "True"
    assert operator.condition("PointOfNoReturn")["reason"] == "KvIsOnlyCopy"
    assert operator.status["ledger"]["rows"] == 1100
    report = operator.status["report"]
    assert report["root"] == "blake2b:" + 64 * "a"
    last = [e.message for e in operator.world.events if e.message.startswith("Completing → Complete")]
    assert last == [f"Completing → Complete; report {report['root']}; check: {report['check']}"]
    assert operator.status["drives"][0]["marker"] == "Purged"
    assert [t["phase"] for t in operator.status["timings"]] == [
        "Pending",
        "Validating",
        "Canary",
        "FullOut",
        "Completing",
    ]
    observed = {t["phase"]: t.get("observedSeconds") for t in operator.status["timings"]}
    assert observed["Validating"] is None
    assert observed["Canary"] >= 300
    assert observed["Completing"] >= 120, "the soak is its last window"


def test_jobs_have_the_fence_in_order_and_names_that_follow_from_their_purpose(
    way: dict[str, Operator],
) -> None:
    operator = way["Complete/Watching"]
    fences = [int(_args(operator.world.jobs[n])["--fence"]) for n in operator.world.created_jobs]
    assert fences == list(range(1, len(fences) + 1))
    assert operator.world.created_jobs[0] == "main-1-inventory-rustfs-0"
    assert operator.world.created_jobs[2] == "main-1-sweep-rustfs-0"


def test_approvals_are_in_the_history_with_who_and_what(way: dict[str, Operator]) -> None:
    operator = way["Complete/Watching"]
    done = [h["command"].split(".")[0] for h in operator.status["handledCommands"]]
    assert done == ["Purge", "CutOver"]
    assert {h["actor"] for h in operator.status["handledCommands"]} == {"ann"}


def test_nothing_is_written_when_nothing_changes(at: Any) -> None:
    operator = at("Complete/Watching")
    operator.step()
    writes, events = operator.writes, len(operator.world.events)
    operator.pass_time(600)
    assert operator.writes == writes
    assert len(operator.world.events) == events


def test_an_observed_phase_writes_once_an_interval(at: Any) -> None:
    operator = at("Canary/Observing")
    operator.step()
    writes = operator.writes
    operator.pass_time(150)
    assert operator.writes - writes <= 6


def test_it_looks_again_in_time_for_the_next_interval(at: Any) -> None:
    operator = at("Canary/Observing")
    for _ in range(20):
        delay = operator.step().delay_seconds
        following = datetime.fromisoformat(operator.status["observation"]["nextEvaluationTime"]).timestamp()
        assert operator.world.now + delay <= following
        operator.world.advance(delay)


def test_a_crash_after_the_actions_of_every_pass_changes_nothing_of_the_way(way: dict[str, Operator]) -> None:
    operator = Operator(world())
    for _ in range(4000):
        operator.crash_before_status = True
        operator.step()  # its actions happen, its status is lost
        operator.world.advance(1.0)
        decision = operator.step()
        approving(operator)
        if operator.place == "Complete/Watching":
            break
        operator.world.advance(max(1.0, min(decision.delay_seconds, 10.0)))
    assert operator.places == PLACES
    assert settings(operator.world) == SETTINGS
    assert operator.world.created_jobs == way["Complete/Watching"].world.created_jobs
    assert operator.world.finished_verbs == VERBS


@pytest.mark.parametrize("place", ["Canary/Observing", "Completing/Observing", "Completing/Soak"])
def test_killed_every_half_minute_it_advances_within_one_interval(at: Any, place: str) -> None:
    undisturbed, killed = at(place), at(place)
    began = undisturbed.world.now
    while undisturbed.place == place:
        undisturbed.step()
        undisturbed.world.advance(5.0)
    while killed.place == place:
        killed.step()
        killed.world.advance(29.0)  # nothing of the operator lives in between but the status
    interval = 30.0
    assert (killed.world.now - began) - (undisturbed.world.now - began) <= interval + 29.0


def test_a_look_at_a_world_that_cannot_be_read_changes_nothing(at: Any) -> None:
    for place in ("Canary/Observing", "Completing/Soak", "Canary/Switch"):
        operator = at(place)
        operator.world.blind = True
        before = operator.place
        operator.pass_time(120)
        assert operator.place == before
        assert operator.world.environments == at(place).world.environments
        operator.world.blind = False
        operator.pass_time(30)


def test_clock_jumps_add_no_observed_time(at: Any) -> None:
    operator = at("Canary/Observing")
    operator.pass_time(70)
    before = operator.status["observation"]["observedSeconds"]
    operator.world.now += 3600  # nothing was scraped in that hour
    operator.step()
    assert operator.status["observation"]["observedSeconds"] <= before + 30
    operator.world.now -= 3600
    operator.step()
    assert operator.status["observation"]["observedSeconds"] <= before + 30


def _args(job: dict[str, Any]) -> dict[str, str]:
    args = job["spec"]["template"]["spec"]["containers"][0]["args"]
    return dict(pairwise(args))
