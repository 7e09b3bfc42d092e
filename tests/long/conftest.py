"""What the long suites share: the migrated drives of the cleanup tests, a budget of time, and seeds.

`DUALTRACK_LONG_MINUTES` scales the suites that run for a time (the state machine 20, the soak 60 by default);
`DUALTRACK_SEED` repeats a run. Both are printed at the end.
"""

from __future__ import annotations

import importlib.util
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# The benches of the short suite, by path: with `--import-mode=importlib` a conftest is in no package.
_PATH = Path(__file__).parents[1] / "unit" / "engine" / "cleanup" / "conftest.py"
_SPEC = importlib.util.spec_from_file_location("cleanup_benches", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
benches = sys.modules["cleanup_benches"] = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(benches)
migrated, migrated_small, migrated_tiny = benches.migrated, benches.migrated_small, benches.migrated_tiny
whole, small, copies = benches.whole, benches.small, benches.copies

SEED = int(os.environ.get("DUALTRACK_SEED") or random.SystemRandom().randrange(1 << 32))
_told: list[str] = []


@pytest.fixture(scope="session")
def bench_type() -> type:
    """A drive with its store; for those that make their own copies."""
    return benches.Bench


@pytest.fixture(scope="session")
def seed() -> int:
    """One for the whole run."""
    return SEED


@pytest.fixture
def minutes():
    """How long a suite may run: its own share, or what the environment says."""

    def budget(default: float) -> float:
        return float(os.environ.get("DUALTRACK_LONG_MINUTES") or default)

    return budget


@pytest.fixture
def tell(record_property: Callable[[str, object], None]):
    """A line for the summary at the end, and for the report of the run."""

    def line(text: str) -> None:
        _told.append(text)
        record_property("told", text)

    return line


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_sep("-", "long suites")
    terminalreporter.write_line(f"seed {SEED} (repeat with DUALTRACK_SEED={SEED})")
    for line in _told:
        terminalreporter.write_line(line)
