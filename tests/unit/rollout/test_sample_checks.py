"""Sampled checks in the rollout: when they run, what a difference does, and no window is left beside one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dualtrack.api.phases import OnFailure
from dualtrack.cli.main import parser
from outside import Operator

At = Callable[[str], Operator]
INTERVAL = 60


@pytest.fixture
def checking(at: At) -> At:
    """A world at a place, with a check each minute."""

    def make(place: str) -> Operator:
        operator = at(place)
        sweep: dict[str, Any] = operator.world.migration["spec"].setdefault("sweep", {})
        sweep["sampleCheck"] = {"fractionPpm": 10_000, "intervalSeconds": INTERVAL}
        return operator

    return make


def checks(operator: Operator) -> list[list[str]]:
    """The command lines of the checks, in the order in which they were started."""
    jobs = [operator.world.jobs[name] for name in operator.world.created_jobs if "sample-check" in name]
    return [job["spec"]["template"]["spec"]["containers"][0]["args"] for job in jobs]


def test_without_the_setting_there_is_none(at: At) -> None:
    operator = at("FullOut/Observing")
    operator.run("Completing/ApproveCutOver")
    assert checks(operator) == []
    assert "sample" not in operator.status


@pytest.mark.parametrize("place", ["FullOut/Observing", "Completing/Observing"])
def test_one_runs_each_interval_on_the_next_slice(checking: At, place: str) -> None:
    operator = checking(place)
    operator.pass_time(4 * INTERVAL + 30)
    assert operator.place == place
    started = checks(operator)
    assert 3 <= len(started) <= 5
    for number, arguments in enumerate(started):
        assert arguments[arguments.index("--round") + 1] == str(number)
        assert arguments[arguments.index("--seed") + 1] == "mig-1"
        assert arguments[arguments.index("--sample-ppm") + 1] == "10000"
    assert operator.status["sample"]["round"] >= len(started) - 2
    assert operator.status["sample"]["objects"] == 10


@pytest.mark.parametrize("place", ["Canary/Observing", "FullOut/WarmUp", "Completing/Soak"])
def test_none_runs_where_not_every_object_is_on_both_tracks(checking: At, place: str) -> None:
    operator = checking(place)
    while operator.place == place:
        operator.pass_time(5)
        assert operator.place != place or checks(operator) == []


def test_the_engine_takes_its_command_line(checking: At) -> None:
    operator = checking("FullOut/Observing")
    operator.pass_time(5)
    (arguments,) = checks(operator)
    parsed = parser(arguments).parse_args(arguments)
    assert (parsed.verb, parsed.sample_ppm, parsed.seed, parsed.round) == ("verify", 10_000, "mig-1", 0)
    assert parsed.client_only


def test_finished_ones_do_not_pile_up(checking: At) -> None:
    operator = checking("FullOut/Observing")
    operator.pass_time(INTERVAL)
    (name,) = (name for name in operator.world.created_jobs if "sample-check" in name)
    assert operator.world.jobs[name]["spec"]["ttlSecondsAfterFinished"] == 3600
    others = [job for name, job in operator.world.jobs.items() if "sample-check" not in name]
    assert all("ttlSecondsAfterFinished" not in job["spec"] for job in others)


def test_a_difference_pauses_at_once_and_a_resume_checks_again(checking: At) -> None:
    operator = checking("FullOut/Observing")
    operator.world.failing_steps["SampleCheck"] = 1
    operator.pass_time(INTERVAL)
    pause = operator.status["pause"]
    assert pause["cause"] == "SampleDiffers"
    assert "found a difference" in pause["message"]
    assert operator.place == "FullOut/Observing"
    operator.command(f"resume.1.{pause['id']}")
    operator.pass_time(INTERVAL)
    assert "pause" not in operator.status
    assert [arguments[arguments.index("--round") + 1] for arguments in checks(operator)][:2] == ["0", "0"]


def test_a_difference_rolls_back_where_the_phase_asks_for_it(checking: At) -> None:
    operator = checking("FullOut/Observing")
    operator.world.migration["spec"]["phases"][-1]["onFailure"] = OnFailure.ROLLBACK.value
    operator.world.failing_steps["SampleCheck"] = 1
    operator.pass_time(INTERVAL)
    assert operator.place.split("/")[0] in ("RollingBack", "RolledBack")
    assert operator.status["rollback"]["cause"] == "SampleDiffers"


def test_a_window_is_not_left_while_a_check_is_at_work(checking: At) -> None:
    operator = checking("FullOut/Observing")
    operator.world.job_seconds = 1000
    operator.pass_time(700)
    assert operator.place == "FullOut/Observing"
    assert "waiting for the sampled check" in operator.status["message"]
    assert len(checks(operator)) == 1
    operator.world.job_seconds = 20
    operator.run("Completing/", limit=100)
    assert operator.status["sample"]["round"] == 0


def test_a_difference_found_as_the_window_ends_still_stops_it(checking: At) -> None:
    operator = checking("FullOut/Observing")
    operator.world.job_seconds = 1000
    operator.world.failing_steps["SampleCheck"] = 1
    operator.pass_time(1100)
    assert operator.place == "FullOut/Observing"
    assert operator.status["pause"]["cause"] == "SampleDiffers"


def test_a_result_that_does_not_say_what_was_looked_at_is_none(checking: At) -> None:
    operator = checking("FullOut/Observing")
    operator.pass_time(5)
    operator.world.advance(25)
    (name,) = (name for name in operator.world.created_jobs if "sample-check" in name)
    del operator.world.jobs[name]["_result"]["sample"]
    operator.step()
    assert operator.status["pause"]["cause"] == "JobFailed"
    assert "sample" not in operator.status


def test_a_check_whose_job_was_removed_is_made_again(checking: At) -> None:
    operator = checking("FullOut/Observing")
    operator.pass_time(5)
    (name,) = (name for name in operator.world.created_jobs if "sample-check" in name)
    removed = operator.world.jobs.pop(name)
    operator.pass_time(INTERVAL)
    operator.world.jobs.setdefault(name, removed)
    assert len(checks(operator)) == 2
    assert operator.status["sample"]["round"] == 0
