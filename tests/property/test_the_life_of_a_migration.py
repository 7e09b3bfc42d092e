"""Verbs, modes and accidents in any order: every acknowledged version is there, and nothing else.

A few seconds of it; `tests/long/test_state_machine.py` is the same machine for twenty minutes.
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from lifecycle import Lifecycle

TestLife = Lifecycle.TestCase
TestLife.settings = settings(
    max_examples=6,
    stateful_step_count=14,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
