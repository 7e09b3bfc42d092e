"""Resolves what goes into the image to wheels, outside the build, so that the build needs no network."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path

from dtlab.paths import REPO, cache
from dtlab.shell import LabError, locked, run, say

LOCK = REPO / "requirements-runtime.lock"


def dependencies() -> Path:
    """The folder with every locked run-time dependency and pip, cached by the lock's digest."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    key = hashlib.sha256(version.encode() + LOCK.read_bytes()).hexdigest()[:12]
    folder = cache() / "wheels" / f"dependencies-{key}"
    with locked(cache() / "locks" / "wheels"):
        if not folder.exists():
            say("resolving the image's dependencies to wheels")
            fresh = folder.with_suffix(".new")
            shutil.rmtree(fresh, ignore_errors=True)
            wheel = [*pip(), "wheel", "--quiet", "--wheel-dir", str(fresh)]
            run([*wheel, "--require-hashes", "--no-deps", "-r", str(LOCK)])
            run([*wheel, "--no-deps", "pip"])
            fresh.rename(folder)
    return folder


def application() -> Path:
    """Our own wheel, built from the checkout as it is; hatchling makes the same bytes from the same files."""
    folder = cache() / "wheels" / f"application-{hashlib.sha256(bytes(REPO)).hexdigest()[:8]}"
    shutil.rmtree(folder, ignore_errors=True)
    env = {"UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR") or str(cache() / "uv")}
    run([_uv(), "build", "--quiet", "--wheel", "--out-dir", folder, REPO], env=env)
    return next(folder.glob("*.whl"))


def pip() -> list[str]:
    """How to call the cache's pip. Its script names the folder that the cache was made in, which a cache that
    was moved or copied has left; its Python finds itself."""
    return [str(cache() / "uv-tool" / "bin" / "python"), "-m", "pip"]


def _uv() -> Path:
    uv = cache() / "uv-tool" / "bin" / "uv"
    if not uv.exists():
        raise LabError(f"{uv} is not there; run `make venv`")
    return uv
