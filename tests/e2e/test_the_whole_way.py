"""One migration from Pending to Complete on a real cluster, and what must be true afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from demo import oracle
from demo.kube import wait
from demo.scenario import Scenario
from scenes import approve, files_below_buckets, reaches, target_env

ORACLE = Path(__file__).resolve().parents[1] / "data" / "minio-single.oracle.json.zst"
VERSIONS = 2244
SEALED = 24
MANUAL = [{"step": "CutOver", "policy": "Manual"}, {"step": "Purge", "policy": "Manual"}]


def test_a_migration_runs_to_complete_and_loses_nothing(
    scene: Scenario, short: Callable[..., dict[str, Any]]
) -> None:
    scene.migrate(short(completing={"approvals": MANUAL}))
    reaches(scene, "Completing", "ApproveCutOver", seconds=600)
    cut_over = approve(scene, "CutOver")
    reaches(scene, "Completing", "ApprovePurge", seconds=600)
    again_with_the_old_approval(scene, cut_over)
    approve(scene, "Purge")
    status = reaches(scene, "Complete", seconds=300)

    everything_is_where_it_belongs(scene, status)
    everything_reads_back(scene)
    a_new_migration_is_refused(scene, short())


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
