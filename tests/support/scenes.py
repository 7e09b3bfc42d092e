"""Looking at a scene on the cluster: where its migration is, the target's env, what lies on the drive."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from demo.kube import wait
from demo.scenario import Scenario

SETTINGS = (
    "RUSTFS_METADATA_ENGINE",
    "RUSTFS_DUAL_TRACK_RATIO",
    "RUSTFS_FALLBACK_TO_FS",
    "RUSTFS_DUAL_TRACK_EPOCH",
)


def reaches(
    scene: Scenario, phase: str, step: str | None = None, *, seconds: float = 300, name: str = "demo"
) -> dict[str, Any]:
    """Wait until the migration is at a phase (and step); gives the status. Fails at once if it got stuck."""

    def probe() -> dict[str, Any] | None:
        status = scene.status(name)
        if status.get("phase") == phase and step in (None, status.get("step")):
            return status
        stuck = status.get("phase") in {"Failed", "RolledBack"} - {phase} or "pause" in status
        assert not stuck, f"{status.get('phase')}: {status.get('message')}"
        return None

    return wait(f"{phase} {step or ''} of {scene.namespace}/{name}", probe, seconds)


def target_env(scene: Scenario) -> dict[str, str]:
    """The variables of the target's container, as the API server has them now."""
    containers = scene.kube.get("deployment", "rustfs")["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry.get("value", "") for entry in containers[0].get("env", [])}


def settings_in_order(scene: Scenario) -> list[tuple[str, str, str, str]]:
    """Engine, ratio, fallback and epoch of every pod template that the target has had, oldest first."""
    templates = []
    for replica_set in scene.kube.items("replicasets.apps"):
        if replica_set["metadata"]["ownerReferences"][0]["name"] != "rustfs":
            continue
        container = replica_set["spec"]["template"]["spec"]["containers"][0]
        env = {entry["name"]: entry.get("value", "") for entry in container.get("env", [])}
        revision = int(replica_set["metadata"]["annotations"]["deployment.kubernetes.io/revision"])
        templates.append((revision, tuple(env.get(name, "") for name in SETTINGS)))
    return [setting for _, setting in sorted(templates)]


def files_below_buckets(scene: Scenario, name: str = "xl.meta") -> list[str]:
    """Paths of the files with this name below any bucket of the drive, as the gateway's pod sees them."""
    script = (
        "import os\n"
        "for top in sorted(os.listdir('/data')):\n"
        "    if top.startswith('.'): continue\n"
        "    for folder, _, files in os.walk(f'/data/{top}'):\n"
        f"        if {name!r} in files: print(folder)\n"
    )
    return scene.kube.run("exec", "deployment/rustfs", "--", "python3", "-c", script).splitlines()


def mmig(scene: Scenario, *words: str) -> str:
    """`kubectl mmig …` as a person would type it."""
    program = Path(sys.executable).with_name("kubectl-mmig")
    command = [str(program), f"--kubeconfig={scene.kube.kubeconfig}", *words, "-n", scene.namespace]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def approve(scene: Scenario, step: str, name: str = "demo") -> str:
    """Approve what waits; gives the approval's value, `STEP.ATTEMPT.ID`."""

    def asked() -> dict[str, Any] | None:
        found: dict[str, Any] = scene.status(name).get("pendingApproval") or {}
        return found if found.get("step") == step else None

    pending = wait(f"the question for {step}", asked, 60)
    mmig(scene, "approve", name, "--step", step)
    return f"{step}.{pending['attempt']}.{pending['id']}"


def run_in_gateway(scene: Scenario, script: str) -> str:
    """Run Python where the drive is mounted, as the user that serves it."""
    return scene.kube.run("exec", "deployment/rustfs", "--", "python3", "-c", script)


def paused(scene: Scenario, *, seconds: float = 180, name: str = "demo") -> dict[str, Any]:
    """Wait until the migration has paused; gives the status."""

    def probe() -> dict[str, Any] | None:
        status = scene.status(name)
        return status if "pause" in status else None

    return wait(f"a pause of {scene.namespace}/{name}", probe, seconds)
