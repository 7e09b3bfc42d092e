"""A cluster by kind, where Docker answers: the same four verbs as the local cluster."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from dtlab import tools
from dtlab.paths import cache, tool_bin
from dtlab.shell import locked, run, write_if_changed


@dataclass(frozen=True, slots=True)
class KindCluster:
    """A kind cluster by name; its kubeconfig is our own file, the user's is left alone."""

    name: str

    @property
    def kubeconfig(self) -> Path:
        return cache() / "kind" / self.name / "kubeconfig"

    def up(self) -> None:
        """Create the cluster unless it exists. `KIND_NODE_IMAGE` names the node's image where set."""
        with locked(cache() / "locks" / f"kind-{self.name}"):
            kubeconfig = self.kubeconfig
            kubeconfig.parent.mkdir(parents=True, exist_ok=True)
            if self.name in self._kind("get", "clusters").split():
                write_if_changed(kubeconfig, self._kind("get", "kubeconfig", "--name", self.name))
                return
            image = os.environ.get("KIND_NODE_IMAGE")
            chosen = ["--image", image] if image else []
            shared = cache() / "kind" / self.name / "config.yaml"
            write_if_changed(shared, _config())
            self._kind(
                "create", "cluster", "--name", self.name, "--kubeconfig", str(kubeconfig), "--wait", "120s",
                "--config", str(shared), *chosen,
            )  # fmt: skip

    def down(self) -> None:
        """Delete the cluster; nothing happens where it is not there."""
        self._kind("delete", "cluster", "--name", self.name, "--kubeconfig", str(self.kubeconfig))
        shutil.rmtree(self.kubeconfig.parent, ignore_errors=True)

    def load(self, archive: Path) -> None:
        """Bring a docker-archive to every node."""
        self._kind("load", "image-archive", str(archive), "--name", self.name)

    def status(self) -> str:
        there = self.name in self._kind("get", "clusters").split()
        return f"kind cluster {self.name} is {'up, KUBECONFIG=' + str(self.kubeconfig) if there else 'down'}"

    def _kind(self, *arguments: str) -> str:
        on_path = shutil.which("kind")
        if on_path is None:
            tools.build(tools.KIND)
        return run([on_path or tool_bin() / "kind", *arguments])


def _config() -> str:
    """One node that sees the cache folder under its own path, so that host paths mean the same as locally."""
    folder = cache()
    return f"""\
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes:
- role: control-plane
  extraMounts:
  - hostPath: {folder}
    containerPath: {folder}
"""
