"""One migration a target: the Lease named after the target's UID, and who holds it.

Creating it is the claim; a Lease of another migration is taken over only when that migration no longer
exists. While somebody else holds it this migration does nothing at all, in any phase.
"""

from __future__ import annotations

from dualtrack.api import names
from dualtrack.api.conditions import Reason
from dualtrack.rollout import intent, kube, messages
from dualtrack.rollout.decision import Create, MergePatch
from dualtrack.rollout.draft import Draft
from dualtrack.rollout.world import JsonObject


def acquire(draft: Draft) -> bool:
    """True once the target is ours. Otherwise an action on the way there, or the reason why not."""
    target = draft.seen.target
    spec = draft.spec.target
    if target is None:
        unseen = draft.unread("target")
        why = (
            unseen or f"spec.target.name: {spec.kind} {draft.namespace}/{spec.name} does not exist; create it"
        )
        draft.stalled = None if unseen else (Reason.TARGET_NOT_FOUND, why)
        draft.await_(messages.awaiting(draft, why))
        return False
    if not _take(draft, kube.uid(target)):
        return False
    draft.set_target(uid=kube.uid(target), lease_name=names.lease_name(kube.uid(target)))
    return True


def kept(draft: Draft) -> bool:
    """Whether a claim that was taken is still ours; a lost Lease is created again."""
    return _take(draft, draft.target.uid or "")


def holds(draft: Draft) -> bool:
    """Whether the Lease that was seen names this migration."""
    return bool(kube.dig(draft.seen.lease, "spec", "holderIdentity") == draft.uid)


def _take(draft: Draft, target_uid: str) -> bool:
    lease = draft.seen.lease
    if lease is None and draft.unread("lease"):
        draft.await_(messages.awaiting(draft, f"waiting for the API server: {draft.unread('lease')}"))
        return False
    if lease is None:
        draft.act(Create(intent.lease(draft, target_uid)))
        draft.await_(messages.awaiting(draft, "claiming the target"), delay=1.0)
        return False
    if holds(draft):
        return True
    holder = kube.dig(lease, "spec", "holderIdentity")
    if draft.seen.lease_holder_exists is False:
        draft.act(_take_over(draft, target_uid))
        draft.await_(
            messages.awaiting(draft, f"taking over the claim of the deleted migration {holder}"), delay=1.0
        )
        return False
    why = (
        f"the target is claimed by MetadataMigration {_owner(lease)} (UID {holder}, Lease"
        f" {kube.name(lease)}); nothing is done here until that one is deleted"
    )
    draft.stalled = (Reason.CLAIMED_BY_ANOTHER, why)
    draft.await_(messages.awaiting(draft, why))
    return False


def _owner(lease: JsonObject) -> str:
    """The name of the migration that the Lease belongs to, for people; who holds it says the UID."""
    owners = kube.dig(lease, "metadata", "ownerReferences")
    first = owners[0] if isinstance(owners, list) and owners else {}
    return kube.text(kube.dig(first, "name"), 253) or "of an unknown name"


def _take_over(draft: Draft, target_uid: str) -> MergePatch:
    lease = draft.seen.lease
    manifest = intent.lease(draft, target_uid)
    metadata = {k: manifest["metadata"][k] for k in ("labels", "ownerReferences")}
    # Two migrations may both see the holder gone: the version that was read lets only one win.
    metadata["resourceVersion"] = kube.dig(lease, "metadata", "resourceVersion")
    return MergePatch(
        "coordination.k8s.io/v1",
        "Lease",
        draft.namespace,
        kube.name(lease),
        kube.uid(lease),
        {"metadata": metadata, "spec": manifest["spec"]},
    )
