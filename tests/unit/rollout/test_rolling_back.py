"""The way back from every station, and that it is latched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from outside import Operator
from way_data import FROM_CUT_OVER, FROM_FIRST_MARK, FROM_READ_SWITCH, settings

At = Callable[[str], Operator]


@pytest.mark.parametrize("place", FROM_FIRST_MARK + FROM_READ_SWITCH + FROM_CUT_OVER)
def test_a_commanded_rollback_ends_on_the_file_system(at: At, place: str) -> None:
    operator = at(place)
    verbs = len(operator.world.finished_verbs)
    applied = len(operator.world.environments)
    operator.command("rollback.1.r1.changed-our-mind")
    operator.run("RolledBack/")
    assert settings(operator.world)[-1] == ("fs", "0", "true")
    assert operator.world.marker == "FsAuthoritative"
    assert operator.world.refused_starts == []
    assert operator.condition("Succeeded")["status"] == "False"
    assert operator.condition("PointOfNoReturn")["status"] == "False"
    back = operator.world.finished_verbs[verbs:]
    changes = [(e["RUSTFS_METADATA_ENGINE"], e["RUSTFS_FALLBACK_TO_FS"]) for e in operator.world.environments]
    if place in FROM_CUT_OVER:
        assert back[-5:] == ["restore", "verify", "mark", "mark", "mark"]
        assert changes[applied:][-3:] == [("kv_primary", "false"), ("kv_primary", "true"), ("fs", "true")]
    elif place in FROM_READ_SWITCH:
        assert back == ["mark", "mark"]
        assert changes[applied:] == [("fs", "true")]
    else:
        assert back == ["mark"]
        assert changes[applied:] == [("fs", "true")]


def test_every_step_down_raises_the_epoch(at: At) -> None:
    operator = at("Completing/Soak")
    operator.command("rollback.1.r1")
    operator.run("RolledBack/")
    last = [int(e["RUSTFS_DUAL_TRACK_EPOCH"]) for e in operator.world.environments[-3:]]
    assert last == [2, 2, 3]


def test_a_rollback_survives_a_crash_in_every_pass(at: At) -> None:
    operator = at("Completing/Hold")
    operator.command("rollback.1.r1")
    for _ in range(1000):
        operator.crash_before_status = True
        operator.step()
        operator.world.advance(1.0)
        operator.step()
        operator.world.advance(2.0)
        if operator.place.startswith("RolledBack"):
            break
    assert operator.world.marker == "FsAuthoritative"
    assert operator.world.finished_verbs.count("restore") == 1
    assert operator.world.refused_starts == []


@pytest.mark.parametrize("place", ["Pending/Claim", "Validating/Inventory"])
def test_nothing_to_take_back_before_the_first_change(at: At, place: str) -> None:
    operator = at(place)
    operator.command("rollback.1.r1")
    operator.step()
    assert operator.status["handledCommands"][0]["outcome"] == "Refused"
    assert not operator.place.startswith("Roll")


def test_a_failing_restore_pauses_and_goes_on_with_the_next_job(at: At) -> None:
    operator = at("Completing/Soak")
    operator.world.failing_steps["Restore"] = 1
    operator.command("rollback.1.r1")
    operator.run("RollingBack/Restore")
    operator.pass_time(60)
    assert operator.condition("Paused")["status"] == "True"
    assert operator.condition("Stalled")["status"] == "True"
    assert settings(operator.world)[-1] == ("kv_primary", "1", "false")
    operator.command(f"resume.1.{operator.status['pause']['id']}")
    operator.run("RolledBack/")
    restores = [n for n in operator.world.created_jobs if "restore-rustfs" in n]
    assert restores == ["main-1-restore-rustfs-0", "main-1-restore-rustfs-0-1"]


def test_rolled_back_is_latched_until_a_higher_attempt(at: At) -> None:
    operator = at("Canary/Observing")
    operator.command("rollback.1.r1")
    operator.run("RolledBack/")
    operator.pass_time(900)
    assert operator.place == "RolledBack/Done"
    operator.command("resume.1.r1")
    operator.step()
    assert operator.place == "RolledBack/Done"
    operator.world.migration["spec"]["attempt"] = 2
    operator.step()
    assert operator.place == "Validating/Preflight"
    operator.run("Canary/Observing")
    assert settings(operator.world)[-1] == ("fs", "0.05", "true")
    assert operator.world.environments[-1]["RUSTFS_DUAL_TRACK_EPOCH"] == "3"
    assert operator.world.created_jobs[-1] == "main-2-mark-dual-write-rustfs-0"


def test_a_higher_attempt_waits_while_this_one_runs(at: At) -> None:
    operator = at("Canary/Observing")
    operator.world.migration["spec"]["attempt"] = 2
    operator.step()
    assert operator.place == "Canary/Observing"
    assert operator.status["attempt"] == 1


def test_the_way_back_does_not_need_a_healthy_store(at: At) -> None:
    operator = at("Canary/Observing")
    operator.world.degraded = True
    operator.command("rollback.1.r1")
    operator.run("RolledBack/")


def test_a_switch_that_was_only_recorded_is_not_carried_out_on_the_way_back(at: At) -> None:
    operator = at("Completing/ReadSwitch")
    operator.step()
    operator.step()
    operator.world.pods_start = False
    while operator.status["switch"]["purpose"] != "Revert":
        operator.world.advance(10)
        operator.step()
    operator.world.pods_start = True
    operator.command("rollback.1.r1")
    operator.run("RolledBack/")
    assert settings(operator.world)[-2:] == [("kv_primary", "1", "true"), ("fs", "0", "true")]
    assert operator.world.refused_starts == []


def test_suspension_does_not_stop_the_way_back(at: At) -> None:
    operator = at("Canary/Observing")
    operator.world.migration["spec"]["suspend"] = True
    operator.command("rollback.1.r1")
    operator.run("RolledBack/")


def test_a_sweep_is_stopped_before_the_way_back_switches(at: At) -> None:
    operator = at("FullOut/Sweep")
    operator.world.job_seconds = 10_000
    operator.pass_time(20)
    (name,) = (n for n in operator.world.created_jobs if "sweep" in n)
    operator.command("rollback.1.r1")
    operator.run("RollingBack/SwitchBack")
    operator.step()
    assert operator.world.jobs[name]["spec"]["suspend"] is True
    operator.world.job_seconds = 20
    operator.run("RolledBack/")


def test_no_environment_changes_while_nobody_knows_which_jobs_are_at_work(at: At) -> None:
    operator = at("Completing/Hold")
    operator.run("Completing/Hold")
    applied = len(operator.world.environments)
    everything = operator.world.observe
    operator.command("rollback.1.r1")
    operator.world.observe = lambda: replace(everything(), jobs=None)  # type: ignore[method-assign]
    operator.pass_time(30)
    assert len(operator.world.environments) == applied
    assert "did not list the Jobs" in operator.status["message"]
    operator.world.observe = everything  # type: ignore[method-assign]
    operator.run("RolledBack/")
