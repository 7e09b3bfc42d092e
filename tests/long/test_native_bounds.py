"""The C library under AddressSanitizer and UndefinedBehaviorSanitizer: whatever the bytes, no read or write
beyond what it was given.

The suites that hold the library against Python run once more, in a process of their own, with a library that
was built with both; the first fault ends that process with a report.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "operator" / "dualtrack" / "engine" / "native"
SUITES = (
    "tests/unit/engine/test_native_index.py",
    "tests/unit/engine/test_native_lines.py",
    "tests/unit/engine/test_native_reader.py",
    "tests/unit/stores/test_matching.py",
    "tests/unit/stores/test_sealed_rows.py",
    "tests/property/test_native_lines_hostile.py",
    "tests/property/test_native_reader_hostile.py",
)
PLUGIN = """
from pathlib import Path
from hypothesis import settings
from dualtrack.engine.native import library
library.LIBRARY = Path({library!r})
assert library.library() is not None, "the library for this run does not load"
settings.register_profile("sanitized", deadline=None)  # each check costs time
settings.load_profile("sanitized")
"""


@pytest.fixture
def sanitized(tmp_path: Path) -> Path:
    if not shutil.which("cc"):
        pytest.skip("needs a C compiler")
    library = tmp_path / "_reader.so"
    flags = "-std=c11 -O1 -g -Wall -Wextra -Werror -shared -fPIC -fvisibility=hidden -pthread"
    flags += " -fno-omit-frame-pointer"
    checks = "-fsanitize=address,undefined -fno-sanitize-recover=undefined"
    sources = sorted(str(path) for path in SOURCES.glob("*.c"))
    subprocess.run(["cc", *flags.split(), *checks.split(), "-o", str(library), *sources], check=True)
    return library


def run(library: Path, words: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    runtime = [
        subprocess.run(
            ["cc", f"-print-file-name=lib{name}.so"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("asan", "ubsan")
    ]
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(runtime),
        # Python itself leaks by design at its end; what is looked for are accesses out of bounds.
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "PYTHONPATH": os.pathsep.join([str(library.parent), os.environ.get("PYTHONPATH", "")]),
        "PYTHONMALLOC": "malloc",  # so that memory that Python hands over has guarded ends
    }
    return subprocess.run(
        [sys.executable, *words], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


def test_the_sanitizer_finds_an_access_out_of_bounds(sanitized: Path) -> None:
    script = (
        "import ctypes\n"
        f"library = ctypes.CDLL({str(sanitized)!r})\n"
        "library.dt_test_xxh64.argtypes = (ctypes.c_void_p, ctypes.c_size_t)\n"
        "library.dt_test_xxh64(ctypes.create_string_buffer(64), 4096)\n"
    )
    done = run(sanitized, ["-c", script], ROOT)
    assert done.returncode != 0
    assert "AddressSanitizer" in done.stderr


def test_the_suites_of_the_native_library_stay_within_their_memory(sanitized: Path) -> None:
    (sanitized.parent / "sanitized_library.py").write_text(PLUGIN.format(library=str(sanitized)))
    done = run(
        sanitized, ["-m", "pytest", "-s", "-p", "sanitized_library", "-p", "no:cacheprovider", *SUITES], ROOT
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
