"""Builds a Dockerfile to a docker-archive: by Docker where a daemon answers, else by buildah without one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dtlab import base_image, packages
from dtlab.paths import cache
from dtlab.shell import file_system, run, succeeds


def docker_answers() -> bool:
    """Whether a Docker daemon (not only its client) is there."""
    return succeeds(["docker", "version", "--format", "{{.Server.Version}}"])


@dataclass(frozen=True, slots=True)
class Build:
    """One image: its name, its Dockerfile, its context and its build arguments (without BASE_IMAGE)."""

    image: str
    dockerfile: Path
    context: Path
    arguments: Mapping[str, str]

    def to(self, archive: Path) -> None:
        """Build and write the archive (by rename, so that it is whole or not there)."""
        archive.parent.mkdir(parents=True, exist_ok=True)
        fresh = archive.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        if docker_answers():
            self._by_docker(fresh)
        else:
            self._by_buildah(fresh)
        fresh.replace(archive)

    def _options(self, arguments: Mapping[str, str]) -> list[str]:
        words = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        return [*words, f"--file={self.dockerfile}", f"--tag={self.image}"]

    def _by_docker(self, archive: Path) -> None:
        base = os.environ.get("BASE_IMAGE")
        arguments = {**self.arguments, **({"BASE_IMAGE": base} if base else {})}
        run(["docker", "build", *self._options(arguments), self.context], env={"DOCKER_BUILDKIT": "1"})
        run(["docker", "save", "--output", archive, self.image])

    def _by_buildah(self, archive: Path) -> None:
        packages.install()
        given = os.environ.get("BASE_IMAGE")
        arguments = {**self.arguments, "BASE_IMAGE": given or _imported_base()}
        pull = "--pull" if given else "--pull-never"
        options = ["--isolation=chroot", "--layers", pull, *self._options(arguments)]
        _buildah("build", *options, str(self.context))
        _buildah("push", "--quiet", self.image, f"docker-archive:{archive}:docker.io/library/{self.image}")


def _buildah(*arguments: str) -> str:
    storage = cache() / "buildah"
    folders = [f"--storage-driver={_driver()}", f"--root={storage / 'root'}", f"--runroot={storage / 'run'}"]
    # A mount name space of its own, so that nothing stays mounted if we are killed.
    isolated = ["unshare", "--mount", "--propagation", "private", "--"]
    return run([*isolated, "buildah", *folders, *arguments], env={"BUILDAH_FORMAT": "docker"})


def _driver() -> str:
    """Overlays share what layers have in common; on an overlay (a lab in a container) only copies work."""
    return "vfs" if file_system(cache()) == "overlayfs" else "overlay"


def _imported_base() -> str:
    """Our debootstrapped base under a name that buildah knows."""
    archive = base_image.archive()
    name = f"localhost/{archive.stem}"
    if name not in _buildah("images", "--format", "{{.Name}}"):
        shutil.rmtree(cache() / "buildah", ignore_errors=True)
        container = _buildah("from", "scratch").strip()
        _buildah("add", "--quiet", container, str(archive), "/")
        _buildah("commit", "--quiet", "--rm", container, name)
    return name
