"""What a repair may touch: who may run it, which objects differ, and how many are too many.

A store that has lost its rows looks like a drive full of differences, and to repair them all would carry the
loss to the other side. So a repair needs a store that was once verified whole against this drive, in this
epoch; it needs every directory to be readable, because unknown is not different; and it refuses, before the
first change, to touch more objects than a person would expect.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from dualtrack.engine import marker
from dualtrack.engine.authority import require_files_lead
from dualtrack.engine.cleanup import preconditions
from dualtrack.engine.confirming import Confirmation
from dualtrack.engine.judging import Verdict, judge
from dualtrack.engine.listing import Problem
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.pairing import pairs
from dualtrack.engine.repair.strategies import Strategy
from dualtrack.engine.stores.protocol import Place
from dualtrack.engine.task import Task
from dualtrack.engine.verify import META as VERIFIED
from dualtrack.engine.verify import usable_owner
from dualtrack.errors import IncompleteError, MarkerError, RefusedError

LIMIT = 1_000
PERCENT = 1.0
ALWAYS = 10
"""So many objects may be repaired however small the drive is."""
_SUSPECTS = 256
_CHECKPOINT = 1_000


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `limit` objects, and at most `percent` of those that the store holds."""

    limit: int = LIMIT
    percent: float = PERCENT

    def allowed(self, objects: int) -> int:
        return min(self.limit, max(ALWAYS, math.ceil(objects * self.percent / 100)))

    def require(self, found: int, objects: int) -> None:
        """`RefusedError` where that is too much."""
        if found > (allowed := self.allowed(objects)):
            raise RefusedError(
                f"at least {found} objects would be repaired, and {allowed} may be (--limit {self.limit}, "
                f"--max-percent {self.percent:g} of {objects}); nothing was changed: so many differences "
                "have one cause, find it first"
            )


def require(task: Task, strategy: Strategy) -> None:
    """`RefusedError` and its kinds unless this strategy may be believed here."""
    info = usable_owner(task)
    if strategy is Strategy.USE_KV:
        _require_rows_alone(task)
    else:
        require_files_lead(task, f"repair {strategy}")
    if strategy.changes_files and not task.client_only and not task.server_stopped:
        raise RefusedError(
            f"{strategy} changes files that a running server may be writing: say --server-stopped once no "
            "server runs on the drive, or run it beside a data plane that owns the store"
        )
    value = task.owner.meta(VERIFIED)
    if value is None or json.loads(value)["epoch"] != info.epoch:
        raise RefusedError(
            f"the store {task.store_dir} has no clean full verification of epoch {info.epoch} on record: it "
            "may be new, or rebuilt, and what differs from it proves nothing; run migrate and verify first"
        )


def _require_rows_alone(task: Task) -> None:
    state = marker.read(task.drive.path).state
    if not state.reached(MarkerState.KV_ONLY):
        raise MarkerError(
            f"the marker of {task.drive.path} is {state}: use-kv moves files aside, and needs "
            f"{MarkerState.KV_ONLY}, acknowledged by the data plane; use sync-to-fs"
        )
    preconditions.ask_owner(task)


def differing(task: Task, confirmation: Confirmation, cap: Cap, named: Sequence[Place] = ()) -> list[Place]:
    """Objects that surely differ: of those named, or of all. Refused where they are too many.

    Of those named also where a row has left its file behind: what a wrong clock has dated later than the row
    no hold takes, and a restore refuses. Then somebody has to say that the row is right.
    """
    objects = sum(task.owner.stats().objects.values())
    if named:
        cap.require(len(named), objects)
        found = [
            place
            for place, _, verdict in confirmation.settle(set(named))
            if _counts(verdict, confirmation) or (confirmation.final and verdict is Verdict.SUPERSEDED)
        ]
    else:
        found = _all_differing(task, confirmation, cap, objects)
    if confirmation.unsettled:
        places = ", ".join("/".join(place) for place in confirmation.unsettled[:3])
        raise IncompleteError(
            f"{len(confirmation.unsettled)} objects cannot be compared now ({places}); nothing was changed: "
            "repair again when they can"
        )
    return sorted(found)


def _all_differing(task: Task, confirmation: Confirmation, cap: Cap, objects: int) -> list[Place]:
    found: list[Place] = []
    suspects: set[Place] = set()

    def failed(problem: Problem) -> None:
        if not problem.transient:
            suspects.add((problem.bucket, problem.key))
        elif not problem.vanished:
            raise IncompleteError(
                f"{problem.path} cannot be read ({problem.reason}), so what lies there is not known; nothing "
                "was changed: mend it, then repair again"
            )

    def settle() -> None:
        found.extend(
            place for place, _, verdict in confirmation.settle(suspects) if _counts(verdict, confirmation)
        )
        suspects.clear()
        cap.require(len(found), objects)

    for number, (place, seen) in enumerate(pairs(task.drive, task.owner, failed)):
        if _counts(judge(seen, confirmation.floor, final=confirmation.final), confirmation):
            suspects.add(place)
        if number % _CHECKPOINT == 0:
            task.checkpoint()
        if len(suspects) >= _SUSPECTS:
            settle()
    settle()
    return found


def _counts(verdict: Verdict, confirmation: Confirmation) -> bool:
    """Whether it is a difference for this repair: where cleanup has taken files, one that is gone is none."""
    return verdict.differs and not (confirmation.task.drive.held and verdict is Verdict.MISSING_FILE)
