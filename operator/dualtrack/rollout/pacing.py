"""The pace of a running sweep: a ConfigMap that its pod mounts and the engine reads again each minute.

A pace is edited while a sweep of weeks runs, so it cannot be part of the Job, whose pod template never
changes. What the sweep was last told stands in its entry of the status; only a difference is written.
"""

from __future__ import annotations

import json
from typing import Any, Final

from dualtrack.api.conditions import Reason
from dualtrack.api.status_parts import JobStatus
from dualtrack.rollout import intent
from dualtrack.rollout.decision import Apply
from dualtrack.rollout.draft import Draft

SWEEP_VERB: Final = "migrate"
FILE: Final = "pace"
_DAYS_PERCENT: Final = 700  # a week's days, per cent


def config_name(job: str) -> str:
    """Follows from the Job's name, like the Job's from what it is for."""
    return f"{job}-pace"


def objects_per_day(draft: Draft) -> int:
    """The slower of objects a day and the share of the drive a week."""
    sweep = draft.spec.sweep
    objects = next((d.objects for d in draft.status.drives or () if d.objects), None)
    if objects is None:
        return sweep.objects_per_day
    return min(sweep.objects_per_day, max(1, objects * sweep.percent_per_week // _DAYS_PERCENT))


def keep(draft: Draft, entry: JobStatus, verb: str) -> JobStatus:
    """Tell a sweep its pace if it was told another, or none; the entry as it is to be saved then."""
    wanted = objects_per_day(draft)
    if verb != SWEEP_VERB or entry.objects_per_day == wanted:
        return entry
    draft.act(Apply(_config(draft, entry.name, wanted)))
    if entry.objects_per_day is not None:
        draft.event(
            Reason.PACE_CHANGED,
            f"Job {entry.name}: {wanted} objects a day instead of {entry.objects_per_day}",
        )
    return entry.model_copy(update={"objects_per_day": wanted})


def _config(draft: Draft, job: str, per_day: int) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": config_name(job),
            "namespace": draft.namespace,
            "labels": intent.labels(draft),
            "ownerReferences": [intent.owner(draft)],
        },
        "data": {FILE: json.dumps({"objectsPerDay": per_day})},
    }
