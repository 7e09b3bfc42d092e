"""The kinds of Kubernetes objects that the operator touches, and their paths in the API.

The table is closed on purpose: what is not on it cannot be read or written by accident, and the access
rules that the chart grants (`controller/access.py`) can be compared with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from dualtrack.api import names
from dualtrack.errors import UsageError


@dataclass(frozen=True, slots=True)
class Kind:
    """A namespaced kind: `plural` is its name in paths and in access rules."""

    api_version: str
    kind: str
    plural: str

    @property
    def group(self) -> str:
        """API group; empty for the core."""
        return self.api_version.rpartition("/")[0]

    @property
    def prefix(self) -> str:
        return f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        """Path of the collection, of one object, or of a subresource; no namespace means all of them."""
        scope = f"namespaces/{namespace}" if namespace else ""
        parts = [self.prefix, scope, self.plural, name, subresource]
        return "/".join(part for part in parts if part)


MIGRATION: Final = Kind(names.API_VERSION, names.KIND, names.PLURAL)
DEPLOYMENT: Final = Kind("apps/v1", "Deployment", "deployments")
POD: Final = Kind("v1", "Pod", "pods")
CLAIM: Final = Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
SECRET: Final = Kind("v1", "Secret", "secrets")
CONFIG_MAP: Final = Kind("v1", "ConfigMap", "configmaps")
JOB: Final = Kind("batch/v1", "Job", "jobs")
LEASE: Final = Kind("coordination.k8s.io/v1", "Lease", "leases")
AUTOSCALER: Final = Kind("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
EVENT: Final = Kind("events.k8s.io/v1", "Event", "events")

KINDS: Final = (
    MIGRATION, DEPLOYMENT, POD, CLAIM, SECRET, CONFIG_MAP, JOB, LEASE, AUTOSCALER, EVENT,
)  # fmt: skip


def kind_of(api_version: str, kind: str) -> Kind:
    """The entry of the table. Raises `UsageError` for a kind that the operator has no business with."""
    for known in KINDS:
        if (known.api_version, known.kind) == (api_version, kind):
            return known
    raise UsageError(
        f"{api_version} {kind} is not a kind that the operator handles; add it to adapters/kinds.py"
    )


def kind_of_manifest(manifest: Mapping[str, Any]) -> Kind:
    """The kind that a manifest names."""
    return kind_of(str(manifest.get("apiVersion", "")), str(manifest.get("kind", "")))
