"""Compiles the native reader into the package, where a C compiler is; without one the package is pure Python.

Used by hatchling for wheels and for editable installs. `DUALTRACK_NATIVE=0` builds without it.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = Path("operator/dualtrack/engine/native")
LIBRARY = SOURCES / "_reader.so"
FLAGS = ("-std=c11", "-O3", "-Wall", "-Wextra", "-shared", "-fPIC", "-fvisibility=hidden", "-g0", "-pthread")


class NativeReader(BuildHookInterface):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say so in the wheel's tag: any Python 3 of this system and machine."""
        if not compiled(Path(self.root)):
            return
        build_data["artifacts"].append(f"/{LIBRARY}")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sys.platform}_{platform.machine()}"


def compiled(root: Path) -> bool:
    """Whether the library could be built; where not, an older one does not stay behind."""
    built = _compile(root)
    if not built:
        (root / LIBRARY).unlink(missing_ok=True)
    return built


def _compile(root: Path) -> bool:
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if os.environ.get("DUALTRACK_NATIVE") == "0" or sys.platform != "linux" or not shutil.which(compiler[0]):
        return False
    sources = sorted(path.relative_to(root) for path in (root / SOURCES).glob("*.c"))
    fresh = LIBRARY.with_suffix(".new")
    done = subprocess.run(
        [*compiler, *FLAGS, "-o", str(fresh), *map(str, sources)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(f"building without the native reader: {' '.join(compiler)} said {done.stderr}", file=sys.stderr)
        return False
    (root / fresh).replace(root / LIBRARY)
    return True
