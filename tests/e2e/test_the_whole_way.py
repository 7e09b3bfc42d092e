"""One migration from Pending to Complete on a real cluster, and what must be true afterwards."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from demo import oracle
from demo.kube import wait
from demo.scenario import Scenario
from scenes import (
    approve,
    files_below_buckets,
    mmig,
    reaches,
    run_in_gateway,
    settings_in_order,
    target_env,
)

ORACLE = Path(__file__).resolve().parents[1] / "data" / "minio-single.oracle.json.zst"
VERSIONS = 2244
SEALED = 24
SWEEP = {
    "sampleCheck": {"fractionPpm": 100_000, "intervalSeconds": 5},
    # So wide that only a signal that is gone slows the sweep down, to ten objects a second.
    "heed": [
        {"signal": "RequestLatency", "low": 3_000_000, "high": 3_600_000},
        {"signal": "StoreLatency", "low": 3_000_000, "high": 3_600_000},
    ],
}
CONSISTENCY = {"windowSeconds": 30, "cache": {"capacity": 5_000}, "inlineThresholdBytes": 65_536}
MANUAL = [{"step": "CutOver", "policy": "Manual"}, {"step": "Purge", "policy": "Manual"}]


def test_a_migration_runs_to_complete_and_loses_nothing(
    scene: Scenario, short: Callable[..., dict[str, Any]]
) -> None:
    scene.migrate(short(completing={"approvals": MANUAL}, sweep=SWEEP, consistency=CONSISTENCY))
    reaches(scene, "Completing", "ApproveCutOver", seconds=600)
    samples_were_checked(scene)
    the_sweep_saw_what_it_heeds(scene)
    cut_over = approve(scene, "CutOver")
    reaches(scene, "Completing", "ApprovePurge", seconds=600)
    again_with_the_old_approval(scene, cut_over)
    approve(scene, "Purge")
    status = reaches(scene, "Complete", seconds=300)

    consistency_came_with_the_mode(scene)
    the_report_is_proven(scene, status)
    everything_is_where_it_belongs(scene, status)
    everything_reads_back(scene)
    a_new_migration_is_refused(scene, short())


def samples_were_checked(scene: Scenario) -> None:
    """In FullOut and in the read switch, each on the next slice; what it shows is where people look."""
    jobs = scene.kube.items("jobs", "-l", "dualtrack.rustfs.com/step=SampleCheck")
    assert all(job["status"].get("succeeded") == 1 for job in jobs)
    arguments = [job["spec"]["template"]["spec"]["containers"][0]["args"] for job in jobs]
    rounds = sorted(int(each[each.index("--round") + 1]) for each in arguments)
    assert len(rounds) >= 2
    assert rounds == list(range(len(rounds)))
    sample = scene.status()["sample"]
    assert (sample["round"], sample["rounds"]) == (rounds[-1], 10)
    assert sample["objects"] > 100
    assert f"sampled check: {sample['objects']} objects equal" in mmig(scene, "explain", "demo")


def the_sweep_saw_what_it_heeds(scene: Scenario) -> None:
    """The metrics of the pod that served, by the address in its ConfigMap."""
    config = scene.kube.get("configmap", "demo-1-sweep-rustfs-0-pace")
    pace = json.loads(config["data"]["pace"])
    assert pace["priority"] == "random"
    assert pace["objects"] > 2000
    assert pace["heed"]["metricsURL"].endswith(":9000/metrics")
    told = scene.kube.run("logs", "job/demo-1-sweep-rustfs-0")
    assert '"event":"progress"' in told.replace(" ", "")
    assert "p99Ms" not in told, "the sweep waited for a signal that was gone"


def consistency_came_with_the_mode(scene: Scenario) -> None:
    env = target_env(scene)
    assert env["RUSTFS_DUAL_TRACK_CONSISTENCY"] == "eventual"
    assert env["RUSTFS_DUAL_TRACK_WINDOW_SECONDS"] == "30"
    assert env["RUSTFS_METADATA_CACHE_CAPACITY"] == "5000"
    assert env["RUSTFS_INLINE_THRESHOLD_BYTES"] == "65536"
    modes = [setting[:2] for setting in settings_in_order(scene)]
    assert modes == [("", ""), ("fs", "0.2"), ("fs", "1"), ("kv_primary", "1"), ("kv_only", "1")]


def the_report_is_proven(scene: Scenario, status: dict[str, Any]) -> None:
    """By the command that the status and the last event name; writes since then leave it open at most."""
    report = status["report"]
    notes = [str(event.get("note", "")) for event in scene.kube.items("events.events.k8s.io")]
    assert any(report["root"] in note and report["check"] in note for note in notes)
    assert report["check"] in mmig(scene, "status", "demo")
    run = f"import subprocess\nprint(subprocess.run({report['check'].split()!r}).returncode)"
    told = run_in_gateway(scene, run).split()
    assert told[-1] in ("0", "50"), told
    altered = report["check"].replace(report["root"], "blake2b:" + 64 * "0")
    run = f"import subprocess\nprint(subprocess.run({altered.split()!r}).returncode)"
    assert run_in_gateway(scene, run).split()[-1] == "51"


def again_with_the_old_approval(scene: Scenario, cut_over: str) -> None:
    """CutOver's approval, which still stands there, does not approve the purge; nor does its id."""
    stands = scene.migration()["metadata"]["annotations"]["dualtrack.rustfs.com/approve"]
    assert stands == cut_over
    forged = f"Purge{cut_over.removeprefix('CutOver')}"
    scene.kube.run("annotate", "mmig", "demo", "--overwrite", f"dualtrack.rustfs.com/approve={forged}")

    def said_so() -> bool:
        notes = [str(event.get("note", "")) for event in scene.kube.items("events.events.k8s.io")]
        return any(forged in note and "ignored" in note for note in notes)

    wait(f"an event that {forged} is ignored", said_so, 60)
    assert scene.status()["step"] == "ApprovePurge"


