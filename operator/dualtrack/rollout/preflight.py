"""Whether the target can be switched safely at all. Nothing has been changed yet, and nothing is here.

Each refusal names the field, what was found, and what would be right. They are looked for again each
minute, so that correcting the target is all that is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from dualtrack.api.conditions import Reason
from dualtrack.api.names import FIELD_MANAGER, TARGET_ENV
from dualtrack.api.target import ExistingEnv
from dualtrack.rollout import jobmanifest, kube, modes
from dualtrack.rollout.draft import Draft

_VALUE_LIMIT: Final = 256
"""As long as a value that the status keeps can be."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the target cannot be switched: one sentence with field, value and remedy."""

    message: str
    reason: Reason = Reason.PREFLIGHT_REFUSED


def refusals(draft: Draft) -> list[Refusal]:
    """Everything that stands in the way, most telling first."""
    checks: tuple[Callable[[Draft], Iterator[Refusal]], ...] = (
        _environment,
        _workload,
        _container,
        _volume,
        _sharing,
        _autoscalers,
        _prometheus,
    )
    return [refusal for check in checks for refusal in check(draft)]


def unknown(draft: Draft) -> str:
    """What could not be observed, so that nothing can be said yet; empty when all was."""
    seen = draft.seen
    missing = {
        "the target": seen.target,
        "its pods": seen.pods,
        "PersistentVolumeClaims": seen.claims,
        "users of the claim": seen.claim_users,
        "HorizontalPodAutoscalers": seen.autoscalers,
        "Jobs": seen.jobs,
    }
    names = [name for name, value in missing.items() if value is None]
    if not names:
        return ""
    return f"{', '.join(names)} could not be read" + (f": {seen.failures[0]}" if seen.failures else "")


def _environment(draft: Draft) -> Iterator[Refusal]:
    name = draft.spec.target.container_name
    container = kube.container(kube.dig(draft.seen.target, "spec", "template", "spec"), name)
    found = kube.env(kube.dig(draft.seen.target, "spec", "template", "spec"), name, TARGET_ENV)
    for variable, value in found.items():
        if value == "<valueFrom>":
            yield Refusal(
                f"{_field(draft, variable)}: has valueFrom, which cannot be switched; remove the variable"
            )
    if any(v == "<valueFrom>" for v in found.values()) or not found or container is None:
        return
    mode, _ = modes.found_mode(found)
    if mode.strength > modes.FILES_ONLY.strength and draft.target.desired is None:
        yield Refusal(
            f"{_field(draft, '')}: the target is at {mode}, not on the file system, and this migration did"
            " not bring"
            " it there; continue with the migration that did, or let that one roll back first",
            Reason.TARGET_ALREADY_MIGRATED,
        )
        return
    for variable, value in found.items():
        if len(value) > _VALUE_LIMIT:
            yield Refusal(
                f"{_field(draft, variable)}: its value has {len(value)} characters and could not be given"
                " back; remove the variable"
            )
    if draft.spec.target.existing_env is ExistingEnv.TAKE_OVER:
        return
    ours = modes.environment(draft.target.desired) if draft.target.desired is not None else {}
    for variable in (each for each in found if each not in ours):
        owners = managers(draft.seen.target, name, variable)
        if owners != {FIELD_MANAGER}:
            others = ", ".join(sorted(owners - {FIELD_MANAGER})) or "an unknown manager"
            yield Refusal(
                f"{_field(draft, variable)}: is set to {found[variable]!r} by {others}; remove it there,"
                " or set"
                " spec.target.existingEnv: TakeOver"
            )


def managers(obj: Mapping[str, Any] | None, container: str, variable: str) -> set[str]:
    """Who owns the value of this variable, by the object's managedFields."""
    owners = set()
    for entry in kube.items(obj, "metadata", "managedFields"):
        path = (
            *("f:spec", "f:template", "f:spec", "f:containers"),
            *(f'k:{{"name":"{container}"}}', "f:env", f'k:{{"name":"{variable}"}}'),
        )
        if kube.dig(entry, "fieldsV1", *path) is not None:
            owners.add(str(kube.dig(entry, "manager")))
    return owners


def _workload(draft: Draft) -> Iterator[Refusal]:
    target = draft.seen.target
    where = f"{draft.spec.target.kind} {draft.spec.target.name}"
    replicas = kube.dig(target, "spec", "replicas")
    replicas = 1 if replicas is None else replicas
    if replicas != 1:
        yield Refusal(f"{where} spec.replicas: {replicas}; one drive has one server: must be 1")
    if kube.dig(target, "spec", "paused"):
        yield Refusal(f"{where} spec.paused: true; its pods would not be replaced: must be false")
    strategy = kube.dig(target, "spec", "strategy", "type") or "RollingUpdate"
    surge = kube.dig(target, "spec", "strategy", "rollingUpdate", "maxSurge")
    if strategy != "Recreate" and str(surge) not in ("0", "0%"):
        yield Refusal(
            f"{where} spec.strategy: {strategy} with maxSurge {'25%' if surge is None else surge}; two"
            " servers would"
            " use one drive: must be Recreate, or maxSurge 0"
        )


