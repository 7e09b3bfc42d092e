"""The C library under AddressSanitizer and UndefinedBehaviorSanitizer: whatever the bytes, no read or write
beyond what it was given.

The suites that hold the library against Python run once more, in a process of their own, with a library that
was built with both; the first fault ends that process with a report.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sanitizing import BOUNDS, Build, build

SUITES = (
    "tests/unit/engine/test_native_index.py",
    "tests/unit/engine/test_native_lines.py",
    "tests/unit/engine/test_native_reader.py",
    "tests/unit/stores/test_matching.py",
    "tests/property/test_native_lines_hostile.py",
    "tests/property/test_native_reader_hostile.py",
)


@pytest.fixture
def sanitized(tmp_path: Path) -> Build:
    if not shutil.which("cc"):
        pytest.skip("needs a C compiler")
    return build(BOUNDS, tmp_path)


def test_the_sanitizer_finds_an_access_out_of_bounds(sanitized: Build) -> None:
    script = (
        "import ctypes\n"
        f"library = ctypes.CDLL({str(sanitized.library)!r})\n"
        "library.dt_test_xxh64.argtypes = (ctypes.c_void_p, ctypes.c_size_t)\n"
        "library.dt_test_xxh64(ctypes.create_string_buffer(64), 4096)\n"
    )
    done = sanitized.python("-c", script)
    assert done.returncode != 0
    assert "AddressSanitizer" in done.stderr


def test_the_suites_of_the_native_library_stay_within_their_memory(sanitized: Build) -> None:
    done = sanitized.pytest(*SUITES)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
