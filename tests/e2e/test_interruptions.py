"""Whatever is killed, the migration goes its way: the same Jobs, the same ratios, nothing twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from demo.kube import Kube, wait
from demo.scenario import Scenario
from scenes import reaches, settings_in_order, target_env

INTERVAL_SECONDS = 5

SLOW_SWEEP = {"objectsPerDay": 20_000_000, "percentPerWeek": 1_000_000_000}
STEPS = [
    "Inventory",
    "MarkDualWrite",
    "Sweep",
    "FullVerify",
    "MarkKvPrimary",
    "Rehearse",
    "MarkKvOnly",
    "FinalVerify",
    "Hold",
    "Snapshot",
    "Purge",
    "RemoveDirectories",
    "Report",
    "Ledger",
]


@dataclass(frozen=True, slots=True)
class Run:
    """What a migration has done to the outside, and how much good time each of its phases took."""

    steps: list[str]
    settings: list[tuple[str, str, str, str]]
    observed: dict[str, int]
    uids: dict[str, set[str]]


def test_the_operator_is_killed_at_every_step(
    short: Callable[..., dict[str, Any]], scenes: Callable[[], Scenario]
) -> None:
    """The same Jobs, the same settings in the same order and the same good time as an undisturbed run."""
    # A dead operator's seconds are lost, not observed: less coverage makes room for them, nothing else.
    spec = short(evaluation={"minimumCoveragePercent": 40})
    undisturbed = completed(scenes(), spec)
    disturbed = completed(scenes(), spec, at_each_place=kill_operator)

    assert disturbed.steps == undisturbed.steps == STEPS
    assert disturbed.settings == undisturbed.settings
    assert all(len(uids) == 1 for uids in disturbed.uids.values()), "a Job was made anew"
    assert disturbed.observed.keys() == undisturbed.observed.keys() == {"Canary", "FullOut", "Completing"}
    for phase, seconds in undisturbed.observed.items():
        assert abs(disturbed.observed[phase] - seconds) <= INTERVAL_SECONDS, (phase, undisturbed, disturbed)


def completed(
    scene: Scenario, spec: dict[str, Any], at_each_place: Callable[[Scenario], None] | None = None
) -> Run:
    """Run a migration to Complete, doing something at each phase and step that it comes to."""
    scene.migrate(spec)
    uids: dict[str, set[str]] = {}
    last, deadline = "", time.monotonic() + 1200
    while (status := scene.status()).get("phase") != "Complete":
        assert time.monotonic() < deadline, status.get("message")
        assert status.get("phase") not in ("Failed", "RolledBack"), status.get("message")
        assert "pause" not in status, status["pause"]
        for job in scene.kube.items("jobs"):
            uids.setdefault(job["metadata"]["name"], set()).add(job["metadata"]["uid"])
        here = f"{status.get('phase')}/{status.get('step')}"
        if here != last and at_each_place is not None:
            at_each_place(scene)
        last = here
        time.sleep(0.5)
    assert scene.verify_load()["wrong"] == []
    return Run(
        [job["step"] for job in status["jobs"]],
        settings_in_order(scene),
        {t["phase"]: t["observedSeconds"] for t in status["timings"] if "observedSeconds" in t},
        uids,
    )


def test_the_gateway_is_killed_in_mid_sweep(scene: Scenario, short: Callable[..., dict[str, Any]]) -> None:
    """Lazy: the level at which most of the acknowledged writes have no row yet when it dies."""
    scene.migrate(short(sweep=SLOW_SWEEP, consistency={"level": "Lazy"}))
    sweeping(scene)
    assert target_env(scene)["RUSTFS_DUAL_TRACK_CONSISTENCY"] == "lazy"
    scene.kube.run("delete", "pod", "-l", "app=rustfs", "--grace-period=0", "--force")
    reaches(scene, "Completing", seconds=300)
    load = scene.verify_load()
    assert load["wrong"] == []
    assert load["unreadable"] == []


def test_a_migrate_job_is_killed_half_way(scene: Scenario, short: Callable[..., dict[str, Any]]) -> None:
    scene.migrate(short(sweep=SLOW_SWEEP))
    before = sweeping(scene)
    scene.kube.run("delete", "pod", "-l", f"job-name={before['name']}", "--grace-period=0", "--force")
    status = reaches(scene, "Completing", seconds=300)
    after = next(job for job in status["jobs"] if job["step"] == "Sweep")
    assert (after["uid"], after["state"]) == (before["uid"], "Complete")


def sweeping(scene: Scenario) -> dict[str, Any]:
    """Wait until the sweep has done some of its work and not all; gives its Job as status shows it."""

    def probe() -> dict[str, Any] | None:
        jobs = [job for job in scene.status().get("jobs", []) if job["step"] == "Sweep"]
        return jobs[0] if jobs and jobs[0].get("scanned", 0) > 100 and jobs[0]["state"] == "Running" else None

    return wait("a sweep at work", probe, 300, pause=0.2)


def kill_operator(scene: Scenario) -> None:
    system = Kube(scene.kube.kubectl, scene.kube.kubeconfig, "dualtrack-system")
    system.delete("pod", "-l", "app.kubernetes.io/name=dualtrack", "--grace-period=0", "--force", wait=False)