def _container(draft: Draft) -> Iterator[Refusal]:
    template = kube.dig(draft.seen.target, "spec", "template", "spec") or {}
    name = draft.spec.target.container_name
    if kube.container(template, name) is None:
        known = ", ".join(str(kube.dig(c, "name")) for c in kube.items(template, "containers"))
        yield Refusal(
            f"spec.target.containerName: {name} is no container of the target; must be one of {known}"
        )
    elif "runAsUser" not in jobmanifest.user_of(draft, template):
        yield Refusal(
            f"{draft.spec.target.kind} {draft.spec.target.name} securityContext.runAsUser: absent; the"
            " Jobs must run"
            " as the server's user: set it to the user that owns the files"
        )


def _volume(draft: Draft) -> Iterator[Refusal]:
    drive = draft.spec.drives[0]
    mount = jobmanifest.drive_mount(draft)
    where = f"spec.drives[{drive.name}].mountPath: {drive.mount_path}"
    claim = jobmanifest.claim_name(draft)
    if mount is None:
        yield Refusal(f"{where} is not mounted by the target's container; must be one of its mountPaths")
    elif mount.get("readOnly"):
        yield Refusal(f"{where} is mounted read-only; the store lies on the drive: must be writable")
    elif mount.get("subPathExpr"):
        yield Refusal(
            f"{where} is mounted with subPathExpr, which a Job cannot repeat; must be a plain mount"
        )
    elif claim is None:
        yield Refusal(f"{where} is not on a PersistentVolumeClaim; must be, so that Jobs can mount it")
    else:
        yield from _claim(draft, claim)


def _claim(draft: Draft, name: str) -> Iterator[Refusal]:
    found = next((c for c in draft.seen.claims or () if kube.name(c) == name), None)
    if found is None:
        yield Refusal(f"PersistentVolumeClaim {name}: does not exist")
    elif "ReadWriteOncePod" in kube.items(found, "spec", "accessModes"):
        yield Refusal(
            f"PersistentVolumeClaim {name} spec.accessModes: ReadWriteOncePod; no Job could mount it"
            " beside the"
            " server: must be ReadWriteOnce or ReadWriteMany"
        )


def _sharing(draft: Draft) -> Iterator[Refusal]:
    own = {kube.uid(p) for p in draft.seen.pods or ()}
    jobs = {kube.uid(p) for view in draft.seen.jobs or () for p in view.pods}
    for user in draft.seen.claim_users or ():
        foreign = kube.uid(user) not in own | jobs and not kube.ended(user) and _mounts(draft, user)
        if (
            foreign
            and kube.dig(user, "metadata", "labels", "dualtrack.rustfs.com/migration-uid") != draft.uid
        ):
            kind = kube.dig(user, "kind") or "Pod"
            yield Refusal(
                f"{kind} {kube.name(user)}: uses the drive's PersistentVolumeClaim too; only the target"
                " may write there:"
                " remove it"
            )


def _mounts(draft: Draft, pod: Mapping[str, Any]) -> bool:
    """Whether this pod mounts the drive's claim, and not only the snapshot's."""
    claims = {kube.dig(v, "persistentVolumeClaim", "claimName") for v in kube.items(pod, "spec", "volumes")}
    return jobmanifest.claim_name(draft) in claims


def _autoscalers(draft: Draft) -> Iterator[Refusal]:
    target = draft.spec.target
    for scaler in draft.seen.autoscalers or ():
        of = kube.dig(scaler, "spec", "scaleTargetRef") or {}
        if (of.get("kind"), of.get("name")) == (target.kind.value, target.name):
            yield Refusal(
                f"HorizontalPodAutoscaler {kube.name(scaler)}: scales the target; one drive has one"
                " server: remove it"
            )


def _prometheus(draft: Draft) -> Iterator[Refusal]:
    allowed = draft.seen.installation.prometheus_allow_list
    address = draft.spec.prometheus.address
    if allowed and _origin(address) not in {_origin(a) for a in allowed}:
        yield Refusal(
            f"spec.prometheus.address: {address} is not on the installation's allow-list; must be one of"
            f" {', '.join(allowed)}"
        )


_PORTS: Final = {"http": 80, "https": 443}


def _origin(address: str) -> tuple[str, str, int | None]:
    parts = urlsplit(address)
    return parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS.get(parts.scheme)


def _field(draft: Draft, variable: str) -> str:
    target = draft.spec.target
    return f"{target.kind} {target.name} container {target.container_name} env" + (
        f" {variable}" if variable else ""
    )
