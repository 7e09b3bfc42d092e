"""The whole product on a real cluster: each case plays the demo's scene in a namespace of its own.

The cluster is the one that `DUALTRACK_E2E` names (`hack/test.sh` starts and removes it); without it one
called `e2e` is started, and left up for the next run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo import installation
from demo.kube import Kube
from demo.scenario import REPO, Scenario, merged
from dtlab import cluster_kind, image
from dtlab.paths import tool_bin

DRIVE = Path(__file__).resolve().parents[1] / "data" / "minio-single.tar.zst"
CASES = tuple(f"e2e-{number}" for number in range(1, 33))

SHORT: dict[str, Any] = {
    "phases": [
        {
            "name": name,
            "ratioPercent": ratio,
            "warmupSeconds": 8,
            "observationSeconds": 15,
            "deadlineSeconds": 900,
            "approval": "Automatic",
            "onFailure": "Pause",
        }
        for name, ratio in (("Canary", 20), ("FullOut", 100))
    ],
    "completing": {"observationSeconds": 15, "soakSeconds": 10},
    # The case that is about sampled checks says so itself; others count their Jobs.
    "sweep": {"sampleCheck": None},
}


@pytest.fixture(scope="session")
def cluster() -> Kube:
    """A cluster with our images and the operator on it."""
    name = os.environ.get("DUALTRACK_E2E", "e2e")
    chosen = cluster_kind.chosen(name)
    # A process of its own: the cluster outlives the tests, and they should not own its supervisor.
    subprocess.run([sys.executable, REPO / "hack" / "lab.py", "cluster", "up", "--name", name], check=True)
    for archive in (image.dualtrack(), image.prometheus()):
        chosen.load(archive)
    kube = Kube(tool_bin() / "kubectl", chosen.kubeconfig)
    installation.install(kube, Scenario(kube).images.product, CASES)
    return kube


@pytest.fixture(scope="session")
def namespaces() -> Iterator[str]:
    return iter(CASES)


@pytest.fixture
def scenes(cluster: Kube, namespaces: Iterator[str]) -> Iterator[Callable[[], Scenario]]:
    """Gives drive, gateway, Prometheus and load in a fresh namespace, as often as asked; no migration yet.

    Only one scene works at a time: the one before is left without load.
    """
    local = cluster_kind.kind_of_cluster() == "local"
    opened: list[Scenario] = []

    def fresh() -> Scenario:
        name = next(namespaces)
        volumes = cluster.kubeconfig.parent / "volumes" / name if local else None
        found = Scenario(Kube(cluster.kubectl, cluster.kubeconfig, name), volumes=volumes)
        opened.append(found)
        found.create(DRIVE)
        found.start_data_plane()
        found.start_load()
        return found

    yield fresh
    for scene in opened:
        print(scene.story())  # shown where the test failed
        scene.remove()


@pytest.fixture
def scene(scenes: Callable[[], Scenario]) -> Scenario:
    return scenes()


@pytest.fixture
def short() -> Callable[..., dict[str, Any]]:
    """Spec changes for a migration of minutes, with more changes on top."""

    def changes(**more: Any) -> dict[str, Any]:
        return merged(SHORT, more)

    return changes
