"""How much time has surely passed since a run: a wall clock alone is no witness, for it can be weeks ahead.

The drive's audit tells when steps began and ended, in their true order. Between two of its lines at most a
day counts, however far apart they say they are: a clock that jumps ahead wins a day and not a month, and one
that is set back wins nothing. Where in the audit the time begins is told by the run's fence, which no clock
gives, so that what was kept under a wrong date is no older for it. A store that was made anew may count its
fences from one again, so of several runs with one fence the last is meant.

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
    """Since the last run with this fence; where none is on record, since the first after those below it."""
    told = [(each, when) for line in lines if (each := line.fields) and (when := _time(each))]
    times = [*(when for _, when in told[_begun([_fence(each) for each, _ in told], fence) :]), now]
    seen = (min(max(later - earlier, timedelta()), MOST) for earlier, later in pairwise(times))
    return sum(seen, timedelta())


def _begun(fences: Sequence[int], fence: int) -> int:
    """The number of the line from which time counts; that of no line where none is sure to be late enough."""
    if own := [n for n, found in enumerate(fences) if found == fence]:
        return own[-1]
    below = max((n for n, found in enumerate(fences) if 0 <= found < fence), default=-1)
    return next((n for n, found in enumerate(fences) if n > below and found > fence), len(fences))


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
