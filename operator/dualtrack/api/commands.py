"""Commands and approvals: annotations, because GitOps tools leave annotations alone.

    dualtrack.rustfs.com/command: VERB.ATTEMPT.ID[.REASON]
    dualtrack.rustfs.com/approve: STEP.ATTEMPT.ID
    dualtrack.rustfs.com/approved-by: USER

Parsing says what was written, never whether it is due: that a command is for another attempt or for nothing
that is pending is the rollout's judgement. What cannot be read is a value that says why, not an exception,
because it ends in one event and otherwise in nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dualtrack.api.names import ANNOTATION_APPROVE, ANNOTATION_APPROVED_BY, ANNOTATION_COMMAND

REASON_LIMIT: Final = 256
USER_LIMIT: Final = 253
_SHOWN: Final = 64
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")
_ATTEMPT: Final = re.compile(r"[1-9][0-9]{0,6}")
_STEP: Final = re.compile(r"[A-Z][A-Za-z0-9]{0,31}")


class Verb(StrEnum):
    PAUSE = "pause"
    """Stop at the next safe point; the id is the sender's own."""
    RESUME = "resume"
    """End the pause with this id."""
    ROLLBACK = "rollback"
    """Take the target back to the file system."""
    ABORT = "abort"
    """End the attempt before any traffic was moved."""
    FORCE = "force"
    """Let the switch go on although the pod with this id cannot be seen to have ended; needs a reason."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command as it was written."""

    verb: Verb
    attempt: int
    id: str
    reason: str = ""

    @property
    def text(self) -> str:
        """The command without its reason: the name under which it is remembered as handled."""
        return f"{self.verb}.{self.attempt}.{self.id}"


@dataclass(frozen=True, slots=True)
class Approval:
    """An approval as it was written. `approved_by` is only as good as the admission policy behind it."""

    step: str
    attempt: int
    id: str
    approved_by: str = ""

    @property
    def text(self) -> str:
        """The approval's own text, under which it is remembered as handled."""
        return f"{self.step}.{self.attempt}.{self.id}"


@dataclass(frozen=True, slots=True)
class Malformed:
    """An annotation that cannot be read, and why."""

    annotation: str
    value: str
    why: str

    @property
    def message(self) -> str:
        """One sentence: annotation, value, remedy."""
        return f"{self.annotation}: {self.value!r} is ignored: {self.why}"


def command(annotations: Mapping[str, str]) -> Command | Malformed | None:
    """The command in these annotations; None where there is none."""
    value = annotations.get(ANNOTATION_COMMAND, "").strip()
    if not value:
        return None
    verb, attempt, ident, reason = _parts(value, 4)
    if verb not in set(Verb):
        why = f"verb {verb[:_SHOWN]!r} must be one of {', '.join(Verb)} (VERB.ATTEMPT.ID[.REASON])"
    elif fault := _fault(attempt, ident):
        why = f"{fault} (VERB.ATTEMPT.ID[.REASON])"
    elif len(reason) > REASON_LIMIT:
        why = f"the reason has {len(reason)} characters; must be at most {REASON_LIMIT}"
    elif verb == Verb.FORCE and not reason.strip():
        why = "force needs a reason (force.ATTEMPT.ID.REASON)"
    else:
        return Command(Verb(verb), int(attempt), ident, reason.strip())
    return Malformed(ANNOTATION_COMMAND, value[:_SHOWN], why)


def approval(annotations: Mapping[str, str]) -> Approval | Malformed | None:
    """The approval in these annotations; None where there is none."""
    value = annotations.get(ANNOTATION_APPROVE, "").strip()
    if not value:
        return None
    step, attempt, ident, rest = _parts(value, 4)
    user = annotations.get(ANNOTATION_APPROVED_BY, "").strip()
    if not _STEP.fullmatch(step):
        why = f"step {step[:_SHOWN]!r} must be the name of a step, for example CutOver (STEP.ATTEMPT.ID)"
    elif fault := _fault(attempt, ident):
        why = f"{fault} (STEP.ATTEMPT.ID)"
    elif rest or value.count(".") > 2:
        why = "must end after the id (STEP.ATTEMPT.ID)"
    elif len(user) > USER_LIMIT:
        return Malformed(ANNOTATION_APPROVED_BY, user[:_SHOWN], f"must be at most {USER_LIMIT} characters")
    else:
        return Approval(step, int(attempt), ident, user)
    return Malformed(ANNOTATION_APPROVE, value[:_SHOWN], why)


def _parts(value: str, count: int) -> list[str]:
    parts = value.split(".", count - 1)
    return parts + [""] * (count - len(parts))


def _fault(attempt: str, ident: str) -> str:
    if not _ATTEMPT.fullmatch(attempt):
        return f"attempt {attempt[:_SHOWN]!r} must be a number from 1 on"
    if not _ID.fullmatch(ident):
        return f"id {ident[:_SHOWN]!r} must be 1 to 63 letters, digits and hyphens"
    return ""
