"""Looking at a scene on the cluster: where its migration is, the target's env, what lies on the drive."""

from __future__ import annotations

from typing import Any

from demo.kube import wait
from demo.scenario import Scenario


def reaches(
    scene: Scenario, phase: str, step: str | None = None, *, seconds: float = 300, name: str = "demo"
) -> dict[str, Any]:
    """Wait until the migration is at a phase (and step); gives the status. Fails at once if it got stuck."""

    def probe() -> dict[str, Any] | None:
        status = scene.status(name)
        if status.get("phase") == phase and step in (None, status.get("step")):
            return status
        stuck = {"Paused", "Failed", "RolledBack"} - {phase}
        assert status.get("phase") not in stuck, f"{status.get('phase')}: {status.get('message')}"
        return None

    return wait(f"{phase} {step or ''} of {scene.namespace}/{name}", probe, seconds)


def target_env(scene: Scenario) -> dict[str, str]:
    """The variables of the target's container, as the API server has them now."""
    containers = scene.kube.get("deployment", "rustfs")["spec"]["template"]["spec"]["containers"]
    return {entry["name"]: entry.get("value", "") for entry in containers[0].get("env", [])}


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
