"""Somebody else at the target: our variables, its template, the object itself, a second migration."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from outside import Operator, deployment, world
from way_data import settings

At = Callable[[str], Operator]


def revert(operator: Operator) -> None:
    """What Helm or Argo CD does: our variables are gone from the template."""
    operator.world.set_env({}, only=True)


def test_a_reverted_env_is_applied_again_at_once_with_a_new_epoch_and_window(at: At) -> None:
    operator = at("Canary/Observing")
    operator.pass_time(100)
    revert(operator)
    operator.step()
    operator.step()
    assert settings(operator.world)[-1] == ("fs", "0.05", "true")
    assert operator.world.environments[-1]["RUSTFS_DUAL_TRACK_EPOCH"] == "2"
    operator.run("Canary/WarmUp")
    operator.run("Canary/Observing")
    assert operator.status["observation"]["observedSeconds"] == 0
    assert operator.condition("TargetDrifted")["status"] == "False"
    operator.run("FullOut/")


def test_the_fourth_time_it_pauses_and_stops_fighting(at: At) -> None:
    operator = at("Canary/Observing")
    for _ in range(4):
        assert "pause" not in operator.status
        revert(operator)
        operator.pass_time(60)
    assert operator.status["pause"]["cause"] == "Drifted"
    assert operator.condition("TargetDrifted")["status"] == "True"
    applied = len(operator.world.environments)
    operator.pass_time(600)
    assert len(operator.world.environments) == applied
    operator.command(f"resume.1.{operator.status['pause']['id']}")
    operator.run("FullOut/")


def test_rows_swept_before_a_drift_are_swept_again(at: At) -> None:
    operator = at("FullOut/Observing")
    revert(operator)
    operator.run("FullOut/Sweep")
    operator.run("Completing/")
    sweeps = [n for n in operator.world.created_jobs if "sweep" in n]
    verifications = [n for n in operator.world.created_jobs if "full-verify" in n]
    assert sweeps == ["main-1-sweep-rustfs-0", "main-1-sweep-rustfs-0-1"]
    assert len(verifications) == 2


@pytest.mark.parametrize("place", ["Completing/FinalVerify", "Completing/Soak", "Complete/Watching"])
def test_after_the_cut_over_it_is_applied_again_without_limit(at: At, place: str) -> None:
    operator = at(place)
    operator.world.job_seconds = 100_000
    for _ in range(6):
        revert(operator)
        operator.world.advance(20)
        operator.pass_time(400)
        assert settings(operator.world)[-1] == ("kv_only", "1", "false")
        assert "switch" not in operator.status
    assert "pause" not in operator.status
    assert operator.place == place or place == "Completing/Soak"
    # The marker kept every pod from starting in the wrong mode, so no row is doubted.
    assert {e["RUSTFS_DUAL_TRACK_EPOCH"] for e in operator.world.environments} == {"1"}
    assert len(operator.world.refused_starts) >= 1


def test_a_drift_between_the_last_phase_and_the_read_switch_pauses(at: At) -> None:
    operator = at("Completing/MarkKvPrimary")
    revert(operator)
    operator.step()
    assert operator.status["pause"]["cause"] == "Drifted"
    operator.command("rollback.1.r1")
    operator.run("RolledBack/")


def test_a_pause_before_the_cut_over_hides_no_drift(at: At) -> None:
    operator = at("Completing/CutOver")
    operator.command("pause.1.p1")
    revert(operator)
    applied = len(operator.world.environments)
    operator.pass_time(60)
    assert operator.place == "Completing/CutOver"
    assert len(operator.world.environments) == applied
    assert operator.condition("Paused")["status"] == "True"
    drifted = operator.condition("TargetDrifted")
    assert (drifted["status"], drifted["reason"]) == ("True", "Drifted")
    assert "RUSTFS_METADATA_ENGINE=(absent)" in drifted["message"]
    operator.command(f"resume.1.{operator.status['pause']['id']}")
    operator.run("Completing/FinalVerify")
    operator.step()
    assert operator.condition("TargetDrifted")["status"] == "False"


def test_another_change_of_the_template_restarts_the_window(at: At) -> None:
    operator = at("Canary/Observing")
    operator.pass_time(100)
    _annotate_template(operator)
    operator.step()
    assert operator.place == "Canary/WarmUp"
    assert [e.reason for e in operator.world.events].count("TargetChanged") >= 1


def test_from_the_read_switch_on_it_pauses(at: At) -> None:
    operator = at("Completing/Observing")
    _annotate_template(operator)
    operator.pass_time(30)
    assert operator.status["pause"]["cause"] == "TargetChanged"


def test_a_target_that_was_made_anew_is_left_alone(at: At) -> None:
    operator = at("Canary/Observing")
    assert operator.world.deployment is not None
    operator.world.deployment["metadata"]["uid"] = "another"
    applied = len(operator.world.environments)
    operator.pass_time(60)
    assert operator.condition("Stalled")["reason"] == "TargetChanged"
    assert len(operator.world.environments) == applied


def test_a_target_that_is_gone_is_waited_for(at: At) -> None:
    operator = at("Canary/Observing")
    kept, operator.world.deployment = operator.world.deployment, None
    operator.pass_time(60)
    assert operator.condition("Stalled")["reason"] == "TargetNotFound"
    operator.world.deployment = kept
    operator.run("FullOut/")


def test_a_second_migration_on_the_target_does_nothing(at: At) -> None:
    operator = at("Canary/Observing")
    second = Operator(copy.deepcopy(operator.world))
    second.world.migration = world().migration
    second.world.migration["metadata"]["uid"] = "mig-2"
    second.world.holder_exists = True
    applied = len(second.world.environments)
    second.pass_time(300)
    assert second.place == "Pending/Claim"
    assert second.condition("Stalled")["reason"] == "ClaimedByAnother"
    assert "mig-1" in second.status["message"]
    assert len(second.world.environments) == applied
    assert second.world.created_jobs == operator.world.created_jobs


def test_a_claim_of_a_deleted_migration_is_taken_over_by_version() -> None:
    outside = world()
    outside.lease = {
        "metadata": {"name": "dualtrack-dep-uid", "uid": "l", "resourceVersion": "7"},
        "spec": {"holderIdentity": "gone"},
    }
    outside.holder_exists = False
    operator = Operator(outside)
    operator.step()
    decision = operator.step()
    (patch,) = (a for a in decision.actions if hasattr(a, "patch"))
    assert patch.uid == "l"
    assert patch.patch["metadata"]["resourceVersion"] == "7"
    operator.run("Validating/")


def test_a_lease_lost_to_another_stops_everything(at: At) -> None:
    operator = at("Canary/Observing")
    assert operator.world.lease is not None
    operator.world.lease["spec"]["holderIdentity"] = "somebody"
    operator.world.holder_exists = True
    revert(operator)
    applied = len(operator.world.environments)
    operator.pass_time(60)
    assert len(operator.world.environments) == applied
    assert operator.condition("Stalled")["reason"] == "ClaimedByAnother"


@pytest.mark.parametrize(
    "env",
    [
        {
            "RUSTFS_METADATA_ENGINE": "kv_only",
            "RUSTFS_DUAL_TRACK_RATIO": "1",
            "RUSTFS_FALLBACK_TO_FS": "false",
        },
        {"RUSTFS_METADATA_ENGINE": "kv_primary", "RUSTFS_DUAL_TRACK_RATIO": "1"},
        {"RUSTFS_DUAL_TRACK_RATIO": "0.25"},
        {"RUSTFS_METADATA_ENGINE": "fs", "RUSTFS_DUAL_TRACK_RATIO": "what"},
    ],
)
def test_a_new_migration_on_a_migrated_target_refuses_and_never_patches(env: dict[str, str]) -> None:
    outside = world()
    outside.deployment = deployment(env)
    operator = Operator(outside)
    operator.pass_time(300)
    assert operator.place == "Validating/Preflight"
    assert operator.condition("Stalled")["reason"] == "TargetAlreadyMigrated"
    assert outside.environments == []
    assert outside.created_jobs == []


@pytest.mark.parametrize("marker", ["DualWrite", "KvPrimary", "KvOnly", "Purged"])
def test_a_drive_that_another_migration_has_marked_is_refused(marker: str) -> None:
    outside = world()
    outside.marker = marker
    operator = Operator(outside)
    operator.pass_time(120)
    assert operator.place == "Validating/Inventory"
    assert operator.condition("Stalled")["reason"] == "TargetAlreadyMigrated"
    assert outside.environments == []


def _annotate_template(operator: Operator) -> None:
    assert operator.world.deployment is not None
    operator.world.deployment["spec"]["template"]["metadata"]["annotations"] = {"restartedAt": "now"}
    operator.world.deployment["metadata"]["generation"] += 1
