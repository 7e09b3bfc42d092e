"""Builds peers that are crates, by cargo: programs of ours around another server's own library.

The crates declare a newer Rust than they need, so cargo is told not to mind; what they do need is Rust 1.95.
Two minutes of processor time, in a folder that is removed afterwards.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dtlab.paths import REPO, cache
from dtlab.shell import LabError, run

CRATES = REPO / "hack" / "rust"


@dataclass(frozen=True, slots=True)
class Crate:
    """One crate below `hack/rust`, with its program of the same name."""

    module: str

    @property
    def programs(self) -> Mapping[str, str]:
        return {self.module: self.module}

    def folder(self) -> Path:
        return CRATES / self.module

    def digest(self) -> str:
        found = hashlib.sha256()
        for path in sorted(self.folder().rglob("*")):
            if path.is_file() and "target" not in path.relative_to(self.folder()).parts:
                found.update(str(path.relative_to(self.folder())).encode() + b"\0" + path.read_bytes())
        return found.hexdigest()

    def compile(self, fresh: Path) -> None:
        """Build into the folder `fresh`."""
        if shutil.which("cargo") is None:
            raise LabError(f"{self.module} is a Rust program: install Rust 1.95 or later (cargo), then again")
        work = cache() / "tools" / f"cargo-{self.module}"
        command = ["nice", "-n", "10", "cargo", "build", "--locked", "--release", "--ignore-rust-version"]
        run(
            [*command, "--target-dir", str(work)],
            cwd=self.folder(),
            log=cache() / "tools" / "logs" / f"{self.module}.log",
        )
        shutil.move(work / "release" / self.module, fresh / self.module)
        shutil.rmtree(work)


FILEMETA_PEER = Crate("filemeta-peer")
