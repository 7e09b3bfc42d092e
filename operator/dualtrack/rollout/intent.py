"""What we ask the API server for: the target's variables, and the Lease that claims it.

A target's intent is complete and small: our entries in one container and nothing else, so that server-side
apply takes away only what we set and no longer want. The target's uid is in it, so that a workload
that was deleted and made anew is never patched by a decision about the old one.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dualtrack.api import names
from dualtrack.api.status_target import EngineSettings
from dualtrack.api.target import ExistingEnv
from dualtrack.rollout import modes
from dualtrack.rollout.decision import Apply
from dualtrack.rollout.draft import Draft


def apply_target(draft: Draft, settings: EngineSettings, *, owned: bool) -> Apply:
    """Server-side apply of the settings; forced once the variables are ours, or may be taken over."""
    target = draft.spec.target
    env = [{"name": name, "value": value} for name, value in modes.environment(settings).items()]
    manifest: dict[str, Any] = {
        "apiVersion": target.api_version,
        "kind": target.kind.value,
        "metadata": {"name": target.name, "namespace": draft.namespace, "uid": draft.target.uid},
        "spec": {"template": {"spec": {"containers": [{"name": target.container_name, "env": env}]}}},
    }
    return Apply(manifest, force=owned or target.existing_env is ExistingEnv.TAKE_OVER)


def lease(draft: Draft, target_uid: str) -> dict[str, Any]:
    """The claim: creating it is taking it; it goes with the migration."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": names.lease_name(target_uid),
            "namespace": draft.namespace,
            "labels": labels(draft),
            "ownerReferences": [owner(draft)],
        },
        "spec": {"holderIdentity": draft.uid, "acquireTime": micro_time(draft.now)},
    }


def owner(draft: Draft) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.KIND,
        "name": draft.name,
        "uid": draft.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def labels(draft: Draft) -> dict[str, str]:
    return {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_MIGRATION: draft.name,
        names.LABEL_MIGRATION_UID: draft.uid,
    }


def micro_time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