def everything_is_where_it_belongs(scene: Scenario, status: dict[str, Any]) -> None:
    env = target_env(scene)
    assert env["RUSTFS_METADATA_ENGINE"] == "kv_only"
    assert env["RUSTFS_FALLBACK_TO_FS"] == "false"
    assert files_below_buckets(scene) == []
    ledger = status["ledger"]
    assert 0 < ledger["inodesAfter"] < ledger["inodesBefore"]
    assert ledger["rows"] > 2000
    conditions = {c["type"]: c["status"] for c in status["conditions"]}
    assert conditions["Succeeded"] == "True"
    assert conditions["PointOfNoReturn"] == "True"
    steps = [job["name"] for job in status["jobs"]]
    assert len(steps) == len(set(steps))


def everything_reads_back(scene: Scenario) -> None:
    load = scene.verify_load()
    assert load["wrong"] == []
    assert load["unreadable"] == []
    assert load["acknowledged"] > 500
    with scene.kube.forwarded("service/rustfs", 9000) as address:
        read = oracle.compare(address, oracle.load_oracle(ORACLE), "peeradmin", "peersecret123")
    assert read.wrong == []
    assert (len(read.sealed), read.same + len(read.sealed)) == (SEALED, VERSIONS)


def a_new_migration_is_refused(scene: Scenario, changes: dict[str, Any]) -> None:
    """On a finished target nothing is patched downwards, whoever asks."""
    before = target_env(scene)
    scene.kube.delete("metadatamigration/demo")
    scene.migrate(changes, name="again")

    def refused() -> dict[str, Any] | None:
        found = scene.condition("Stalled", "again")
        return found if found.get("status") == "True" else None

    assert wait("the refusal", refused, 90)["reason"] == "TargetAlreadyMigrated"
    assert target_env(scene) == before
