"""Pause, resume, suspend, approvals, abort, force, deadlines: nothing goes forward that should not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dualtrack.api import names
from outside import Operator, world
from way_data import settings

At = Callable[[str], Operator]


def resume(operator: Operator) -> None:
    operator.command(f"resume.1.{operator.status['pause']['id']}")
    operator.step()


@pytest.mark.parametrize(
    "place",
    [
        "Validating/Coverage",
        "Canary/Observing",
        "FullOut/Observing",
        "Completing/Rehearse",
        "Completing/Soak",
    ],
)
def test_suspended_stays_and_goes_on_at_the_same_step(at: At, place: str) -> None:
    operator = at(place)
    operator.world.migration["spec"]["suspend"] = True
    operator.pass_time(900)
    assert operator.place == place
    assert operator.condition("Paused")["reason"] == "Suspended"
    assert operator.world.environments == at(place).world.environments
    writes = operator.writes
    events = len(operator.world.events)
    operator.pass_time(20)
    assert operator.writes - writes <= 1
    assert len(operator.world.events) == events
    operator.world.migration["spec"]["suspend"] = False
    operator.step()
    operator.step()
    assert operator.condition("Paused")["status"] == "False"


def test_a_suspended_window_is_kept_and_the_gap_not_counted(at: At) -> None:
    operator = at("Canary/Observing")
    operator.pass_time(130)
    before = operator.status["observation"]["observedSeconds"]
    assert before >= 90
    operator.world.migration["spec"]["suspend"] = True
    operator.pass_time(600)
    assert operator.status["observation"]["observedSeconds"] == before
    operator.world.migration["spec"]["suspend"] = False
    operator.pass_time(70)
    assert before < operator.status["observation"]["observedSeconds"] <= before + 90
    assert operator.status["pausedSeconds"] >= 590


def test_a_running_switch_is_finished_while_suspended(at: At) -> None:
    operator = at("FullOut/Switch")
    operator.step()
    assert operator.status["switch"]["stage"] == "Apply"
    operator.world.migration["spec"]["suspend"] = True
    operator.pass_time(120)
    assert "switch" not in operator.status
    assert operator.place == "FullOut/Switch"
    assert settings(operator.world)[-1] == ("fs", "1", "true")


def test_jobs_are_suspended_and_go_on(at: At) -> None:
    operator = at("FullOut/Sweep")
    operator.world.job_seconds = 60
    operator.pass_time(20)
    (name,) = (n for n in operator.world.created_jobs if "sweep" in n)
    operator.world.migration["spec"]["suspend"] = True
    operator.pass_time(120)
    assert operator.world.jobs[name]["spec"]["suspend"] is True
    assert next(j for j in operator.status["jobs"] if j["name"] == name)["state"] in ("Suspended", "Running")
    operator.world.migration["spec"]["suspend"] = False
    operator.run("FullOut/FullVerify")
    assert [n for n in operator.world.created_jobs if "sweep" in n] == [name]


def test_pause_and_resume_by_command_restart_the_window(at: At) -> None:
    operator = at("Canary/Observing")
    operator.pass_time(100)
    operator.command("pause.1.p1.lunch")
    operator.step()
    assert operator.status["pause"]["id"] == "p1"
    assert operator.condition("Paused")["reason"] == "Commanded"
    assert operator.condition("Stalled")["status"] == "False"
    operator.pass_time(600)
    assert operator.place == "Canary/Observing"
    operator.command("resume.1.other")
    operator.step()
    assert operator.status["pause"]["id"] == "p1"
    resume(operator)
    assert "pause" not in operator.status
    assert operator.status["observation"]["observedSeconds"] == 0
    operator.run("FullOut/")


def test_a_command_for_another_attempt_or_malformed_is_refused_once(at: At) -> None:
    operator = at("Canary/Observing")
    for text in ("pause.7.x", "jump.1.x", "resume.1.x", "force.1.rustfs-x.because"):
        operator.command(text)
        events = len(operator.world.events)
        operator.pass_time(30)
        ignored = [e for e in operator.world.events[events:] if e.reason == "CommandIgnored"]
        assert len(ignored) == 1
    assert operator.place == "Canary/Observing"
    assert "pause" not in operator.status


def test_abort_only_before_traffic(at: At) -> None:
    early, late = at("Validating/Inventory"), at("Canary/Observing")
    for operator in (early, late):
        operator.command("abort.1.a1")
        operator.step()
    assert early.place == "Failed/Done"
    assert late.place == "Canary/Observing"
    assert early.world.environments == []
    early.pass_time(300)
    assert early.place == "Failed/Done"
    early.world.migration["spec"]["attempt"] = 2
    early.run("Canary/")


def test_a_higher_attempt_does_not_begin_while_suspended(at: At) -> None:
    operator = at("Validating/Inventory")
    operator.command("abort.1.a1")
    operator.world.migration["spec"]["suspend"] = True
    operator.step()
    operator.world.migration["spec"]["attempt"] = 2
    operator.pass_time(300)
    assert (operator.place, operator.status["attempt"]) == ("Failed/Done", 1)
    operator.world.migration["spec"]["suspend"] = False
    operator.run("Canary/")
    assert operator.status["attempt"] == 2


def test_no_cut_over_without_its_approval(at: At) -> None:
    operator = at("Completing/ApproveCutOver")
    operator.pass_time(1200)
    assert operator.place == "Completing/ApproveCutOver"
    assert operator.condition("AwaitingApproval")["status"] == "True"
    assert operator.condition("Ready")["status"] == "True"
    assert operator.condition("PointOfNoReturn")["status"] == "False"


def test_the_approval_of_the_cut_over_does_not_approve_the_purge(at: At) -> None:
    operator = at("Completing/ApprovePurge")
    operator.step()
    cut_over = operator.world.migration["metadata"]["annotations"][names.ANNOTATION_APPROVE]
    assert cut_over.startswith("CutOver.")
    pending = operator.status["pendingApproval"]
    for text in (cut_over, f"CutOver.1.{pending['id']}", f"Purge.2.{pending['id']}", "Purge.1.wrong"):
        operator.annotate(names.ANNOTATION_APPROVE, text)
        operator.pass_time(60)
        assert operator.place == "Completing/ApprovePurge"
    assert "cleanup purge" not in operator.world.finished_verbs
    operator.approve()
    operator.run("Complete/")


def test_an_approval_before_it_is_asked_is_refused_and_stays_refused(at: At) -> None:
    asked = at("Completing/ApproveCutOver")
    asked.step()
    pending = asked.status["pendingApproval"]
    operator = at("Completing/Observing")
    operator.annotate(names.ANNOTATION_APPROVE, f"CutOver.1.{pending['id']}")
    operator.run("Completing/ApproveCutOver")
    operator.pass_time(300)
    assert operator.place == "Completing/ApproveCutOver"


def test_an_approval_given_while_suspended_waits(at: At) -> None:
    operator = at("Completing/ApproveCutOver")
    operator.step()
    operator.world.migration["spec"]["suspend"] = True
    operator.approve()
    operator.pass_time(120)
    assert operator.place == "Completing/ApproveCutOver"
    operator.world.migration["spec"]["suspend"] = False
    operator.run("Completing/Rehearse")


def test_the_purge_waits_for_a_snapshot_claim(at: At) -> None:
    operator = at("Completing/ApprovePurge")
    del operator.world.migration["spec"]["completing"]["snapshotClaimName"]
    operator.pass_time(60)
    assert "pendingApproval" not in operator.status
    assert "spec.completing.snapshotClaimName" in operator.status["message"]


def test_manual_approval_of_a_traffic_phase() -> None:
    outside = world()
    outside.migration["spec"]["phases"][0]["approval"] = "Manual"
    operator = Operator(outside)
    operator.run("Canary/Observing")
    operator.pass_time(700)
    assert operator.place == "Canary/Observing"
    assert operator.status["pendingApproval"]["step"] == "Canary"
    first = operator.status["pendingApproval"]["id"]
    operator.pass_time(120)
    assert operator.status["pendingApproval"]["id"] == first
    operator.approve()
    operator.run("FullOut/")
    assert operator.status["history"][0]["actor"] == "ann"


def test_a_deadline_pauses_and_does_not_count_pauses() -> None:
    outside = world()
    outside.migration["spec"]["phases"][0]["deadlineSeconds"] = 600
    outside.migration["spec"]["gates"][0]["max"] = "0.0000001"  # no sample here can show that
    operator = Operator(outside)
    operator.run("Canary/Observing")
    operator.command("pause.1.p1")
    operator.pass_time(900)
    assert operator.status["pause"]["cause"] == "Commanded"
    resume(operator)
    operator.pass_time(200)
    assert "pause" not in operator.status
    operator.pass_time(500)
    assert operator.status["pause"]["cause"] == "PhaseDeadlineExceeded"
    assert operator.condition("Stalled")["status"] == "True"
    resume(operator)
    operator.pass_time(300)
    assert "pause" not in operator.status


def test_a_pod_on_a_lost_node_blocks_until_it_is_forced_with_a_reason(at: At) -> None:
    operator = at("FullOut/Switch")
    operator.world.migration["spec"]["target"]["changeDeadlineSeconds"] = 3600
    operator.world.pod_lost = True
    operator.pass_time(60)
    assert operator.status["switch"]["stage"] in ("RollOut", "Drain")
    (lost,) = operator.world.pods
    # Its successor runs elsewhere, while the node's last word was "terminating".
    generation = operator.world.deployment["metadata"]["generation"]  # type: ignore[index]
    operator.world._start_pod(operator.world.deployment["spec"]["template"], generation)  # type: ignore[index]
    operator.pass_time(120)
    assert operator.status["switch"]["stage"] == "Drain"
    assert lost["metadata"]["name"] in operator.status["message"]
    operator.command(f"force.1.{lost['metadata']['name']}")
    operator.step()
    assert operator.status["switch"]["stage"] == "Drain"
    operator.command(f"force.1.{lost['metadata']['name']}.node-burnt-down")
    operator.run("FullOut/WarmUp")


def test_a_switch_past_its_deadline_is_taken_back_and_pauses(at: At) -> None:
    operator = at("FullOut/Switch")
    operator.step()
    operator.step()
    operator.world.pods_start = False
    operator.pass_time(320)
    assert operator.status["switch"]["purpose"] == "Revert"
    operator.world.pods_start = True
    operator.pass_time(120)
    assert operator.status["pause"]["cause"] == "SwitchDeadlineExceeded"
    assert settings(operator.world)[-1] == ("fs", "0.05", "true")
    resume(operator)
    operator.run("FullOut/WarmUp")
    assert settings(operator.world)[-1] == ("fs", "1", "true")


def test_a_read_switch_past_its_deadline_moves_the_marker_back_first(at: At) -> None:
    operator = at("Completing/ReadSwitch")
    operator.step()
    operator.step()
    operator.world.pods_start = False
    operator.pass_time(310)
    operator.world.pods_start = True
    operator.pass_time(200)
    assert operator.status["pause"]["cause"] == "SwitchDeadlineExceeded"
    assert operator.world.marker == "DualWrite"
    assert operator.world.refused_starts == []
    resume(operator)
    operator.run("Completing/ReadSwitch")
    operator.step()
    operator.step()
    operator.world.pods_start = False
    operator.pass_time(310)
    operator.world.pods_start = True
    operator.pass_time(200)
    assert operator.world.marker == "DualWrite"  # the second time too
    assert operator.world.refused_starts == []
    resume(operator)
    operator.run("Completing/WarmUp")
    assert operator.world.refused_starts == []


def test_when_taking_back_fails_too_only_a_person_can_help(at: At) -> None:
    operator = at("FullOut/Switch")
    operator.step()
    operator.step()
    operator.world.pods_start = False
    operator.pass_time(700)
    assert operator.condition("Stalled")["reason"] == "SwitchFailed"
    operator.world.pods_start = True
    operator.pass_time(120)
    assert operator.status["pause"]["cause"] == "SwitchDeadlineExceeded"


def test_a_conflict_on_the_first_apply_changes_nothing_and_ends_in_the_deadline(at: At) -> None:
    operator = at("Canary/Switch")
    operator.world.conflict = True
    operator.pass_time(200)
    assert operator.status["switch"]["stage"] == "Apply"
    assert operator.world.environments == []
