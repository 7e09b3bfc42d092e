"""`status` of a MetadataMigration: the operator's whole memory, and what people look at.

Everything is optional, because a status is written by one version and read by another. It holds observed
seconds rather than differences of the wall clock, so that a restarted operator goes on where the last one
stopped. Its parts are in `status_target`, `status_evidence`, `status_work` and `status_people`: the words as
`StrEnum`s for whoever writes them, the fields as bounded strings, because an older operator has to be able to
read what a newer one wrote.
"""

from __future__ import annotations

from pydantic import Field

from dualtrack.api.conditions import Condition
from dualtrack.api.fields import ATOMIC, Count, Message, RatioPercent, StatusModel, Time, Word, keyed
from dualtrack.api.status_evidence import (
    GateStatus,
    ObservationStatus,
    PhaseTiming,
    SampleStatus,
    ValidationStatus,
)
from dualtrack.api.status_people import (
    Display,
    HandledCommand,
    HistoryEntry,
    PauseStatus,
    PendingApproval,
    RollbackStatus,
)
from dualtrack.api.status_target import SwitchStatus, TargetStatus
from dualtrack.api.status_work import DriveStatus, JobStatus, LedgerStatus, ReportStatus

HANDLED_COMMANDS_LIMIT = 20
HISTORY_LIMIT = 50


class MigrationStatus(StatusModel):
    """What has been reached, seen and decided."""

    observed_generation: Count | None = None
    """Generation of the spec that this status was decided from."""
    attempt: Count | None = None
    """The attempt that this status belongs to."""
    phase: Word | None = None
    """Where the migration is, for display; the conditions are the record."""
    step: Word | None = None
    """Step within the phase."""
    step_start_time: Time | None = None
    """When the step began."""
    phase_start_time: Time | None = None
    """When the phase began; its deadline counts from here."""
    paused_seconds: Count | None = None
    """Seconds of the phase in which it was paused or suspended; its deadline does not count them."""
    epoch: Count | None = None
    """Epoch that the target was last told to write in."""
    fence: Count | None = None
    """Fence of the newest Job; an older Job can no longer write."""
    reached_ratio_percent: RatioPercent | None = None
    """Highest ratioPercent that this attempt has begun. Phases up to it are fixed; absent before the first
    traffic phase and after the attempt has failed or was rolled back."""
    message: Message | None = None
    """What is awaited, since when, and what would unblock it."""
    display: Display | None = None
    """The columns of `kubectl get`, ready to print."""
    target: TargetStatus | None = None
    """The claimed workload. Present with a leaseName: goal, target, drives and store are fixed."""
    drives: tuple[DriveStatus, ...] | None = Field(None, max_length=16, json_schema_extra=keyed("name"))
    """What is known of each drive."""
    validation: ValidationStatus | None = None
    """Result of the check of the S3 interface."""
    switch: SwitchStatus | None = None
    """The change of environment that is under way; absent when none is."""
    observation: ObservationStatus | None = None
    """The window of the current phase."""
    gates: tuple[GateStatus, ...] | None = Field(None, max_length=16, json_schema_extra=keyed("name"))
    """The last judgement of each gate."""
    jobs: tuple[JobStatus, ...] | None = Field(None, max_length=64, json_schema_extra=keyed("name"))
    """Jobs of this attempt."""
    pause: PauseStatus | None = None
    """Why the migration is paused; absent when it is not."""
    rollback: RollbackStatus | None = None
    """The way back that is under way or was taken; absent when none is."""
    pending_approval: PendingApproval | None = None
    """What a person is asked; absent when nothing is."""
    sample: SampleStatus | None = None
    """The last sampled check; absent before the first of this attempt."""
    report: ReportStatus | None = None
    """The report at the end, by its root; absent before."""
    ledger: LedgerStatus | None = None
    """The books at the end: inodes before and after, rows, digests."""
    timings: tuple[PhaseTiming, ...] | None = Field(None, max_length=32, json_schema_extra=keyed("phase"))
    """How long each phase took."""
    handled_commands: tuple[HandledCommand, ...] | None = Field(
        None, max_length=HANDLED_COMMANDS_LIMIT, json_schema_extra=ATOMIC
    )
    """The newest commands and approvals that were acted upon or refused, newest first."""
    history: tuple[HistoryEntry, ...] | None = Field(None, max_length=HISTORY_LIMIT, json_schema_extra=ATOMIC)
    """The newest transitions, newest first."""
    conditions: tuple[Condition, ...] | None = Field(None, max_length=16, json_schema_extra=keyed("type"))
    """The record: Ready, Reconciling, Stalled, Paused, AwaitingApproval, MetricsAvailable, TargetDrifted,
    PointOfNoReturn, Succeeded."""
