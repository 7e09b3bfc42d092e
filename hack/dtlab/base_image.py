"""The image under ours where nothing can be pulled: Debian bookworm with Python, made by debootstrap."""

from __future__ import annotations

import hashlib
import shutil
import time
from pathlib import Path

from dtlab import packages
from dtlab.paths import cache
from dtlab.shell import locked, run, say

SUITE = "bookworm"
PACKAGES = ("ca-certificates", "python3")
# Nothing at run time reads these.
DROPPED = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "var/cache/apt",
    "var/lib/apt/lists",
)


def archive() -> Path:
    """The tree as a tar, cached; the name holds a digest of what it is made from."""
    recipe = hashlib.sha256(repr((SUITE, PACKAGES, DROPPED)).encode()).hexdigest()[:12]
    path = cache() / "images" / f"base-{recipe}.tar"
    with locked(cache() / "locks" / "base-image"):
        if not path.exists():
            packages.install()
            _make(path)
    return path


def _make(path: Path) -> None:
    say("making the base image (debootstrap)")
    started = time.monotonic()
    tree = cache() / "images" / "base-tree"
    # In a mount name space of its own: a run that is killed leaves no mounted /proc behind.
    isolated = ["unshare", "--mount", "--propagation", "private", "--"]
    shutil.rmtree(tree, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    run([*isolated, "debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, tree])
    for name in DROPPED:
        shutil.rmtree(tree / name, ignore_errors=True)
        (tree / name).mkdir(parents=True)
    (tree / "var/cache/apt/archives/partial").mkdir(parents=True)
    fresh = path.with_suffix(".new")
    leave_out = ["--exclude=./dev/*", "--exclude=./proc/*", "--exclude=./sys/*"]
    run(["tar", "--numeric-owner", "--sort=name", *leave_out, "-C", tree, "-cf", fresh, "."])
    shutil.rmtree(tree)
    fresh.replace(path)
    say(f"made the base image in {time.monotonic() - started:.0f} s ({path.stat().st_size >> 20} MiB)")
