"""The command lines that the rollout gives to its Jobs are those that the engine takes."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from dualtrack.cli.main import parser
from dualtrack.engine.pace import Pace
from dualtrack.engine.pacefile import PaceFile, Priority
from dualtrack.engine.throttle import Zone
from outside import Operator, world


@pytest.fixture(scope="module")
def ways() -> tuple[Operator, Operator]:
    """The whole way forward, and the whole way back from the soak."""
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
    return operator, back


@pytest.fixture(scope="module")
def complete(ways: tuple[Operator, Operator]) -> Operator:
    return ways[0]


@pytest.fixture(scope="module")
def jobs(ways: tuple[Operator, Operator]) -> dict[str, dict[str, object]]:
    """Every Job of both ways, by name."""
    forward, back = ways
    return {**forward.world.jobs, **back.world.jobs}


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
        "report",
        "ledger",
    }


def test_the_command_that_checks_the_report_is_one_that_the_engine_takes(complete: Operator) -> None:
    report = complete.status["report"]
    program, *words = report["check"].split()
    parsed = parser(words).parse_args(words)
    assert (program, parsed.verb, parsed.step) == ("dualtrack", "report", "check")
    assert (parsed.report, parsed.root) == (report["path"], report["root"])
    made = _container(complete.world.jobs["main-1-report-rustfs-0"])["args"]
    assert made[made.index("--out") + 1] == report["path"]
    named = [made[made.index(option) + 1] for option in ("--drive", "--store")]
    assert [parsed.drive, parsed.store] == [[each] for each in named]


def test_the_sweep_is_told_its_pace(jobs: dict[str, dict[str, object]]) -> None:
    job = jobs["main-1-sweep-rustfs-0"]
    template = job["spec"]["template"]  # type: ignore[index]
    (volume,) = (v for v in template["spec"]["volumes"] if v["name"] == "pace")
    assert volume["configMap"] == {"name": "main-1-sweep-rustfs-0-pace"}
    assert "/etc/dualtrack/pace" in _container(job)["args"]


def test_a_running_sweep_follows_every_field_of_its_pace(tmp_path: Path) -> None:
    """The engine reads what the rollout writes, and reads it again while the sweep runs."""
    operator = Operator(world())
    operator.world.job_seconds = 1_000
    operator.run("FullOut/Sweep")
    operator.pass_time(20)
    (config,) = operator.world.configs.values()
    file = tmp_path / "pace"
    file.write_text(config["pace"])
    time = 1_000.0
    pace = Pace(str(file), None, wall=lambda: time, clock=lambda: time)
    assert pace.file == PaceFile(1000 * 20 / 700, Priority.ACCESS_FREQUENCY, concurrency=8)

    names = ("IoPressure", "CpuPressure", "RequestLatency", "StoreLatency")
    operator.world.migration["spec"]["sweep"] = {
        "objectsPerDay": 70,
        "percentPerWeek": 700,
        "concurrency": 3,
        "priority": "Random",
        "heed": [{"signal": name, "low": n, "high": n + 9} for n, name in enumerate(names)],
    }
    operator.pass_time(20)
    (config,) = operator.world.configs.values()
    file.write_text(config["pace"])
    pace.wait()
    assert pace.file.per_day != 70, "not before the minute is over"
    time += 61
    pace.wait()
    (pod,) = operator.world.pods
    zones = {name: Zone(n, n + 9) for n, name in enumerate(("ioPressure", "cpuPressure", "p99Ms", "storeMs"))}
    url = f"http://{pod['status']['podIP']}:9000/metrics"
    assert pace.file == PaceFile(70, Priority.RANDOM, zones, url, 3)


def _container(job: dict[str, object]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = job["spec"]["template"]["spec"]["containers"][0]  # type: ignore[index]
    return found
