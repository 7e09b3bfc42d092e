"""The Job that works on one server pod's drive: beside that pod, as that pod, with nothing else.

It runs on the pod's node (its volume is mounted there), with the pod's user and groups (the files are
theirs), mounts exactly the drive's claim where the pod has it, and has no API token: what it finds comes
back by its termination message, what it may do is the fence that it is started with.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from dualtrack.api import names
from dualtrack.rollout import intent, kube, pacing, waived
from dualtrack.rollout.draft import Draft
from dualtrack.rollout.plan import SNAPSHOT_DIRECTORY

RETRIES: Final = 3
PACE_DIRECTORY: Final = "/etc/dualtrack"
_NAME_LIMIT: Final = 63
_VERIFY: Final = "verify"
_GRACE_SECONDS: Final = 30  # SIGTERM ends in a checkpoint within five


@dataclass(frozen=True, slots=True)
class Order:
    """One Job to be made. `generation` counts the Jobs of this step that were given up before; `kept_seconds`
    is how long the finished Job stays, None for as long as the migration.
    """

    step: str
    verb: tuple[str, ...]
    fence: int
    generation: int
    snapshot: bool = False
    kept_seconds: int | None = None


def slot(draft: Draft) -> str:
    """The server pod's stable identity. A Deployment's pods change names; its first place does not."""
    return f"{draft.spec.target.name}-0"


def job_name(draft: Draft, step: str, generation: int) -> str:
    """Always the same for the same migration, attempt, step, pod and generation."""
    kebab = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", step).lower()
    full = f"{draft.name}-{draft.attempt}-{kebab}-{slot(draft)}".replace(".", "-")
    full += f"-{generation}" if generation else ""
    if len(full) <= _NAME_LIMIT:
        return full
    mark = hashlib.sha256(full.encode()).hexdigest()[:10]
    return f"{full[: _NAME_LIMIT - 11].rstrip('-')}-{mark}"


def render(draft: Draft, order: Order) -> dict[str, Any]:
    """The whole manifest."""
    labels = {
        **intent.labels(draft),
        names.LABEL_ATTEMPT: str(draft.attempt),
        names.LABEL_STEP: order.step,
        names.LABEL_POD: slot(draft)[:63],
        names.LABEL_COMPONENT: "engine",
        names.LABEL_PART_OF: names.MANAGED_BY,
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(draft, order.step, order.generation),
            "namespace": draft.namespace,
            "labels": labels,
            "ownerReferences": [intent.owner(draft)],
        },
        "spec": {
            "backoffLimit": RETRIES,
            "completions": 1,
            "parallelism": 1,
            "activeDeadlineSeconds": draft.spec.jobs.deadline_seconds,
            "suspend": False,
            **({"ttlSecondsAfterFinished": order.kept_seconds} if order.kept_seconds is not None else {}),
            "template": {
                "metadata": {"labels": labels},
                "spec": _pod_spec(draft, order),
            },
        },
    }


def _pod_spec(draft: Draft, order: Order) -> dict[str, Any]:
    template = kube.dig(draft.seen.target, "spec", "template", "spec") or {}
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "serviceAccountName": draft.seen.installation.job_service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "securityContext": _pod_security(draft, template),
        "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [_beside(draft)]}},
        "containers": [_container(draft, order)],
        "volumes": _volumes(draft, order, template),
    }
    tolerations = [
        t.model_dump(by_alias=True, exclude_none=True, mode="json") for t in draft.spec.jobs.tolerations
    ]
    tolerations += [dict(t) for t in kube.items(template, "tolerations")]
    if tolerations:
        spec["tolerations"] = tolerations
    pull_secrets = kube.items(template, "imagePullSecrets")
    if pull_secrets:
        spec["imagePullSecrets"] = [dict(s) for s in pull_secrets]
    return spec


def user_of(draft: Draft, template: Mapping[str, Any]) -> dict[str, Any]:
    """uid, gid and SELinux options with which the target's container runs; its own win over its pod's."""
    container = kube.container(template, draft.spec.target.container_name)
    merged = {
        **(kube.dig(template, "securityContext") or {}),
        **(kube.dig(container, "securityContext") or {}),
    }
    return {k: merged[k] for k in ("runAsUser", "runAsGroup", "seLinuxOptions") if k in merged}


def _pod_security(draft: Draft, template: Mapping[str, Any]) -> dict[str, Any]:
    pod = kube.dig(template, "securityContext") or {}
    context = user_of(draft, template)
    context |= {k: pod[k] for k in ("fsGroup", "supplementalGroups") if k in pod}
    if "fsGroup" in context:
        # A recursive change of owner over millions of files would take hours, and touch every inode.
        context["fsGroupChangePolicy"] = "OnRootMismatch"
    return {
        **context,
        "runAsNonRoot": context.get("runAsUser") != 0,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _beside(draft: Draft) -> dict[str, Any]:
    selector = kube.dig(draft.seen.target, "spec", "selector") or {}
    return {"labelSelector": dict(selector), "topologyKey": "kubernetes.io/hostname"}


def _container(draft: Draft, order: Order) -> dict[str, Any]:
    installation = draft.seen.installation
    resources = draft.spec.jobs.resources.model_dump(by_alias=True, exclude_none=True, mode="json")
    return {
        "name": "engine",
        "image": installation.image,
        "imagePullPolicy": installation.image_pull_policy,
        "command": ["dualtrack"],
        "args": _arguments(draft, order),
        "resources": resources,
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": _mounts(draft, order),
    }


def _arguments(draft: Draft, order: Order) -> list[str]:
    drive = draft.spec.drives[0].mount_path
    verb, *options = order.verb
    if options and not options[0].startswith("-"):
        verb, options = f"{verb} {options[0]}", options[1:]
    return [
        "engine",
        *verb.split(),
        *("--drive", drive, "--store", f"{drive}/.dualtrack/store", "--client-only"),
        *("--run-id", job_name(draft, order.step, order.generation), "--fence", str(order.fence)),
        *("--migration-uid", draft.uid, "--epoch", str(draft.status.epoch or 1)),
        *("--result-file", "/dev/termination-log", "--progress", "json"),
        *(("--pace-file", f"{PACE_DIRECTORY}/{pacing.FILE}") if verb == pacing.SWEEP_VERB else ()),
        *_waivers(draft, verb),
        *options,
    ]


def _waivers(draft: Draft, verb: str) -> tuple[str, ...]:
    """A verification is told whom it may leave out: at most 256 ids of 32 characters."""
    ids = waived.ids(draft) if verb == _VERIFY else ()
    return ("--waivers", ",".join(ids)) if ids else ()


def _mounts(draft: Draft, order: Order) -> list[dict[str, Any]]:
    drive = draft.spec.drives[0]
    mount: dict[str, Any] = {"name": "drive", "mountPath": drive.mount_path}
    found = drive_mount(draft)
    if found is not None and found.get("subPath"):
        mount["subPath"] = found["subPath"]
    mounts = [mount, {"name": "tmp", "mountPath": "/tmp"}]
    if order.verb[0] == pacing.SWEEP_VERB:
        mounts.append({"name": "pace", "mountPath": PACE_DIRECTORY, "readOnly": True})
    if order.snapshot:
        mounts.append({"name": "snapshot", "mountPath": SNAPSHOT_DIRECTORY})
    return mounts


def _volumes(draft: Draft, order: Order, template: Mapping[str, Any]) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [
        {"name": "drive", "persistentVolumeClaim": {"claimName": claim_name(draft) or ""}},
        {"name": "tmp", "emptyDir": {}},
    ]
    if order.verb[0] == pacing.SWEEP_VERB:
        config = pacing.config_name(job_name(draft, order.step, order.generation))
        volumes.append({"name": "pace", "configMap": {"name": config}})
    if order.snapshot:
        snapshot = draft.spec.completing.snapshot_claim_name
        volumes.append({"name": "snapshot", "persistentVolumeClaim": {"claimName": snapshot}})
    return volumes


def drive_mount(draft: Draft) -> Mapping[str, Any] | None:
    """How the target's container mounts the drive."""
    template = kube.dig(draft.seen.target, "spec", "template", "spec")
    container = kube.container(template, draft.spec.target.container_name)
    path = draft.spec.drives[0].mount_path
    for mount in kube.items(container, "volumeMounts"):
        if isinstance(mount, Mapping) and str(mount.get("mountPath", "")).rstrip("/") == path:
            return mount
    return None


def claim_name(draft: Draft) -> str | None:
    """The PersistentVolumeClaim behind the drive's mount."""
    mount = drive_mount(draft)
    if mount is None:
        return None
    for volume in kube.items(draft.seen.target, "spec", "template", "spec", "volumes"):
        if isinstance(volume, Mapping) and volume.get("name") == mount.get("name"):
            found = kube.dig(volume, "persistentVolumeClaim", "claimName")
            return str(found) if found else None
    return None
