"""Objects that may stay outside the store: what a verification is told of them, and whether it may pass.

A waiver is of one content of one object. The Job reads each quarantined object anew and holds it against the
ids that it was given; a file that changed since has no waiver. So neither the number of objects nor the size
of a result limits anything: the whole list is in the store, the first names are in the result.
"""

from __future__ import annotations

from dualtrack.api.conditions import Reason
from dualtrack.rollout import kube
from dualtrack.rollout.draft import Draft
from dualtrack.rollout.world import JsonObject
from dualtrack.waivers import list_digest, waiver_id


def ids(draft: Draft) -> tuple[str, ...]:
    """The waivers of the drive that the Jobs work on, in the words of the engine."""
    drive = draft.spec.drives[0].name
    waivers = draft.spec.completing.waivers
    return tuple(sorted(waiver_id(w.bucket, w.key, w.sha256) for w in waivers if w.drive == drive))


def objection(draft: Draft, result: JsonObject) -> tuple[Reason, str] | None:
    """What the verification left out and nobody answers for. That it went by the waivers of `spec` as they
    are now says their digest. What is no number is unknown, and unknown is not waived.
    """
    left = kube.dig(result, "counts", "quarantined")
    unwaived = kube.dig(result, "counts", "unwaived")
    if left == unwaived == 0:
        return None
    accepted = ids(draft)
    if kube.dig(result, "waiversDigest") != list_digest(accepted):
        return (
            Reason.VERIFICATION_DIFFERS,
            f"{left} objects are not in the store, and spec.completing.waivers is not what this verification"
            " went by; resume to verify with it",
        )
    if isinstance(left, int) and unwaived == 0:
        return None
    listed = ", ".join(map(str, kube.items(result, "unreadable"))) or "see the Job's log"
    return (
        Reason.VERIFICATION_DIFFERS,
        f"{unwaived} of {left} objects that are not in the store are not waived: {listed}; to see them all:"
        " dualtrack engine quarantine list; repair them, or name each in spec.completing.waivers",
    )
