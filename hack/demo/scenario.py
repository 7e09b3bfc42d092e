"""One whole scene on a cluster: a drive of a real MinIO, the gateway on it, Prometheus, load, a migration.

The demo plays it once, the end-to-end tests once a case in a namespace of its own. Everything happens
through kubectl and the product's own chart and command line; there is no side door.
"""

from __future__ import annotations

import json
import secrets
import shutil
import string
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from zstandard import ZstdDecompressor

from demo.kube import Kube, KubeError, wait

HERE = Path(__file__).resolve().parent
REPO = HERE.parents[1]
MIGRATION = "metadatamigrations.dualtrack.rustfs.com/demo"


@dataclass(frozen=True, slots=True)
class Images:
    product: str = "dualtrack:dev"
    prometheus: str = "prometheus:dev"


@dataclass(slots=True)
class Scenario:
    """`volumes` is a folder on the node for static volumes, or None where the cluster provisions claims."""

    kube: Kube
    images: Images = field(default_factory=Images)
    volumes: Path | None = None
    load_rate: int = 150
    load_keys: int = 600

    @property
    def namespace(self) -> str:
        return self.kube.namespace

    def manifest(self, name: str) -> str:
        values = {
            "NAMESPACE": self.namespace,
            "IMAGE": self.images.product,
            "PROMETHEUS_IMAGE": self.images.prometheus,
            "VOLUMES": str(self.volumes or ""),
            "STORAGE_CLASS": 'storageClassName: ""' if self.volumes else "",
            "ACK_TOKEN": secrets.token_urlsafe(24),
            "LOAD_RATE": str(self.load_rate),
            "LOAD_KEYS": str(self.load_keys),
        }
        return string.Template((HERE / "manifests" / name).read_text()).substitute(values)

    def create(self, drive: Path) -> None:
        """Namespace, claims, the drive's content (`drive` is a `CASE.tar.zst` of `tests/data`), secrets."""
        self.kube.apply(
            json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})
        )
        if self.volumes:
            for name in ("drive", "snapshot"):
                folder = self.volumes / name
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(0o777)
            self.kube.apply(self.manifest("volume-local.yaml"))
        self.kube.apply(self.manifest("storage.yaml"))
        self.kube.run("wait", "pod/seed", "--for=condition=Ready", "--timeout=120s", timeout=130)
        self.seed(drive)
        self.kube.delete("pod/seed")

    def seed(self, drive: Path) -> None:
        """Stream `d1` of the archive onto the claim, unless an earlier, interrupted run has already."""
        marker = "import pathlib, sys; sys.exit(0 if pathlib.Path('/snapshot/.seeded').exists() else 3)"
        try:
            self.kube.run("exec", "seed", "--", "python3", "-c", marker)
        except KubeError:
            unpack = (
                "import pathlib, sys, tarfile\n"
                "with tarfile.open(fileobj=sys.stdin.buffer, mode='r|') as archive:\n"
                "    for member in archive:\n"
                "        member.name = member.name.removeprefix('./').partition('/')[2]\n"
                "        if member.name: archive.extract(member, '/data')\n"
                "pathlib.Path('/snapshot/.seeded').touch()\n"
            )
            with drive.open("rb") as packed:
                data = ZstdDecompressor().stream_reader(packed).read()
            self.kube.run("exec", "-i", "seed", "--", "python3", "-c", unpack, stdin=data, timeout=300)

    def start_data_plane(self) -> None:
        self.kube.apply(self.manifest("gateway.yaml"))
        self.script("discovery")
        self.kube.apply(self.manifest("prometheus.yaml"))
        self.kube.rolled_out("deployment/rustfs")
        self.kube.rolled_out("deployment/prometheus")

    def script(self, name: str) -> None:
        """One of the scripts beside this file, as a ConfigMap of its name for a pod to run."""
        data = {f"{name}.py": (HERE / f"{name}.py").read_text()}
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
        self.kube.apply(json.dumps(config))

    def start_load(self) -> None:
        self.script("load")
        self.kube.apply(self.manifest("load.yaml"))
        self.kube.rolled_out("deployment/load")
        wait("the load's first acknowledged writes", lambda: self.load_state()["acknowledged"] > 50, 60)

    def migration_manifest(
        self, changes: Mapping[str, Any] | None = None, name: str = "demo"
    ) -> dict[str, Any]:
        """The demo's CR; `changes` are merged into its spec (mappings deeply, everything else replaced, None
        takes a field away).
        """
        document: dict[str, Any] = yaml.safe_load(self.manifest("migration.yaml"))
        document["metadata"]["name"] = name
        document["spec"] = merged(document["spec"], changes or {})
        return document

    def migrate(self, changes: Mapping[str, Any] | None = None, name: str = "demo") -> None:
        self.kube.apply(json.dumps(self.migration_manifest(changes, name)))

    def migration(self, name: str = "demo") -> dict[str, Any]:
        return self.kube.get("metadatamigration", name)

    def status(self, name: str = "demo") -> dict[str, Any]:
        found: dict[str, Any] = self.migration(name).get("status", {})
        return found

    def condition(self, kind: str, name: str = "demo") -> dict[str, Any]:
        """One condition; an empty mapping where it is not there yet."""
        for found in self.status(name).get("conditions", []):
            if found["type"] == kind:
                return dict(found)
        return {}

    def load_request(self, method: str, path: str, timeout: float = 300) -> Any:
        """Ask the load generator something, from inside its own pod."""
        script = (
            "import sys, urllib.request as u\n"
            f"print(u.urlopen(u.Request('http://127.0.0.1:8080{path}', method='{method}'), timeout={timeout})"
            ".read().decode())"
        )
        return json.loads(
            self.kube.run("exec", "deployment/load", "--", "python3", "-c", script, timeout=timeout + 10)
        )

    def load_state(self) -> dict[str, Any]:
        found: dict[str, Any] = self.load_request("GET", "/state")
        return found

    def verify_load(self) -> dict[str, Any]:
        """Stop the load, then read every key back; the answer's `wrong` and `unreadable` must be empty."""
        self.load_request("POST", "/rate?n=0")
        found: dict[str, Any] = self.load_request("POST", "/verify")
        return found

    def story(self) -> str:
        """What happened, for somebody who comes too late: statuses, pods, the operator's last lines."""
        questions = (
            ("get", "metadatamigrations", "-o", "yaml"),
            ("get", "pods", "-o", "wide"),
            ("logs", "deployment/rustfs", "--tail=30"),
            ("-n", "dualtrack-system", "logs", "deployment/dualtrack", "--tail=40"),
        )
        answers = []
        for words in questions:
            try:
                answers.append(self.kube.run(*words))
            except KubeError as error:
                answers.append(str(error))
        return "\n".join(answers)

    def remove(self) -> None:
        """Delete everything of this scene, the node's folders included."""
        self.kube.run("delete", "metadatamigrations", "--all", "--wait=false")
        self.kube.delete(f"namespace/{self.namespace}", wait=True)
        if self.volumes:
            self.kube.delete(f"pv/{self.namespace}-drive", f"pv/{self.namespace}-snapshot")
            shutil.rmtree(self.volumes)


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result


def unpack(archive: Path, target: Path) -> Path:
    """Unpack a drive archive on this machine (for a reader or a real MinIO beside the cluster)."""
    with (
        archive.open("rb") as file,
        tarfile.open(fileobj=ZstdDecompressor().stream_reader(file), mode="r|") as tar,
    ):
        tar.extractall(target, filter="tar")
    return target
