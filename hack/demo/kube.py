"""kubectl as a small object: the demo and the end-to-end tests use a cluster exactly as a person would.

Every call names its time-out, a failure says what kubectl said, and waiting is always for a condition.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class KubeError(Exception):
    """kubectl refused or did not answer; the message is what it said."""


class WaitError(Exception):
    """A condition did not come true in its time; the message says what was seen last."""


@dataclass(frozen=True, slots=True)
class Kube:
    """kubectl on one cluster; `namespace` is where objects are looked for unless a call says otherwise."""

    kubectl: Path
    kubeconfig: Path
    namespace: str = "default"

    def command(self, *words: str) -> list[str]:
        return [str(self.kubectl), "--kubeconfig", str(self.kubeconfig), "-n", self.namespace, *words]

    def run(self, *words: str, stdin: str | bytes | None = None, timeout: float = 60) -> str:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        try:
            done = subprocess.run(
                self.command(*words), input=data, capture_output=True, timeout=timeout, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise KubeError(f"kubectl {' '.join(words)[:200]} did not answer in {timeout:.0f} s") from error
        if done.returncode:
            raise KubeError(
                f"kubectl {' '.join(words)[:200]}: {done.stderr.decode(errors='replace').strip()}"
            )
        return done.stdout.decode(errors="replace")

    def get(self, *words: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("get", *words, "-o", "json"))
        return found

    def items(self, *words: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(*words)["items"]
        return found

    def apply(self, text: str) -> None:
        self.run("apply", "-f", "-", stdin=text)

    def delete(self, *words: str, wait: bool = True) -> None:
        self.run("delete", *words, "--ignore-not-found", f"--wait={'true' if wait else 'false'}", timeout=180)

    def rolled_out(self, name: str, timeout: float = 180) -> None:
        self.run("rollout", "status", name, f"--timeout={timeout:.0f}s", timeout=timeout + 10)

    def pod(self, selector: str) -> str:
        """The name of the one running pod behind a label selector."""
        names = [
            pod["metadata"]["name"]
            for pod in self.items("pods", "-l", selector)
            if pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]
        ]
        if len(names) != 1:
            raise KubeError(f"expected one running pod with {selector}, found {names or 'none'}")
        return names[0]

    @contextmanager
    def forwarded(self, resource: str, port: int) -> Iterator[str]:
        """`kubectl port-forward` while the block runs; gives `127.0.0.1:PORT`."""
        command = self.command("port-forward", resource, f":{port}")
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            try:
                line = process.stdout.readline()
                if "->" not in line:
                    raise KubeError(f"port-forward to {resource}:{port}: {line}{process.stderr.read()}")
                yield line.split(" -> ")[0].removeprefix("Forwarding from ")
            finally:
                process.terminate()


def wait(what: str, probe: Callable[[], T | None], timeout: float, pause: float = 0.5) -> T:
    """Ask again until `probe` gives something true; `KubeError` counts as "not yet"."""
    deadline, last = time.monotonic() + timeout, "nothing"
    while True:
        try:
            found = probe()
        except KubeError as error:
            found, last = None, str(error)
        if found:
            return found
        if time.monotonic() > deadline:
            raise WaitError(f"{what}: not within {timeout:.0f} s (last: {last})")
        time.sleep(pause)
