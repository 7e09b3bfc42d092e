"""What evidence does: no data stops the clock, bad data pauses, one divergence acts at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from demo.kube import wait
from demo.scenario import Scenario
from scenes import mmig, paused, reaches, run_in_gateway, target_env

FAILURE_WINDOW_SECONDS = 30
LONG_CANARY = [
    {"name": "Canary", "ratioPercent": 50, "warmupSeconds": 8, "observationSeconds": 60},
    {"name": "FullOut", "ratioPercent": 100, "warmupSeconds": 8, "observationSeconds": 15},
]


def gates(**severities: str) -> list[dict[str, Any]]:
    """The demo's gates, with those of one severity only looked at, so that a case is about one gate.

    Damaged metadata shows as errors and as differences at once, and whichever is seen first acts.
    """
    common = {"onNoData": "Wait", "maxStalenessSeconds": 10}
    evidence = {"confidencePercent": 95, "minimumBadEvents": 5, "onInsufficient": "Wait"}
    latency = [{"name": "operation", "value": "put"}, {"name": "thresholdMilliseconds", "value": "2000"}]
    found: list[dict[str, Any]] = [
        {"name": "error-rate", "preset": "error-rate", "max": "0.01", "severity": "Normal"},
        {"name": "consistency", "preset": "consistency-errors", "max": "0", "severity": "Critical"},
    ]
    for gate in found:
        gate["severity"] = severities.get(gate["severity"], gate["severity"])
    slow = {"name": "put-latency", "preset": "latency-fraction", "args": latency, "max": "0.5"}
    return [{**common, "evidence": evidence, **gate} for gate in (*found, {**slow, "severity": "Normal"})]


def test_without_prometheus_the_clock_stops_and_goes_on_afterwards(
    scene: Scenario, short: Callable[..., dict[str, Any]]
) -> None:
    scene.migrate(short(phases=LONG_CANARY))
    wait("good time", lambda: scene.status().get("observation", {}).get("observedSeconds", 0) > 4, 180)
    before = target_env(scene)
    scene.kube.run("scale", "deployment/prometheus", "--replicas=0")

    def out_for_long() -> dict[str, Any] | None:
        status = scene.status()
        missing = scene.condition("MetricsAvailable").get("status") == "False"
        lost = status.get("observation", {}).get("lostSeconds", 0) > 2 * FAILURE_WINDOW_SECONDS
        return status if missing and lost else None

    first = scene.status()["observation"]["observedSeconds"]
    status = wait("an outage longer than the failure window", out_for_long, 180)
    assert (status["phase"], status["step"]) == ("Canary", "Observing"), "nothing rolls back, nothing pauses"
    assert status["observation"]["observedSeconds"] <= first + 5, "time without data is not good time"
    assert target_env(scene) == before

    scene.kube.run("scale", "deployment/prometheus", "--replicas=1")
    reaches(scene, "FullOut", seconds=300)


def test_errors_over_the_bound_pause_and_a_rollback_gives_the_old_env(
    scene: Scenario, short: Callable[..., dict[str, Any]]
) -> None:
    scene.migrate(short(phases=LONG_CANARY, gates=gates(Critical="Observe")))
    reaches(scene, "Canary", "Observing", seconds=180)
    damage = (
        "import contextlib, os\n"
        "for folder, _, names in os.walk('/data/load'):\n"
        "    for name in names:\n"
        "        if name == 'xl.meta':\n"
        # The load goes on meanwhile, and deletes objects.
        "            with contextlib.suppress(FileNotFoundError), open(f'{folder}/{name}', 'r+b') as file:\n"
        "                file.seek(30)\n"
        "                file.write(b'damaged')\n"
    )
    run_in_gateway(scene, damage)

    status = paused(scene)
    assert "error-rate" in status["pause"]["message"] + status["message"]
    assert {gate["name"]: gate["verdict"] for gate in status["gates"]}["error-rate"] == "Fail"

    mmig(scene, "rollback", "demo", "--reason", "damaged files")
    reaches_after_pause(scene, "RolledBack")
    env = target_env(scene)
    assert env["RUSTFS_METADATA_ENGINE"] == "fs"
    assert float(env["RUSTFS_DUAL_TRACK_RATIO"]) == 0
    assert env["RUSTFS_FALLBACK_TO_FS"] == "true"


def test_one_divergence_acts_at_once(scene: Scenario, short: Callable[..., dict[str, Any]]) -> None:
    scene.migrate(short(phases=LONG_CANARY, gates=gates(Normal="Observe")))
    reaches(scene, "Canary", "Observing", seconds=180)
    wait("rows that reads are compared with", lambda: compared(scene) > 200, 90)
    swap = (
        "import contextlib, os, shutil\n"
        "found = sorted(f for f, _, names in os.walk('/data/load') if 'xl.meta' in names)\n"
        "for one, other in zip(found[0::2], found[1::2]):\n"
        "    with contextlib.suppress(FileNotFoundError):\n"
        "        shutil.copyfile(f'{one}/xl.meta', f'{other}/.planted')\n"
        "        os.rename(f'{other}/.planted', f'{other}/xl.meta')\n"
    )
    run_in_gateway(scene, swap)
    status = paused(scene, seconds=60)
    assert "consistency" in status["pause"]["message"] + status["message"]


def compared(scene: Scenario) -> int:
    """How many reads the consistency gate has counted: a key without a row yet is not compared."""
    found = {gate["name"]: gate for gate in scene.status().get("gates", [])}
    return int(found.get("consistency", {}).get("samples", 0))


def reaches_after_pause(scene: Scenario, phase: str) -> None:
    wait(phase, lambda: scene.status().get("phase") == phase, 240)
