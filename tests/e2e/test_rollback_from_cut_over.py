"""Back from `kv_only`, after overwrites and deletes that only rows know: a real MinIO reads everything."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from demo import oracle
from demo.kube import wait
from demo.scenario import Scenario
from dtlab import minio
from scenes import mmig, reaches, target_env

ORACLE = Path(__file__).resolve().parents[1] / "data" / "minio-single.oracle.json.zst"


def test_a_rollback_from_cut_over_gives_the_drive_back_to_a_stock_server(
    scene: Scenario, short: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    scene.migrate(short(completing={"soakSeconds": 600}, consistency={"level": "Strong"}))
    reaches(scene, "Completing", "Soak", seconds=600)
    assert target_env(scene)["RUSTFS_DUAL_TRACK_CONSISTENCY"] == "strong"
    before = scene.load_state()["acknowledged"]
    wait(
        "overwrites and deletes after the cut-over",
        lambda: scene.load_state()["acknowledged"] > before + 200,
        120,
    )

    mmig(scene, "rollback", "demo", "--reason", "rehearsed")
    wait("RolledBack", lambda: scene.status().get("phase") == "RolledBack", 600)
    env = target_env(scene)
    assert (env["RUSTFS_METADATA_ENGINE"], env["RUSTFS_FALLBACK_TO_FS"]) == ("fs", "true")
    assert "RUSTFS_DUAL_TRACK_CONSISTENCY" not in env
    load = scene.verify_load()
    assert load["wrong"] == []
    assert load["unreadable"] == []
    acknowledged = scene.load_request("GET", "/acknowledged")

    scene.kube.run("scale", "deployment/rustfs", "--replicas=0")
    scene.kube.run("wait", "pod", "-l", "app=rustfs", "--for=delete", "--timeout=60s", timeout=70)
    assert scene.volumes is not None, "a stock server needs the drive's folder on this machine"
    drive = tmp_path / "drive"
    subprocess.run(["cp", "--archive", str(scene.volumes / "drive"), str(drive)], check=True)
    with minio.running(drive) as server:
        a_stock_server_reads_everything(server.address, acknowledged)


def a_stock_server_reads_everything(address: str, acknowledged: dict[str, list[str]]) -> None:
    read = oracle.compare(address, oracle.load_oracle(ORACLE), minio.ACCESS_KEY, minio.SECRET_KEY)
    sse_c = [name for name in read.wrong if name.startswith("sse/")]
    assert [name for name in read.wrong if name not in sse_c] == [], json.dumps(read.wrong[:5])
    wrong = []
    with oracle.Reader(address, minio.ACCESS_KEY, minio.SECRET_KEY) as reader:
        for key, states in acknowledged.items():
            status, body = reader.get("load", key, "null")
            found = {200: hashlib.sha256(body).hexdigest(), 404: ""}.get(status)
            if found not in states:
                wrong.append((key, status))
    assert wrong == []
