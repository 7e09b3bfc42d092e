"""Why a Job does not get on, in words: image, memory, eviction, scheduling, volumes.

A Job itself says none of this: it only says "active". Its pods do, and whoever waits for the Job must read
it in the status within a minute.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from dualtrack.rollout import kube
from dualtrack.rollout.world import JobView, JsonObject

_CANNOT_START: Final = frozenset(
    {
        "ImagePullBackOff",
        "ErrImagePull",
        "ErrImageNeverPull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "CrashLoopBackOff",
    }
)


def of(pods: Iterable[JsonObject]) -> str:
    """What holds the newest pod up; empty where nothing does."""
    newest = sorted(pods, key=lambda p: str(kube.dig(p, "metadata", "creationTimestamp") or ""))[-1:]
    return next((t for t in map(_of_pod, newest) if t), "")


def failure(view: JobView) -> str:
    """Why a finished Job does not count."""
    if view.result is not None:
        text = f"{view.result.get('verb', 'engine')} ended with exit code {view.result.get('exitCode', '?')}"
        message = view.result.get("message")
        if not view.result.get("ok"):
            return f"{text}: {message}" if message else text
        return "its result is that of another run (runID or fence differ)"
    pods = [t for t in map(_of_pod, view.pods) if t]
    failed = kube.condition(view.job, "Failed") or {}
    said = " ".join(str(failed.get(k, "")) for k in ("reason", "message")).strip()
    return "; ".join([*([said] if said else []), *pods[-1:]]) or "it ended without a result"


def _of_pod(pod: JsonObject) -> str:
    name = kube.name(pod)
    if kube.dig(pod, "status", "reason") == "Evicted":
        return f"pod {name} was evicted: {kube.dig(pod, 'status', 'message') or 'no reason given'}"
    for condition in kube.items(pod, "status", "conditions"):
        if not isinstance(condition, Mapping):
            continue
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return f"pod {name} cannot be scheduled: {condition.get('message') or condition.get('reason')}"
    for kind in ("initContainerStatuses", "containerStatuses"):
        for status in kube.items(pod, "status", kind):
            text = _of_container(status)
            if text:
                return f"pod {name}: {text}"
    return ""


def _of_container(status: object) -> str:
    waiting = kube.dig(status, "state", "waiting")
    if kube.dig(waiting, "reason") in _CANNOT_START:
        image = kube.dig(status, "image")
        return (
            f"{kube.dig(waiting, 'reason')} (image {image}): {kube.dig(waiting, 'message') or 'no message'}"
        )
    for state in ("state", "lastState"):
        ended = kube.dig(status, state, "terminated")
        if kube.dig(ended, "reason") == "OOMKilled":
            return "OOMKilled: its memory limit is too low (spec.jobs.resources.limits.memory)"
    return ""
