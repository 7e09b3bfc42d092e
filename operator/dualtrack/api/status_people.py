"""Of `status`: what people are shown, asked and told, and what they have commanded."""

from __future__ import annotations

from pydantic import Field

from dualtrack.api.fields import Count, Line, Message, StatusModel, Time, Word


class Display(StatusModel):
    """Texts for the columns of `kubectl get`; never read by the operator."""

    ratio: Word | None = None
    """Ratio of traffic on the new track, for example `5%`."""
    observed: Word | None = None
    """Good time of the window, for example `31h/48h`."""
    progress: Word | None = None
    """Progress of the current Job or sweep, for example `41%`."""


class PauseStatus(StatusModel):
    """Why the migration is paused."""

    id: Word | None = None
    """Id that a `resume` command must carry."""
    cause: Word | None = None
    """Reason, one word."""
    message: Message | None = None
    """What happened, and what to do."""
    since: Time | None = None
    """When it began."""


class RollbackStatus(StatusModel):
    """The way back to the file system."""

    from_phase: Word | None = None
    """Phase in which it began."""
    from_step: Word | None = None
    """Step in which it began."""
    start_time: Time | None = None
    """When it began."""
    cause: Word | None = None
    """Reason, one word."""
    message: Message | None = None
    """What happened."""


class PendingApproval(StatusModel):
    """What a person is asked."""

    step: Word | None = None
    """The step to approve."""
    attempt: Count | None = None
    """The attempt that it belongs to."""
    id: Word | None = None
    """Id that the approval must carry; a new one when the evidence changes."""
    evidence_digest: Line | None = None
    """Digest of the evidence shown."""
    since: Time | None = None
    """Since when it is awaited."""
    shown: Message | None = None
    """The evidence, in words."""


class HandledCommand(StatusModel):
    """A command or approval that was acted upon, or refused."""

    command: Line | None = None
    """Its text, without the reason."""
    time: Time | None = None
    """When it was handled."""
    outcome: Word | None = None
    """`Done`, `Refused` or `Malformed`."""
    actor: Line | None = None
    """Who gave it, as far as the admission policy vouches for it; `Unverified` otherwise."""
    message: Message | None = None
    """Why it was refused, or the reason that was given."""


class HistoryEntry(StatusModel):
    """One transition."""

    time: Time | None = None
    """When it happened."""
    attempt: Count | None = None
    """Attempt that it belongs to."""
    origin: Word | None = Field(None, alias="from")
    """Phase or step that was left."""
    to: Word | None = None
    """Phase or step that was entered."""
    cause: Word | None = None
    """Reason, one word."""
    actor: Line | None = None
    """`operator`, or who approved or commanded it."""
    evidence_digest: Line | None = None
    """Digest of the evidence that it was decided on."""
    message: Message | None = None
    """The reason in words, where there is more to say."""
