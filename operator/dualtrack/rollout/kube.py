"""Reading Kubernetes' objects as they are: plain mappings in which any part may be missing.

Only questions that more than one concern asks live here. None of them guesses: what is not there is the
API's own default, and what cannot be known is `None`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from dualtrack.rollout.world import JsonObject


def dig(value: Any, *path: str) -> Any:
    """The value at a path, or None where any part is missing."""
    for part in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def items(value: Any, *path: str) -> list[Any]:
    found = dig(value, *path)
    return list(found) if isinstance(found, list | tuple) else []


def uid(obj: JsonObject | None) -> str:
    return str(dig(obj, "metadata", "uid") or "")


def name(obj: JsonObject | None) -> str:
    return str(dig(obj, "metadata", "name") or "")


def container(pod_spec: Any, container_name: str) -> JsonObject | None:
    for entry in items(pod_spec, "containers"):
        if isinstance(entry, Mapping) and entry.get("name") == container_name:
            return entry
    return None


def env(pod_spec: Any, container_name: str, wanted: Iterable[str]) -> dict[str, str]:
    """The literal values of these variables; one with `valueFrom` shows as `<valueFrom>`."""
    names = set(wanted)
    found: dict[str, str] = {}
    for entry in items(container(pod_spec, container_name), "env"):
        if isinstance(entry, Mapping) and entry.get("name") in names:
            literal = "valueFrom" not in entry
            found[entry["name"]] = str(entry.get("value", "")) if literal else "<valueFrom>"
    return found


def ended(pod: JsonObject) -> bool:
    """No process of it is left, so it neither serves nor blocks."""
    return dig(pod, "status", "phase") in ("Succeeded", "Failed")


def terminating(pod: JsonObject) -> bool:
    return bool(dig(pod, "metadata", "deletionTimestamp"))


def serving(pods: Iterable[JsonObject] | None) -> tuple[JsonObject, ...]:
    """Pods that are meant to be there: neither ended nor going."""
    return tuple(p for p in pods or () if not ended(p) and not terminating(p))


def ready(pod: JsonObject) -> bool:
    return any(
        c.get("type") == "Ready" and c.get("status") == "True"
        for c in items(pod, "status", "conditions")
        if isinstance(c, Mapping)
    )


def container_status(pod: JsonObject, container_name: str) -> JsonObject | None:
    for entry in items(pod, "status", "containerStatuses"):
        if isinstance(entry, Mapping) and entry.get("name") == container_name:
            return entry
    return None


def started(pod: JsonObject, container_name: str) -> float | None:
    """When the container's process began, in unix seconds."""
    text = dig(container_status(pod, container_name), "state", "running", "startedAt")
    return moment(text)


def moment(text: Any) -> float | None:
    if not isinstance(text, str) or not text:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def owned_by(obj: JsonObject, owner_uid: str) -> bool:
    return any(dig(r, "uid") == owner_uid for r in items(obj, "metadata", "ownerReferences"))


def condition(obj: JsonObject, kind: str) -> JsonObject | None:
    for entry in items(obj, "status", "conditions"):
        if isinstance(entry, Mapping) and entry.get("type") == kind and entry.get("status") == "True":
            return entry
    return None


def count(value: Any) -> int | None:
    """A count that somebody else has written, if it is one that the status can hold."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value < 2**53 else None


def text(value: Any, limit: int) -> str | None:
    """A text that somebody else has written, cut to what the status can hold; None where there is none."""
    return value[:limit] if isinstance(value, str) and value else None


def restarts(pods: Iterable[JsonObject], container_name: str) -> int:
    """Restarts of this container over all these pods."""
    return sum(int(dig(container_status(p, container_name), "restartCount") or 0) for p in pods)
