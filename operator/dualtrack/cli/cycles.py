"""The look for cyclic garbage, made rare in a process that goes through millions of rows.

Rows hold no cycles, and what a process has loaded stays as long as it runs: a collector that goes through
both all the time takes time and finds nothing.
"""

from __future__ import annotations

import gc

NEW_CONTAINERS = 100_000
"""Between two looks."""


def look_rarely() -> None:
    gc.freeze()
    gc.set_threshold(NEW_CONTAINERS)
