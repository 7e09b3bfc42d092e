"""One migration from Pending to Complete on a real cluster, and what must be true afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from demo import oracle
from demo.kube import wait
from demo.scenario import Scenario
from scenes import files_below_buckets, target_env

ORACLE = Path(__file__).resolve().parents[1] / "data" / "minio-single.oracle.json.zst"
ON_THE_DRIVE = 2222
SEALED = 24


def test_a_migration_runs_to_complete_and_loses_nothing(
    scene: Scenario, short: Callable[..., dict[str, Any]]
) -> None:
    scene.migrate(short())
    status = wait("Complete", lambda: _ended(scene), 900)

    assert status["phase"] == "Complete", status["message"]
    assert target_env(scene) | {"RUSTFS_DUAL_TRACK_EPOCH": ""} >= {
        "RUSTFS_METADATA_ENGINE": "kv_only",
        "RUSTFS_FALLBACK_TO_FS": "false",
    }
    assert files_below_buckets(scene) == []
    load = scene.verify_load()
    assert load["wrong"] == []
    assert load["unreadable"] == []
    assert load["acknowledged"] > 1000
    with scene.kube.forwarded("service/rustfs", 9000) as address:
        read = oracle.compare(address, oracle.load_oracle(ORACLE), "peeradmin", "peersecret123")
    assert read.wrong == []
    assert read.same + len(read.sealed) >= ON_THE_DRIVE
    assert len(read.sealed) == SEALED
    ledger = status["ledger"]
    assert 0 < ledger["inodesAfter"] < ledger["inodesBefore"]
    assert ledger["rows"] > 2000
    conditions = {c["type"]: c for c in status["conditions"]}
    assert conditions["Succeeded"]["status"] == "True"
    assert conditions["PointOfNoReturn"]["status"] == "True"
    jobs = [job["step"] for job in status["jobs"]]
    assert len(jobs) == len(set(jobs)), "no step ran twice"


def _ended(scene: Scenario) -> dict[str, Any] | None:
    status = scene.status()
    return status if status.get("phase") in ("Complete", "Paused", "Failed", "RolledBack") else None
