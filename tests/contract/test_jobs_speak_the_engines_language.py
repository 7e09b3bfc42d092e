"""The command lines that the rollout gives to its Jobs are those that the engine takes."""

from __future__ import annotations

import copy

import pytest

from dualtrack.cli.main import parser
from outside import Operator, world


@pytest.fixture(scope="module")
def jobs() -> dict[str, dict[str, object]]:
    """Every Job of the whole way forward and of the whole way back, by name."""
    operator = Operator(world())
    back = None
    while operator.place != "Complete/Watching":
        decision = operator.step()
        if operator.place == "Completing/Soak" and back is None:
            back = copy.deepcopy(operator)
        if operator.status.get("pendingApproval"):
            operator.approve()
        operator.world.advance(max(1.0, min(decision.delay_seconds, 10.0)))
    assert back is not None
    back.command("rollback.1.r1")
    back.run("RolledBack/")
    return {**operator.world.jobs, **back.world.jobs}


def test_every_job_is_a_command_that_the_engine_takes(jobs: dict[str, dict[str, object]]) -> None:
    verbs = set()
    for job in jobs.values():
        arguments = _container(job)["args"]
        parsed = parser(arguments).parse_args(arguments)
        verbs.add(parsed.verb)
        assert parsed.drive == ["/data"]
        assert str(parsed.fence) == arguments[arguments.index("--fence") + 1]
    assert verbs == {
        "inventory",
        "mark",
        "migrate",
        "verify",
        "rehearse",
        "cleanup",
        "snapshot",
        "restore",
        "ledger",
    }


def test_the_sweep_is_told_its_pace(jobs: dict[str, dict[str, object]]) -> None:
    job = jobs["main-1-sweep-rustfs-0"]
    template = job["spec"]["template"]  # type: ignore[index]
    (volume,) = (v for v in template["spec"]["volumes"] if v["name"] == "pace")
    assert volume["configMap"] == {"name": "main-1-sweep-rustfs-0-pace"}
    assert "/etc/dualtrack/pace" in _container(job)["args"]


def _container(job: dict[str, object]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = job["spec"]["template"]["spec"]["containers"][0]  # type: ignore[index]
    return found
