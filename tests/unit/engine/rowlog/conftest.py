"""A drive whose store has a row log."""

from __future__ import annotations

from pathlib import Path

import pytest

from logged import Place, started


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return started(tmp_path)
