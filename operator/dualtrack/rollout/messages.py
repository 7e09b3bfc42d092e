"""The sentence that `kubectl get` shows: what is awaited, since when, and what would unblock it.

Sentences are made here and nowhere branched upon. None contains the present time, because a message that
changes by itself is a status write by itself.
"""

from __future__ import annotations

from datetime import datetime

from dualtrack.rollout.draft import Draft


def awaiting(draft: Draft, what: str, since: datetime | None = None) -> str:
    """`Canary/Switch: WHAT (since TIME)`."""
    place = f"{draft.phase}/{draft.step}" if draft.step else draft.phase or "Pending"
    begun = since or draft.status.step_start_time
    return f"{place}: {what}" + (f" (since {clock(begun)})" if begun else "")


def clock(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def duration(seconds: float) -> str:
    """Two largest units: `1 d 7 h`, `31 min`, `45 s`."""
    left, parts = int(seconds), []
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if left >= size:
            parts.append(f"{left // size} {unit}")
            left %= size
    return " ".join(parts[:2]) or "0 s"


def short(seconds: float) -> str:
    """For a column: `31h`, `12m`, `45s`."""
    for size, unit in ((7200, 3600), (120, 60)):
        if seconds >= size:
            return f"{int(seconds // unit)}{'h' if unit == 3600 else 'm'}"
    return f"{int(seconds)}s"


def held(draft: Draft) -> str:
    """Why nothing goes forward, and what would change that."""
    pause = draft.status.pause
    if pause is None:
        return "suspended by spec.suspend; set it to false to go on"
    since = f" since {clock(pause.since)}" if pause.since else ""
    return (
        f"paused{since}: {pause.cause}: {pause.message}; to go on: kubectl mmig resume {draft.name}"
        f" (command resume.{draft.attempt}.{pause.id})"
    )
