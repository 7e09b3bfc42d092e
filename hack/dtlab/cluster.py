"""The local cluster: `up` brings it to its full state from wherever it is, `down` leaves no trace of it.

`up` is a list of steps that each may have been done already, so a run that was killed is simply run
again. `down` needs no record of what `up` got done: processes, mounts, interfaces and rules live in the
sandbox's name spaces and go with it; what is left are control groups and the state folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dtlab import cgroups, components, network, packages, pause_image, tools
from dtlab.network import Addresses
from dtlab.paths import REPO, cache, tool_bin
from dtlab.pki import Authority
from dtlab.sandbox import Sandbox
from dtlab.shell import LabError, file_system, locked, run, say, succeeds, wait_for, write_if_changed

MARK = ".dualtrack-lab"
COREDNS_ROLE = {
    "apiVersion": "v1",
    "kind": "List",
    "items": [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "lab:coredns"},
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["services", "pods", "namespaces"],
                    "verbs": ["list", "watch"],
                },
                {
                    "apiGroups": ["discovery.k8s.io"],
                    "resources": ["endpointslices"],
                    "verbs": ["list", "watch"],
                },
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "lab:coredns"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "lab:coredns",
            },
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "lab:coredns"}],
        },
    ],
}


def default_name() -> str:
    """Clones that share a cache must not share a cluster, so the name tells them apart."""
    if cache().is_relative_to(REPO):
        return "dualtrack"
    return "dualtrack-" + hashlib.sha256(os.fsencode(REPO)).hexdigest()[:6]


def state_folder(name: str | None, folder: str | None) -> Path:
    return Path(folder).resolve() if folder else cache() / "cluster" / (name or default_name())


@dataclass(frozen=True, slots=True)
class Cluster:
    """A local cluster in a state folder."""

    state: Path

    @property
    def kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    @property
    def sandbox(self) -> Sandbox:
        return Sandbox(self.state)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return run(self._kubectl(*arguments), stdin=stdin)

    def up(self, *, with_node: bool = True) -> None:
        """Start what does not run yet; returns when the API server (and the node) is ready."""
        if os.geteuid() != 0:
            raise LabError(
                "the local cluster needs root; run as root, or use CLUSTER=kind or CLUSTER=existing"
            )
        packages.install()
        tools.build((*tools.CONTROL_PLANE, *(tools.NODE if with_node else ())))
        started = time.monotonic()
        with locked(self._lock()):
            self._claim_folder()
            self.sandbox.start()
            addresses = network.connect(self.sandbox)
            self._write_keys(addresses)
            self._start_control_plane(addresses)
            if with_node:
                self._start_node(addresses)
        say(f"cluster up after {time.monotonic() - started:.1f} s: KUBECONFIG={self.kubeconfig}")

    def down(self) -> None:
        """End the cluster and remove all it left on the machine, its state folder included."""
        with locked(self._lock()):
            running = self.sandbox.pid() is not None
            addresses = network.find(self.sandbox) if running else None
            self.sandbox.stop()
            if addresses:
                network.wait_gone(addresses.interface)
            cgroups.remove(self.state)
            if (self.state / MARK).exists():
                shutil.rmtree(self.state)
                say(f"cluster of {self.state} removed")

    def status(self) -> str:
        """One line for people: down, or up with its components that answer."""
        if self.sandbox.pid() is None:
            return f"down ({self.state})"
        if not self._api_ready():
            return f"starting; logs are in {self.state / 'logs'}"
        nodes = self.kubectl("get", "nodes", "--no-headers").split()
        return f"up, KUBECONFIG={self.kubeconfig}, node {nodes[1] if nodes else 'none (control plane only)'}"

    def _lock(self) -> Path:
        return cache() / "locks" / f"cluster{cgroups.name(self.state).replace('/', '-')}"

    def _claim_folder(self) -> None:
        """Only a folder that we made is ever emptied; what a dead cluster left in it is of no use."""
        if self.sandbox.pid() is None and (self.state / MARK).exists():
            cgroups.remove(self.state)
            shutil.rmtree(self.state)
        if self.state.exists() and not (self.state / MARK).exists() and any(self.state.iterdir()):
            raise LabError(
                f"{self.state} holds files that are not a cluster's; name an empty folder by --dir"
            )
        self.state.mkdir(parents=True, exist_ok=True)
        (self.state / MARK).touch()

    def _write_keys(self, addresses: Addresses) -> None:
        authority = Authority(self.state / "pki")
        authority.create()
        names = [
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ]
        servers = [addresses.node, addresses.kubernetes_service, "127.0.0.1"]
        alternatives = [f"DNS:{name}" for name in [*names, "localhost"]] + [
            f"IP:{server}" for server in servers
        ]
        authority.issue("apiserver", "/CN=kube-apiserver", ",".join(alternatives))
        users = {
            "admin": "/O=system:masters/CN=admin",
            "controller-manager": "/CN=system:kube-controller-manager",
            "scheduler": "/CN=system:kube-scheduler",
            "kube-proxy": "/CN=system:kube-proxy",
            "coredns": "/CN=lab:coredns",
        }
        for name, subject in users.items():
            authority.issue(name, subject)
        node_subject = f"/O=system:nodes/CN=system:node:{components.NODE}"
        authority.issue("kubelet", node_subject, f"IP:{addresses.node},DNS:{components.NODE}")
        server = f"https://{addresses.node}:{components.API_PORT}"
        for name in (*users, "kubelet"):
            authority.kubeconfig(name, server, self.state / "config" / f"{name}.kubeconfig")
        authority.kubeconfig("admin", server, self.kubeconfig)

    def _component(self, name: str, argv: list[str]) -> None:
        write_if_changed(self.state / "components" / f"{name}.json", json.dumps({"argv": argv}))

    def _config(self, name: str, text: str) -> None:
        write_if_changed(self.state / "config" / name, text)

    def _start_control_plane(self, addresses: Addresses) -> None:
        self._component("etcd", components.etcd())
        self._component("kube-apiserver", components.api_server(addresses))
        self._wait("the API server", self._api_ready, "kube-apiserver")
        self._component("kube-controller-manager", components.controller_manager())
        self._component("kube-scheduler", components.scheduler())
        # Pods are refused before this exists.
        account = ["get", "serviceaccount", "default", "-o", "name"]
        self._wait("the controller manager", lambda: self._answers(*account), "kube-controller-manager")

    def _start_node(self, addresses: Addresses) -> None:
        cgroups.create(self.state)
        self.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(COREDNS_ROLE))
        self._config("Corefile", components.corefile())
        self._config("containerd.toml", components.containerd_config(_snapshotter(self.state)))
        self._config("cni/10-lab.conflist", components.cni_config(addresses))
        self._config("kubelet.yaml", components.kubelet_config(addresses, cgroups.name(self.state)))
        self._config("resolv.conf", "")
        self._component("containerd", components.containerd())
        self._component("coredns", components.coredns())
        self._wait("containerd", lambda: self._ctr_answers("version"), "containerd")
        self.load(pause_image.archive())
        self._component("kubelet", components.kubelet(addresses))
        self._component("kube-proxy", components.proxy(addresses))
        ready = ["wait", "--for=condition=Ready", f"node/{components.NODE}", "--timeout=1s"]
        self._wait("the node", lambda: self._answers(*ready), "kubelet")
        self._wait("cluster DNS", self._dns_ready, "coredns")

    def _wait(self, what: str, condition: Callable[[], bool], component: str) -> None:
        try:
            wait_for(what, condition, seconds=90)
        except LabError as error:
            log = self.state / "logs" / f"{component}.log"
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-10:]) if log.exists() else "no log"
            raise LabError(f"{error}; the end of {log}:\n{tail}") from error

    def _answers(self, *arguments: str) -> bool:
        return succeeds(self._kubectl("--request-timeout=5s", *arguments))

    def _kubectl(self, *arguments: str) -> list[str]:
        return [str(tool_bin() / "kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments]

    def _api_ready(self) -> bool:
        return self._answers("get", "--raw", "/readyz")

    def _ctr_answers(self, *arguments: str) -> bool:
        try:
            self.ctr(*arguments)
        except LabError:
            return False
        return True

    def _dns_ready(self) -> bool:
        ask = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8181/ready', timeout=2)"
        try:
            self.sandbox.run([sys.executable, "-c", ask], mounts=False)
        except LabError:
            return False
        return True

    def ctr(self, *arguments: str) -> str:
        """containerd's own client, on the images and containers of the kubelet."""
        return self.sandbox.run(["ctr", "-n", "k8s.io", *arguments])

    def load(self, archive: Path) -> None:
        """Import a docker-archive, so that pods can use its image; nothing happens if it is there already."""
        family = archive.stem.rsplit("-", 1)[0]
        mark = f"{archive.name} {archive.stat().st_mtime_ns}"
        stamp = self.state / "loaded" / family
        if stamp.exists() and stamp.read_text() == mark:
            return
        self.ctr("images", "import", "--snapshotter", _snapshotter(self.state), str(archive))
        write_if_changed(stamp, mark)


def _snapshotter(state: Path) -> str:
    """Layers are overlays, unless the folder itself lies on one (a lab in a container)."""
    return "native" if file_system(state) == "overlayfs" else "overlayfs"
