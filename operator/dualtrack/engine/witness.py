"""How much time has surely passed since a run: a wall clock alone is no witness, for it can be weeks ahead.

The drive's audit tells when steps began and ended, in their true order. Between two of its lines at most a
day counts, however far apart they say they are: a clock that jumps ahead wins a day and not a month, and one
that is set back wins nothing. Where in the audit the time begins is told by the run's fence, which no clock
gives, so that what was kept under a wrong date is no older for it.

Whoever removes what was to be kept for a time asks here as well as the clock. A drive on which nothing has
run for long keeps it for longer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from dualtrack.engine.auditlog import Line

MOST = timedelta(days=1)


def passed(lines: Sequence[Line], fence: int, now: datetime) -> timedelta:
    """Since the run with this fence, or the first one after it that is on record."""
    told = [(each, when) for line in lines if (each := line.fields) and (when := _time(each))]
    start = next((n for n, (each, _) in enumerate(told) if _fence(each) >= fence), len(told))
    times = [*(when for _, when in told[start:]), now]
    seen = (min(max(later - earlier, timedelta()), MOST) for earlier, later in pairwise(times))
    return sum(seen, timedelta())


def _time(fields: Mapping[str, Any]) -> datetime | None:
    """None where a line tells none, or was damaged: it witnesses nothing."""
    try:
        found = datetime.fromisoformat(fields["time"])
    except (KeyError, ValueError, TypeError):
        return None
    return found if found.tzinfo else None


def _fence(fields: Mapping[str, Any]) -> int:
    found = fields.get("fence")
    return found if isinstance(found, int) else -1
