"""Reads the Jobs of a migration: their pods, how far they are, and how they ended.

Progress is the newest progress line that the pod printed; the result is the termination message, one JSON
object. Both are read as data and never trusted for more than the core makes of them: a line that is not
JSON is skipped, a result that is not an object is absent.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from dualtrack.adapters.kinds import JOB
from dualtrack.adapters.kubernetes import ApiError, KubernetesGateway
from dualtrack.api import names
from dualtrack.errors import UnavailableError
from dualtrack.rollout.world import JobView, JsonObject


async def jobs_of(
    gateway: KubernetesGateway, migration: JsonObject, pods: Sequence[JsonObject]
) -> tuple[JobView, ...]:
    """The Jobs that this very migration owns, by name."""
    namespace, uid = migration["metadata"]["namespace"], migration["metadata"]["uid"]
    selector = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"
    found = await gateway.list_all(JOB, namespace, selector)
    ours = sorted((job for job in found if owned_by(job, uid)), key=lambda job: str(job["metadata"]["name"]))
    return tuple(await asyncio.gather(*(_view(gateway, job, pods) for job in ours)))


def owned_by(item: JsonObject, uid: str) -> bool:
    return any(owner.get("uid") == uid for owner in item["metadata"].get("ownerReferences") or ())


async def _view(gateway: KubernetesGateway, job: JsonObject, everyone: Sequence[JsonObject]) -> JobView:
    ours = [pod for pod in everyone if owned_by(pod, job["metadata"]["uid"])]
    pods = tuple(
        sorted(ours, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), reverse=True)
    )
    running = next((pod for pod in pods if _phase(pod) == "Running"), None)
    progress = await _progress(gateway, running) if running else None
    return JobView(job=job, pods=pods, progress=progress, result=result_of(pods))


async def _progress(gateway: KubernetesGateway, pod: JsonObject) -> Mapping[str, Any] | None:
    metadata, container = pod["metadata"], pod["spec"]["containers"][0]["name"]
    try:
        lines = await gateway.log_tail(metadata["namespace"], metadata["name"], container)
    except (ApiError, UnavailableError):
        # A pod that starts or ends has no log to read, and progress is for display only.
        return None
    return last_progress(lines)


def last_progress(lines: Sequence[str]) -> Mapping[str, Any] | None:
    """The newest whole progress line."""
    for line in reversed(lines):
        found = _object(line)
        if found is not None and found.get("event") == "progress":
            return found
    return None


def result_of(pods: Sequence[JsonObject]) -> Mapping[str, Any] | None:
    """The result of the newest pod that left one; a pod that succeeded goes before one that did not."""
    for pod in sorted(pods, key=lambda pod: _phase(pod) != "Succeeded"):
        for status in (pod.get("status") or {}).get("containerStatuses") or ():
            ended = (status.get("state") or {}).get("terminated") or (status.get("lastState") or {}).get(
                "terminated"
            )
            found = _object(str((ended or {}).get("message") or ""))
            if found is not None:
                return found
    return None


def _object(text: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _phase(pod: JsonObject) -> str:
    return str((pod.get("status") or {}).get("phase") or "")
