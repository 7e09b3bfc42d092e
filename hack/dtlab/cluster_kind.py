"""Decides, in one place, on which cluster we work: somebody's own, kind's, or the local one.

`CLUSTER` may say `existing`, `kind` or `local`; otherwise it is kind where a Docker daemon answers, and
the local cluster elsewhere. A kubeconfig alone changes nothing: we touch somebody's cluster only when told.
"""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dtlab.builder import docker_answers
from dtlab.cluster import Cluster, default_name, state_folder
from dtlab.kind import KindCluster
from dtlab.shell import LabError, run, say


class AnyCluster(Protocol):
    """What the demo and the tests need of a cluster."""

    @property
    def kubeconfig(self) -> Path: ...
    def up(self) -> None: ...
    def down(self) -> None: ...
    def load(self, archive: Path) -> None: ...
    def status(self) -> str: ...


@dataclass(frozen=True, slots=True)
class ExistingCluster:
    """Somebody's own cluster: never started, never ended.

    `LOAD_IMAGE` is a command that gets the path of a docker-archive as its last word, such as
    `k3s ctr images import`; without it the images must be on the nodes already, or in a registry.
    """

    kubeconfig: Path

    def up(self) -> None:
        if not self.kubeconfig.is_file():
            raise LabError(f"KUBECONFIG names {self.kubeconfig}, which is not there")

    def down(self) -> None:
        say("CLUSTER=existing: the cluster is yours and stays up")

    def load(self, archive: Path) -> None:
        command = os.environ.get("LOAD_IMAGE")
        if command:
            run([*shlex.split(command), archive])
        else:
            say(f"CLUSTER=existing without LOAD_IMAGE: {archive.name} must be on the nodes already")

    def status(self) -> str:
        return f"existing cluster, KUBECONFIG={self.kubeconfig}"


def kind_of_cluster() -> str:
    """`existing`, `kind` or `local`."""
    said = os.environ.get("CLUSTER", "")
    if said not in ("", "existing", "kind", "local"):
        raise LabError(f"CLUSTER={said} is unknown; use existing, kind or local")
    if said == "existing" and not os.environ.get("KUBECONFIG"):
        raise LabError("CLUSTER=existing needs KUBECONFIG=FILE")
    if said == "kind" and not docker_answers():
        raise LabError("CLUSTER=kind needs a Docker daemon that answers; start one, or use CLUSTER=local")
    return said or ("kind" if docker_answers() else "local")


def chosen(name: str | None = None, folder: str | None = None) -> AnyCluster:
    """The cluster to work on, by `CLUSTER` and what is there."""
    match kind_of_cluster():
        case "existing":
            return ExistingCluster(Path(os.environ["KUBECONFIG"]).resolve())
        case "kind":
            return KindCluster(name or default_name())
        case _:
            return Cluster(state_folder(name, folder))
