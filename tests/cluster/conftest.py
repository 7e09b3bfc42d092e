"""A real API server, the chart installed on it by Helm, and the operator as its own service account."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python import Config

from dualtrack.api.names import CRD_NAME

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "dualtrack"
PATIENCE_SECONDS = 60.0
Object = dict[str, Any]


def until(what: str, condition: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """Wait until a condition gives something true, and give it."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not in {seconds} s: {what}"
        time.sleep(0.1)
    return found


@dataclass(frozen=True)
class Kubectl:
    """kubectl with somebody's kubeconfig."""

    program: str
    kubeconfig: Path

    def run(
        self, *arguments: str, given: Object | list[Object] | None = None
    ) -> subprocess.CompletedProcess[str]:
        documents = given if isinstance(given, list) else [given] if given else []
        text = "\n---\n".join(json.dumps(document) for document in documents)
        return subprocess.run(
            [self.program, "--kubeconfig", str(self.kubeconfig), *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    def __call__(self, *arguments: str, given: Object | list[Object] | None = None) -> str:
        done = self.run(*arguments, given=given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def get(self, kind: str, name: str, namespace: str) -> Object | None:
        done = self.run("get", kind, name, "-n", namespace, "-o", "json", "--ignore-not-found")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout else None

    def items(self, kind: str, namespace: str) -> list[Object]:
        found: list[Object] = json.loads(self("get", kind, "-n", namespace, "-o", "json"))["items"]
        return found


@dataclass
class Operator:
    """The operator's process. `kill` is kill -9."""

    command: list[str]
    environment: dict[str, str]
    log: Path
    liveness_port: int
    metrics_port: int
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self, *, ready: bool = True) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, env=self.environment, stdout=log, stderr=log)
        if ready:
            until("operator ready", self._ready)

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        code = self.process.wait(timeout=PATIENCE_SECONDS)
        self.process = None
        return code

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=PATIENCE_SECONDS)
        self.process = None

    def fetch(self, port: int, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, series: str, **labels: str) -> float:
        """The sum over the series of a metric that have these labels."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        _, text = self.fetch(self.metrics_port, "/metrics")
        lines = [line for line in text.splitlines() if line.startswith((f"{series}{{", f"{series} "))]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if all(label in line for label in wanted))

    @staticmethod
    def until(what: str, condition: Callable[[], Any]) -> Any:
        return until(what, condition)

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-4000:]
        try:
            return self.fetch(self.metrics_port, "/readyz")[0] == 200
        except OSError:
            return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def admin() -> Kubectl:
    """kubectl as whoever KUBECONFIG is: somebody who may do everything."""
    program = os.environ.get("KUBECTL") or shutil.which("kubectl")
    kubeconfig = os.environ.get("KUBECONFIG")
    if not kubeconfig or program is None:
        pytest.skip("needs KUBECONFIG and kubectl")
    return Kubectl(program, Path(kubeconfig))


def own_crd(admin: Kubectl, release: str, namespace: str) -> None:
    """Let this Helm release take over a CRD that somebody else has installed before."""
    if admin.get("crd", CRD_NAME, "default") is None:
        return
    # Fields of an older text would be conflicts for Helm, which does not force.
    admin(
        "apply",
        "--server-side",
        "--force-conflicts",
        "--field-manager=helm",
        "-f",
        str(CHART / "files" / "crd.yaml"),
    )
    admin("label", "crd", CRD_NAME, "app.kubernetes.io/managed-by=Helm", "--overwrite")
    marks = [f"meta.helm.sh/release-name={release}", f"meta.helm.sh/release-namespace={namespace}"]
    admin("annotate", "crd", CRD_NAME, *marks, "--overwrite")


@contextmanager
def installed(admin: Kubectl, name: str, watched: list[str]) -> Iterator[None]:
    """The chart, installed by Helm in the namespace of the release's name, which exists."""
    values = {
        "watch": {"namespaces": watched},
        "prometheus": {"allowedAddresses": ["http://127.0.0.1:9"]},
        # Where the cluster has nodes, its own operator shall not run beside the test's.
        "nodeSelector": {"dualtrack-tests": "nowhere"},
    }
    own_crd(admin, name, name)
    with Config(kubeconfig_path=str(admin.kubeconfig), namespace=name) as helm:
        helm.install(str(CHART), name, values, namespace=name, timeout=60)
        try:
            until("the CRD served", lambda: admin.run("get", "mmig", "-n", name).returncode == 0)
            yield
        finally:
            helm.uninstall(name, ignore_not_found=True, timeout=60)


