"""The images that the demo and the cluster tests run, as docker-archives cached by what they are made of."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from pathlib import Path

from dtlab import base_image, builder, wheels
from dtlab.paths import REPO, cache
from dtlab.shell import LabError, locked, run, say

DUALTRACK = "dualtrack:dev"
PROMETHEUS = "prometheus:dev"
# Where Docker is and Debian's package is not.
UPSTREAM_PROMETHEUS = "prom/prometheus:v2.53.5"
# Older archives of an image are dropped; a quarter of a gigabyte each.
KEPT = 4


def dualtrack() -> Path:
    """The archive of `dualtrack:dev` for the checkout as it is."""
    dockerfile = REPO / "Dockerfile"
    with locked(cache() / "locks" / "image"):
        dependencies, application = wheels.dependencies(), wheels.application()
        arguments = {
            "DEPENDENCIES_DIGEST": dependencies.name,
            "APPLICATION_DIGEST": hashlib.sha256(application.read_bytes()).hexdigest(),
        }
        archive = _archive("dualtrack", dockerfile.read_text(), *arguments.values())
        if not archive.exists():
            context = cache() / "images" / "context"
            shutil.rmtree(context, ignore_errors=True)
            shutil.copytree(dependencies, context / "dependencies", copy_function=os.link)
            (context / "application").mkdir()
            shutil.copy(application, context / "application")
            _build(builder.Build(DUALTRACK, dockerfile, context, arguments), archive)
    return archive


def prometheus() -> Path:
    """The archive of `prometheus:dev`: Debian's binaries on our base, or upstream's image by Docker."""
    with locked(cache() / "locks" / "image"):
        programs = [Path("/usr/bin") / name for name in ("prometheus", "promtool")]
        if all(program.exists() for program in programs):
            return _prometheus_of_debian(programs)
        if not builder.docker_answers():
            raise LabError("prometheus is not installed; run `make tools`")
        archive = cache() / "images" / "prometheus-upstream.tar"
        if not archive.exists():
            run(["docker", "pull", UPSTREAM_PROMETHEUS])
            run(["docker", "tag", UPSTREAM_PROMETHEUS, PROMETHEUS])
            run(["docker", "save", "--output", archive.with_suffix(".new"), PROMETHEUS])
            archive.with_suffix(".new").replace(archive)
        return archive


def _prometheus_of_debian(programs: list[Path]) -> Path:
    dockerfile = REPO / "hack" / "images" / "prometheus.Dockerfile"
    sizes = [str(program.stat().st_size) for program in programs]
    archive = _archive("prometheus", dockerfile.read_text(), *sizes)
    if not archive.exists():
        context = cache() / "images" / "prometheus-context"
        shutil.rmtree(context, ignore_errors=True)
        context.mkdir(parents=True)
        for program in programs:
            shutil.copy(program, context)
        _build(builder.Build(PROMETHEUS, dockerfile, context, {}), archive)
        shutil.rmtree(context)
    return archive


def _archive(name: str, *inputs: str) -> Path:
    base = os.environ.get("BASE_IMAGE", "") if builder.docker_answers() else base_image.archive().name
    digest = hashlib.sha256("\0".join([base, *inputs]).encode()).hexdigest()[:12]
    return cache() / "images" / f"{name}-{digest}.tar"


def _build(build: builder.Build, archive: Path) -> None:
    say(f"building {build.image}")
    started = time.monotonic()
    build.to(archive)
    say(f"built {build.image} in {time.monotonic() - started:.0f} s: {archive}")
    family = archive.name.rsplit("-", 1)[0]
    others = sorted(
        archive.parent.glob(f"{family}-*.tar"), key=lambda path: path.stat().st_mtime, reverse=True
    )
    for old in others[KEPT:]:
        old.unlink()
