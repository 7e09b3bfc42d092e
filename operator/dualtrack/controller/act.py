"""Executes what was decided. An action is complete; executing it twice changes nothing.

No rule lives here. The one judgement is whether an object that exists already is the one that was meant:
the same owner, or the same holder. Anything else is a `Conflict`, and the next pass sees the object as it is.
"""

from __future__ import annotations

from typing import Any, assert_never

from dualtrack.adapters.kinds import kind_of, kind_of_manifest
from dualtrack.adapters.kubernetes import AlreadyExists, Conflict, KubernetesGateway, NotFound
from dualtrack.rollout.decision import Apply, Create, Delete, Manifest, MergePatch

WriteAction = Apply | Create | MergePatch | Delete


async def execute(gateway: KubernetesGateway, action: WriteAction) -> None:
    """Carry out one action. Raises `ApiError` or `UnavailableError`; both end the pass."""
    match action:
        case Apply(manifest, force):
            await gateway.apply(manifest, force=force)
        case Create(manifest):
            await _create(gateway, manifest)
        case MergePatch():
            kind = kind_of(action.api_version, action.kind)
            await gateway.merge_patch(kind, action.namespace, action.name, action.patch, uid=action.uid)
        case Delete():
            await _delete(gateway, action)
        case _:
            assert_never(action)


def describe(action: WriteAction) -> str:
    """The action in a few words, for logs and failures."""
    match action:
        case Apply(manifest) | Create(manifest):
            metadata = manifest["metadata"]
            return f"{type(action).__name__} {manifest['kind']} {metadata['namespace']}/{metadata['name']}"
        case MergePatch() | Delete():
            return f"{type(action).__name__} {action.kind} {action.namespace}/{action.name}"
        case _:
            assert_never(action)


async def _create(gateway: KubernetesGateway, manifest: Manifest) -> None:
    try:
        await gateway.create(manifest)
    except AlreadyExists as error:
        metadata = manifest["metadata"]
        kind = kind_of_manifest(manifest)
        present = await gateway.get(kind, metadata["namespace"], metadata["name"])
        if not _same_object(manifest, present):
            raise Conflict(
                f"{kind.kind} {metadata['namespace']}/{metadata['name']} exists and is not ours; "
                "remove it or wait until its owner has",
                status=error.status,
                reason=error.reason,
            ) from error


async def _delete(gateway: KubernetesGateway, action: Delete) -> None:
    kind = kind_of(action.api_version, action.kind)
    try:
        await gateway.delete(kind, action.namespace, action.name, uid=action.uid)
    except NotFound:
        return
    except Conflict:
        # The uid is another one: the object that was meant is gone. Whatever has its name now stays.
        present = await gateway.get(kind, action.namespace, action.name)
        if present["metadata"]["uid"] == action.uid:
            raise


def _same_object(wanted: Manifest, present: Manifest) -> bool:
    owners, holder = _owners(wanted), _holder(wanted)
    if holder:
        return holder == _holder(present)
    return bool(owners) and owners <= _owners(present)


def _owners(manifest: Manifest) -> set[Any]:
    return {owner["uid"] for owner in manifest["metadata"].get("ownerReferences") or ()}


def _holder(manifest: Manifest) -> str:
    return str((manifest.get("spec") or {}).get("holderIdentity") or "")
