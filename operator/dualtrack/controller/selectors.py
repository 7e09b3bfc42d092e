"""Small readings of Kubernetes objects: label selectors as text, the claims of a pod template."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dualtrack.errors import InvalidResourceError


def label_selector(selector: Mapping[str, Any]) -> str:
    """A workload's `spec.selector` in the form that list requests take."""
    terms = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    terms.extend(_expression(item) for item in selector.get("matchExpressions") or ())
    if not terms:
        raise InvalidResourceError("an empty selector would match every pod of the namespace")
    return ",".join(terms)


def _expression(item: Mapping[str, Any]) -> str:
    key, values = item["key"], ",".join(item.get("values") or ())
    match item["operator"]:
        case "In":
            return f"{key} in ({values})"
        case "NotIn":
            return f"{key} notin ({values})"
        case "Exists":
            return str(key)
        case "DoesNotExist":
            return f"!{key}"
        case other:
            raise InvalidResourceError(f"selector operator {other} is not one of Kubernetes' four")


def matches(labels: Mapping[str, str], selector: Mapping[str, Any]) -> bool:
    """Whether labels carry every one of `matchLabels`: enough for a wake-up, not for a decision."""
    wanted = selector.get("matchLabels") or {}
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


def claims_of(pod_spec: Mapping[str, Any]) -> list[str]:
    """Names of the PersistentVolumeClaims among the volumes, in their order."""
    claims = (volume.get("persistentVolumeClaim") for volume in pod_spec.get("volumes") or ())
    return [claim["claimName"] for claim in claims if claim]


def uses_any(pod_spec: Mapping[str, Any], claims: Iterable[str]) -> bool:
    return not set(claims).isdisjoint(claims_of(pod_spec))