@pytest.fixture(scope="session")
def release(admin: Kubectl) -> Iterator[str]:
    """The chart for all namespaces. Gives the release's name, which is its namespace's, too."""
    name = f"dt-{uuid.uuid4().hex[:8]}"
    admin("create", "namespace", name)
    with installed(admin, name, []):
        yield name
    admin("delete", "namespace", name, "--wait=false")


@pytest.fixture
def namespace(admin: Kubectl, release: str) -> Iterator[str]:
    """A namespace of the test's own, on a server that has the CRD."""
    assert release
    name = f"dt-{uuid.uuid4().hex[:8]}"
    admin("create", "namespace", name)
    yield name
    for migration in admin.items("mmig", name):
        # Whatever runs no longer takes the finalizer away, so that the namespace can go.
        patch = json.dumps({"metadata": {"finalizers": None}})
        admin.run("patch", "mmig", migration["metadata"]["name"], "-n", name, "--type=merge", "-p", patch)
    admin("delete", "namespace", name, "--wait=false")


def kubeconfig_of(admin: Kubectl, home: str, account: str, folder: Path) -> Path:
    """A kubeconfig with a token of this service account and nothing else of the administrator's."""
    token = admin("create", "token", account, "-n", home, "--duration=2h").strip()
    config = yaml.safe_load(admin("config", "view", "--raw", "--flatten", "--minify"))
    config["users"] = [{"name": "operator", "user": {"token": token}}]
    config["contexts"][0]["context"]["user"] = "operator"
    file = folder / f"{account}.kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return file


@pytest.fixture
def helm_install(admin: Kubectl) -> Callable[[str, list[str]], AbstractContextManager[None]]:
    """Installs another release, named as its namespace, for these namespaces."""

    def install(name: str, watched: list[str]) -> AbstractContextManager[None]:
        return installed(admin, name, watched)

    return install


@pytest.fixture
def kubeconfig_for(admin: Kubectl, tmp_path: Path) -> Callable[[str, str], Path]:
    """Makes a kubeconfig for a service account: its namespace, its name."""

    def make(home: str, account: str) -> Path:
        return kubeconfig_of(admin, home, account, tmp_path)

    return make


@pytest.fixture
def new_operator(admin: Kubectl, namespace: str, tmp_path: Path) -> Iterator[Callable[..., Operator]]:
    """Makes an operator for the namespace that runs as a service account."""
    made: list[Operator] = []

    def make(account: str, home: str = namespace) -> Operator:
        kubeconfig = kubeconfig_of(admin, home, account, tmp_path)
        liveness, metrics = free_port(), free_port()
        command = [
            *(sys.executable, "-m", "dualtrack.cli.main", "operator", "--image", "dualtrack:test"),
            *("--namespace", namespace, "--kubeconfig", str(kubeconfig), "--bind-address", "127.0.0.1"),
            *("--liveness-port", str(liveness), "--metrics-port", str(metrics)),
        ]
        environment = {key: value for key, value in os.environ.items() if key != "KUBECONFIG"}
        operator = Operator(command, environment, tmp_path / f"operator-{len(made)}.log", liveness, metrics)
        made.append(operator)
        return operator

    yield make
    for operator in made:
        if operator.process is not None:
            operator.kill()


@pytest.fixture
def operator(release: str, new_operator: Callable[..., Operator]) -> Operator:
    """A ready operator with exactly the rights that the chart gives it."""
    operator = new_operator(release, home=release)
    operator.start()
    return operator
