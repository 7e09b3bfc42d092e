"""Where the lab keeps things: the checkout, and a cache that several checkouts may share."""

from __future__ import annotations

import os
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]


def cache() -> Path:
    """The cache folder, `$DUALTRACK_CACHE` or `.cache` in the checkout; made if missing."""
    folder = Path(os.environ.get("DUALTRACK_CACHE") or REPO / ".cache").resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def tool_bin() -> Path:
    """The folder that holds the binaries which `make tools` built."""
    return cache() / "tools" / "bin"
