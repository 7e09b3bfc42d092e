"""How far a sweep has come: what its cursor in the store says, written in each batch's own transaction.

It is of one epoch and one trust floor. A sweep that was killed goes on from it; in another epoch, or above
another floor, a new pass begins.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from dualtrack.engine.owner_api import OwnerApi

CURSOR = "sweep"


@dataclass(frozen=True, slots=True)
class State:
    """What the cursor says. `start` is the generation that the pass began with, `at` how far it has come."""

    epoch: int
    floor: str
    start: str
    at: str = ""
    scanned: int = 0
    unread: int = 0
    done: bool = False
    order: tuple[str, ...] = ()
    """The buckets in the order of this pass; empty where it is the walk's own."""
    first: bool = False
    """Whether the store held no row when the pass began, so that none is older than it."""

    def pack(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def unpack(cls, data: bytes) -> State:
        fields = json.loads(data)
        return cls(**{**fields, "order": tuple(fields.get("order", ()))})


def last_count(owner: OwnerApi) -> int | None:
    """How many objects the last pass counted, if it was a complete one."""
    stored = owner.cursor(CURSOR)
    state = State.unpack(stored) if stored else None
    return state.scanned if state is not None and state.done and not state.unread else None
