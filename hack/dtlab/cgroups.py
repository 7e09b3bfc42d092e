"""The control groups of a local cluster's pods: made before the kubelet starts, removed after the end.

They are the one thing that outlives the sandbox's processes. Works on both versions of cgroups.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from dtlab.shell import wait_for

ROOT = Path("/sys/fs/cgroup")


def name(state: Path) -> str:
    """The group of a state folder, as the kubelet's `cgroupRoot` wants it."""
    return "/dtlab-" + hashlib.sha256(os.fsencode(state)).hexdigest()[:8]


def create(state: Path) -> None:
    """Make the group in every hierarchy."""
    for hierarchy in _hierarchies():
        (hierarchy / name(state)[1:]).mkdir(exist_ok=True)
    if (ROOT / "cgroup.controllers").exists():
        wanted = " ".join(
            "+" + controller for controller in (ROOT / "cgroup.controllers").read_text().split()
        )
        for folder in (ROOT, ROOT / name(state)[1:]):
            (folder / "cgroup.subtree_control").write_text(wanted)


def remove(state: Path) -> None:
    """Remove the group and all below it, once the kernel has seen its processes off."""
    for hierarchy in _hierarchies():
        top = hierarchy / name(state)[1:]
        if top.exists():
            wait_for(f"control group {top} to empty", lambda top=top: _remove_tree(top), seconds=30)  # type: ignore[misc]


def _hierarchies() -> list[Path]:
    if (ROOT / "cgroup.controllers").exists():
        return [ROOT]
    return [path for path in ROOT.iterdir() if path.is_dir() and not path.is_symlink()]


def _remove_tree(top: Path) -> bool:
    for folder, _, _ in os.walk(top, topdown=False):
        with contextlib.suppress(OSError):  # busy for a moment longer; we are called again
            Path(folder).rmdir()
    return not top.exists()
