"""`make demo`: everything from nothing, one migration to Complete, watched live; `make demo-clean` ends it.

Every stage asks first what is there already, so a second run skips what is built and an interrupted one
is simply run again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from demo import installation, oracle
from demo.kube import Kube, KubeError, WaitError
from demo.scenario import REPO, Scenario
from dtlab import cluster_kind, image, packages, tools
from dtlab.paths import cache, tool_bin
from dtlab.shell import LabError

NAMESPACE = "dualtrack-demo"
DRIVE = REPO / "tests" / "data" / "minio-single.tar.zst"
ORACLE = REPO / "tests" / "data" / "minio-single.oracle.json.zst"
console = Console()


@dataclass
class Stages:
    """Runs named stages, says how long each took, and keeps the times for the summary."""

    times: list[tuple[str, float]] = field(default_factory=list)

    def run(self, name: str, work: Callable[[], Any]) -> Any:
        console.print(f"[bold]▸ {name}[/]")
        started = time.monotonic()
        result = work()
        taken = time.monotonic() - started
        self.times.append((name, taken))
        console.print(f"  [dim]done in {taken:.0f} s[/]")
        return result


def announce(kind: str) -> None:
    """Say what will happen before anything does."""
    built = (cache() / "images").exists()
    where = {
        "existing": "the cluster of KUBECONFIG (nothing is created outside the demo's own namespaces)",
        "kind": "a kind cluster in Docker",
        "local": "a local cluster in name spaces of its own (needs root)",
    }[kind]
    console.print(
        f"This makes [bold]{where}[/], brings the operator there by its Helm chart, serves a drive that a "
        "real MinIO wrote through the gateway, puts load on it, and moves its metadata from xl.meta files "
        "into a key-value store: canary → expand → fullout → complete. "
        f"It takes about {'6' if built else '30'} minutes on 2 cores"
        f"{'' if built else ' the first time (it builds Kubernetes)'}. "
        f"Caches lie in {cache()}; `make demo-clean` removes the rest.\n"
    )


def scenario(cluster: cluster_kind.AnyCluster, kind: str) -> Scenario:
    kubectl = tool_bin() / "kubectl"
    volumes = cluster.kubeconfig.parent / "volumes" / NAMESPACE if kind == "local" else None
    return Scenario(Kube(kubectl, cluster.kubeconfig, NAMESPACE), volumes=volumes)


def bring_images(cluster: cluster_kind.AnyCluster) -> None:
    for archive in (image.dualtrack(), image.prometheus()):
        cluster.load(archive)


def watch(scene: Scenario) -> int:
    """The product's own live view; its exit status says how the migration ended."""
    command = [
        str(Path(sys.executable).with_name("kubectl-mmig")),
        f"--kubeconfig={scene.kube.kubeconfig}",
        "status",
        "demo",
        "-n",
        scene.namespace,
        "--watch",
        "--timeout",
        "2400",
    ]
    return subprocess.run(command, check=False).returncode


def prove(scene: Scenario) -> bool:
    """Read everything back: what the load wrote, and every version that MinIO had on the drive."""
    load = scene.verify_load()
    with scene.kube.forwarded("service/rustfs", 9000) as address:
        drive = oracle.compare(address, oracle.load_oracle(ORACLE), "peeradmin", "peersecret123")
    console.print(
        f"load: {load['acknowledged']:,} acknowledged writes on {load['checked']:,} keys; "
        f"{len(load['wrong'])} wrong, {len(load['unreadable'])} unreadable"
    )
    console.print(f"drive: {drive.summary()}")
    for name in (*load["wrong"], *load["unreadable"], *drive.wrong[:20]):
        console.print(f"  [red]{name}[/]")
    return not (load["wrong"] or load["unreadable"] or drive.wrong)


def summary(status: dict[str, Any], stages: Stages) -> None:
    ledger = status.get("ledger") or {}
    console.print("\n[bold]Summary[/]")
    facts = Table(box=None, show_header=False)
    for title, name in (
        ("rows", "rows"),
        ("verified digest", "digest"),
        ("inodes before", "inodesBefore"),
        ("inodes after", "inodesAfter"),
    ):
        value = ledger.get(name, "")
        facts.add_row(title, f"{value:,}" if isinstance(value, int) else str(value))
    facts.add_row("root of the report", str((status.get("report") or {}).get("root", "")))
    console.print(facts)
    times = Table("stage or phase", "seconds", "of them observed", box=None, header_style="dim")
    for name, seconds in stages.times:
        times.add_row(name, f"{seconds:.0f}", "")
    for timing in status.get("timings", []):
        observed = str(timing.get("observedSeconds", ""))
        times.add_row(f"  {timing['phase']}", str(timing["seconds"]), observed)
    console.print(times)


def play() -> int:
    kind = cluster_kind.kind_of_cluster()
    announce(kind)
    stages, cluster = Stages(), cluster_kind.chosen()
    if kind != "existing":
        stages.run("Debian packages", packages.install)
    stages.run("tools", lambda: tools.build(tools.ALL if kind == "local" else tools.KUBECTL))
    stages.run("cluster", cluster.up)
    stages.run("images", lambda: bring_images(cluster))
    scene = scenario(cluster, kind)
    stages.run(
        "operator (Helm chart)", lambda: installation.install(scene.kube, scene.images.product, [NAMESPACE])
    )
    stages.run("drive of a real MinIO, Prometheus, gateway", lambda: start(scene))
    stages.run("load", scene.start_load)
    scene.migrate()
    started = time.monotonic()
    ended = watch(scene)
    stages.times.append(("migration", time.monotonic() - started))
    if ended:
        console.print("[red]The migration did not reach Complete.[/] What it says:")
        console.print(json.dumps(scene.status().get("conditions", []), indent=1))
        return 1
    proven = stages.run("proof", lambda: prove(scene))
    summary(scene.status(), stages)
    look = f"KUBECONFIG={cluster.kubeconfig} {scene.kube.kubectl} get mmig -A"
    console.print(f"\nIt stays up: [bold]{look}[/]; `make demo-clean` removes it.")
    return 0 if proven else 1


def start(scene: Scenario) -> None:
    scene.create(DRIVE)
    scene.start_data_plane()


def clean() -> int:
    kind, cluster = cluster_kind.kind_of_cluster(), cluster_kind.chosen()
    if kind == "existing":
        scene = scenario(cluster, kind)
        scene.remove()
        installation.uninstall(scene.kube)
    cluster.down()
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("action", choices=["play", "clean"], nargs="?", default="play")
    try:
        return play() if parser.parse_args().action == "play" else clean()
    except (LabError, KubeError, WaitError) as error:
        console.print(f"[red]{error}[/]\nWhat was done is kept: run it again to go on from here.")
        return 1


if __name__ == "__main__":
    sys.exit(main())
