"""The pace of a running sweep: a ConfigMap that its pod mounts and the engine reads again each minute.

A pace is edited while a sweep of weeks runs, so it cannot be part of the Job, whose pod template never
changes. What the sweep was last told stands in its entry of the status, word for word; only a difference is
written. The fields are the engine's (docs/internals/pace.md). The address of the server's metrics is its
pod's, which changes with each switch, and is never the migration's to choose.
"""

from __future__ import annotations

import json
from typing import Any, Final

from dualtrack.api.conditions import Reason
from dualtrack.api.phases import Priority, Signal
from dualtrack.api.status_work import JobStatus
from dualtrack.rollout import intent, kube
from dualtrack.rollout.decision import Apply
from dualtrack.rollout.draft import Draft

SWEEP_VERB: Final = "migrate"
FILE: Final = "pace"
_DAYS_PERCENT: Final = 700  # a week's days, per cent
_NO_POD: Final = "no-pod.invalid"
"""Answers nowhere, so that the signal is gone and the sweep is slow until a pod serves."""
_PRIORITIES: Final = {
    Priority.ACCESS_FREQUENCY: "access_frequency",
    Priority.SIZE: "size",
    Priority.RANDOM: "random",
}
_SIGNALS: Final = {
    Signal.IO_PRESSURE: "ioPressure",
    Signal.CPU_PRESSURE: "cpuPressure",
    Signal.REQUEST_LATENCY: "p99Ms",
    Signal.STORE_LATENCY: "storeMs",
}
_METRICS: Final = "metricsURL"


def config_name(job: str) -> str:
    """Follows from the Job's name, like the Job's from what it is for."""
    return f"{job}-pace"


def objects_per_day(draft: Draft) -> int:
    """The slower of objects a day and the share of the drive a week."""
    sweep = draft.spec.sweep
    objects = _objects(draft)
    if not objects:
        return sweep.objects_per_day
    return min(sweep.objects_per_day, max(1, objects * sweep.percent_per_week // _DAYS_PERCENT))


def keep(draft: Draft, entry: JobStatus, verb: str) -> JobStatus:
    """Tell a sweep its pace if it was told another, or none; the entry as it is to be saved then."""
    if verb != SWEEP_VERB:
        return entry
    wanted = _file(draft)
    text = json.dumps(wanted, separators=(",", ":"))
    if entry.pace == text:
        return entry
    draft.act(Apply(_config(draft, entry.name, text)))
    if before := _told(entry):
        changes = _changes(_flat(before), _flat(wanted))
        if changes:
            draft.event(Reason.PACE_CHANGED, f"Job {entry.name}: {', '.join(changes)}")
    return entry.model_copy(update={"objects_per_day": objects_per_day(draft), "pace": text})


def _objects(draft: Draft) -> int | None:
    return next((d.objects for d in draft.status.drives or () if d.objects), None)


def _file(draft: Draft) -> dict[str, Any]:
    sweep, objects = draft.spec.sweep, _objects(draft)
    fields: dict[str, Any] = {"objectsPerDay": sweep.objects_per_day}
    if objects:
        fields |= {"percentPerWeek": sweep.percent_per_week, "objects": objects}
    fields["concurrency"] = sweep.concurrency
    fields["priority"] = _PRIORITIES[sweep.priority]
    heed: dict[str, Any] = {_SIGNALS[h.signal]: [h.low, h.high] for h in sweep.heed}
    if _SIGNALS[Signal.REQUEST_LATENCY] in heed:
        heed[_METRICS] = _metrics_url(draft)
    return {**fields, "heed": heed} if heed else fields


def _metrics_url(draft: Draft) -> str:
    addresses = (kube.dig(pod, "status", "podIP") for pod in kube.serving(draft.seen.pods))
    host = next((str(each) for each in addresses if each), _NO_POD)
    port = draft.spec.target.acknowledgement.port
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics"


def _told(entry: JobStatus) -> dict[str, Any]:
    """What it was given before; of an entry that an older version wrote, the quota alone is known."""
    if entry.pace is not None:
        return dict(json.loads(entry.pace))
    return {} if entry.objects_per_day is None else {"objectsPerDay": entry.objects_per_day}


def _flat(fields: dict[str, Any]) -> dict[str, Any]:
    """What a person has chosen: not the address, nor the count that the inventory gave."""
    heed = {f"heed.{name}": zone for name, zone in fields.get("heed", {}).items() if name != _METRICS}
    return {name: value for name, value in fields.items() if name not in ("heed", "objects")} | heed


def _changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    names = [*after, *(name for name in before if name not in after)]
    return [
        f"{name} {after.get(name, 'none')} instead of {before.get(name, 'none')}"
        for name in names
        if after.get(name) != before.get(name)
    ]


def _config(draft: Draft, job: str, text: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": config_name(job),
            "namespace": draft.namespace,
            "labels": intent.labels(draft),
            "ownerReferences": [intent.owner(draft)],
        },
        "data": {FILE: text},
    }
