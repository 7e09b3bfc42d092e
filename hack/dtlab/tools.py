"""Builds the cluster's programs from pinned Go modules, once for each version, into the cache.

A stamp beside each binary holds the digest of what it was built from (module, sums, sources,
build command), so that an update of a pin rebuilds and a second clone that shares the cache does not.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dtlab.crates import FILEMETA_PEER, Crate
from dtlab.paths import REPO, cache, tool_bin
from dtlab.shell import locked, run, say

MODULES = REPO / "hack" / "go"


@dataclass(frozen=True, slots=True)
class Tool:
    """One Go module below `hack/go` and the programs built from it: name -> package."""

    module: str
    programs: dict[str, str]

    def folder(self) -> Path:
        return MODULES / self.module

    def linker_flags(self) -> str:
        flags = "-s -w"
        if self.module == "kubernetes":
            version = re.search(
                r"k8s\.io/kubernetes (v(\d+)\.(\d+)\.\S+)", (self.folder() / "go.mod").read_text()
            )
            assert version, "hack/go/kubernetes/go.mod pins no k8s.io/kubernetes"
            names = {"gitVersion": version[1], "gitMajor": version[2], "gitMinor": version[3]}
            flags += "".join(
                f" -X k8s.io/component-base/version.{name}={value}" for name, value in names.items()
            )
        return flags

    def digest(self) -> str:
        found = hashlib.sha256(self.linker_flags().encode())
        for path in sorted(self.folder().iterdir()):
            found.update(path.name.encode() + b"\0" + path.read_bytes())
        return found.hexdigest()

    def compile(self, fresh: Path) -> None:
        """Build into the folder `fresh`."""
        # Several packages go into a folder under their own names; one takes the name we give.
        target = f"{fresh}/" if len(self.programs) > 1 else str(fresh / next(iter(self.programs)))
        run(
            [
                "nice",
                "-n",
                "10",
                "go",
                "build",
                "-trimpath",
                "-mod=readonly",
                "-ldflags",
                self.linker_flags(),
                "-o",
                target,
                *self.programs.values(),
            ],
            cwd=self.folder(),
            env={"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"},
            log=cache() / "tools" / "logs" / f"{self.module}.log",
        )


def _kubernetes(*names: str) -> Tool:
    return Tool("kubernetes", {name: f"k8s.io/kubernetes/cmd/{name}" for name in names})


CONTROL_PLANE = (
    _kubernetes("kube-apiserver", "kubectl", "kube-controller-manager", "kube-scheduler"),
    Tool("etcd", {"etcd": "go.etcd.io/etcd/server/v3"}),
)
NODE = (
    _kubernetes("kubelet", "kube-proxy"),
    Tool("coredns", {"coredns": "."}),
    Tool("pause", {"pause": "."}),
)
MINIO = (Tool("minio", {"minio": "github.com/minio/minio"}),)
KUBECTL = (_kubernetes("kubectl"),)
KIND = (Tool("kind", {"kind": "sigs.k8s.io/kind"}),)
ALL = (*CONTROL_PLANE, *NODE, *MINIO)
PEERS = (FILEMETA_PEER,)


def kubectl() -> Path:
    """The kubectl of the PATH, or ours."""
    found = shutil.which("kubectl")
    if found:
        return Path(found)
    build(KUBECTL)
    return tool_bin() / "kubectl"


def _is_built(tool: Tool | Crate) -> bool:
    return all(
        (tool_bin() / name).exists() and _stamp(name).is_file() and _stamp(name).read_text() == tool.digest()
        for name in tool.programs
    )


def _stamp(name: str) -> Path:
    return tool_bin().parent / "stamps" / name


def build(tools: Sequence[Tool | Crate]) -> None:
    """Build what is not there yet. The user's own caches are used; the network is needed only then."""
    for tool in tools:
        if _is_built(tool):
            continue
        with locked(cache() / "locks" / f"tool-{tool.module}"):
            if not _is_built(tool):
                _build(tool)


def _build(tool: Tool | Crate) -> None:
    names = " ".join(tool.programs)
    say(f"building {names} ({tool.folder().relative_to(REPO)})")
    started = time.monotonic()
    fresh = cache() / "tools" / f"new-{tool.module}"
    fresh.mkdir(parents=True, exist_ok=True)
    tool.compile(fresh)
    tool_bin().mkdir(parents=True, exist_ok=True)
    for name in tool.programs:
        (fresh / name).replace(tool_bin() / name)
        _stamp(name).parent.mkdir(exist_ok=True)
        _stamp(name).write_text(tool.digest())
    fresh.rmdir()
    say(f"built {names} in {time.monotonic() - started:.0f} s")


def build_peers() -> None:
    """Build what only tests talk to, as far as its compiler is there; the tests say what they go without."""
    if shutil.which("cargo") is None:
        say("no cargo: the tests that ask RustFS's own codec will be skipped; Rust 1.95 brings it")
        return
    build(PEERS)
