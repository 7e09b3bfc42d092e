"""The C library built with a sanitizer, and Python run with that build in place of the usual one."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "operator" / "dualtrack" / "engine" / "native"
_FLAGS = (
    "-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden",
    "-pthread", "-fno-omit-frame-pointer",
)  # fmt: skip
_PLUGIN = """
from pathlib import Path
from hypothesis import settings
from dualtrack.engine.native import library
library.LIBRARY = Path({library!r})
assert library.library() is not None, "the library for this run does not load"
settings.register_profile("sanitized", deadline=None)  # each check costs time
settings.load_profile("sanitized")
"""


@dataclass(frozen=True, slots=True)
class Sanitizer:
    """`runtimes` are the libraries to be loaded first, since Python itself was built without."""

    flags: tuple[str, ...]
    runtimes: tuple[str, ...]
    options: dict[str, str]


BOUNDS = Sanitizer(
    ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"),
    ("asan", "ubsan"),
    # Python itself leaks by design at its end; what is looked for are accesses out of bounds.
    {"ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1", "UBSAN_OPTIONS": "print_stacktrace=1"},
)
RACES = Sanitizer(
    ("-fsanitize=thread",),
    ("tsan",),
    {"TSAN_OPTIONS": "halt_on_error=1:exitcode=66:second_deadlock_stack=1"},
)


@dataclass(frozen=True, slots=True)
class Build:
    sanitizer: Sanitizer
    library: Path

    def python(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run Python in the checkout, with the sanitizer at work."""
        runtime = [
            subprocess.run(
                ["cc", f"-print-file-name=lib{name}.so"], capture_output=True, text=True, check=True
            ).stdout.strip()
            for name in self.sanitizer.runtimes
        ]
        settings = {
            **os.environ,
            **self.sanitizer.options,
            "LD_PRELOAD": " ".join(runtime),
            "PYTHONPATH": os.pathsep.join([str(self.library.parent), os.environ.get("PYTHONPATH", "")]),
            "PYTHONMALLOC": "malloc",  # so that memory that Python hands over has guarded ends
            **environment,
        }
        # Without random addresses: on some kernels they would meet the fixed ones of a sanitizer.
        return subprocess.run(
            ["setarch", "--addr-no-randomize", sys.executable, *words],
            cwd=ROOT, env=settings, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def pytest(self, *words: str) -> subprocess.CompletedProcess[str]:
        (self.library.parent / "sanitized_library.py").write_text(_PLUGIN.format(library=str(self.library)))
        return self.python("-m", "pytest", "-s", "-p", "sanitized_library", "-p", "no:cacheprovider", *words)


def build(sanitizer: Sanitizer, folder: Path) -> Build:
    library = folder / "_reader.so"
    sources = sorted(str(path) for path in SOURCES.glob("*.c"))
    subprocess.run(["cc", *_FLAGS, *sanitizer.flags, "-o", str(library), *sources], check=True)
    return Build(sanitizer, library)
