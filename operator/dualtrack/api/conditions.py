"""Conditions: the record that people and tools (kstatus, Argo CD) read, and the reasons they carry.

`phase` is derived for display; nothing may branch on it that could branch on a condition. Each reason has a
documented meaning, which `kubectl mmig explain` and the documentation print from here.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Self

from pydantic import Field

from dualtrack.api.fields import Count, Message, StatusModel, Time


class Documented(StrEnum):
    """A word with its meaning: `member.meaning`."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member


class ConditionType(Documented):
    READY = "Ready", "Accepted, the target as wanted, on course; waiting for an approval included"
    RECONCILING = "Reconciling", "A switch or the preflight is under way"
    STALLED = "Stalled", "Only a person can help"
    PAUSED = "Paused", "Nothing goes forward: a gate, drift, a Job, a deadline, a command or spec.suspend"
    AWAITING_APPROVAL = "AwaitingApproval", "status.pendingApproval waits for a person"
    METRICS_AVAILABLE = "MetricsAvailable", "The last evaluation had data for every gate"
    TARGET_DRIFTED = "TargetDrifted", "Somebody else changes the variables that the migration has set"
    POINT_OF_NO_RETURN = (
        "PointOfNoReturn",
        "The way back needs a restore (NeedsRestore), or the store is the only copy (KvIsOnlyCopy)",
    )
    SUCCEEDED = "Succeeded", "The attempt has finished: True complete, False rolled back or failed"


class ConditionStatus(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Reason(Documented):
    """Reasons of conditions and events, and causes of transitions."""

    ACCEPTED = "Accepted", "The resource is valid and nothing else holds the target"
    AS_WANTED = "AsWanted", "The target is as the migration wants it"
    PENDING = "Pending", "Nothing has been looked at yet"
    IN_PROGRESS = "InProgress", "The attempt has not finished"
    NOT_NEEDED = "NotNeeded", "The condition does not apply at present"
    INVALID_SPEC = (
        "InvalidSpec",
        "The resource asks for something that cannot be done; the message lists all of it",
    )
    CLAIMED = "Claimed", "The target's Lease was created for this migration"
    CLAIMED_BY_ANOTHER = "ClaimedByAnother", "Another migration holds the target's Lease"
    TARGET_ALREADY_MIGRATED = (
        "TargetAlreadyMigrated",
        "The target is not on the file system and was not adopted",
    )
    TARGET_ADOPTED = "TargetAdopted", "The target was taken over at the step that its marker records"
    TARGET_NOT_FOUND = "TargetNotFound", "The workload, its container or its volume does not exist"
    PREFLIGHT = "Preflight", "The target is being checked before anything is changed"
    PREFLIGHT_PASSED = "PreflightPassed", "The target can be switched safely"
    PREFLIGHT_REFUSED = (
        "PreflightRefused",
        "The target cannot be switched safely; the message names field and value",
    )
    UNSUPPORTED_TOPOLOGY = "UnsupportedTopology", "format.json has more than one drive"
    INVENTORY = "Inventory", "The drive is being read"
    INVENTORY_COMPLETE = "InventoryComplete", "The whole drive was read and the unreadable is named"
    COVERAGE_NOT_RUN = (
        "CoverageNotRun",
        "S3 coverage was not run; only spec.validation.policy Skip lets it pass",
    )
    VALIDATION_SKIPPED = "ValidationSkipped", "spec.validation lets the missing S3 coverage pass"
    SWITCHING = "Switching", "The target's environment is being changed"
    SWITCHED = "Switched", "Every pod, terminating ones included, has acknowledged the new environment"
    SWITCH_DEADLINE = (
        "SwitchDeadlineExceeded",
        "The change was not acknowledged in time; the previous was applied",
    )
    SWITCH_FAILED = "SwitchFailed", "Neither the change nor its taking back was acknowledged"
    POD_NOT_DRAINED = "PodNotDrained", "A pod without the new environment may still serve"
    WARMING_UP = "WarmingUp", "A switch has ended; only Critical gates act and nothing counts yet"
    OBSERVING = "Observing", "The window is being observed"
    WINDOW_RESTARTED = "WindowRestarted", "The window began anew"
    GATES_PASSED = "GatesPassed", "The window held with enough evidence"
    GATE_FAILED = "GateFailed", "A Normal gate tripped too often in a row"
    CRITICAL_GATE_FAILED = "CriticalGateFailed", "A Critical gate saw a confirmed bad event"
    INSUFFICIENT_EVIDENCE = "InsufficientEvidence", "The window is complete and the sample is too small"
    METRICS_COMPLETE = "MetricsComplete", "Every gate had data"
    NO_DATA = "NoData", "Prometheus answers, but a gate has no usable data"
    PROMETHEUS_UNREACHABLE = (
        "PrometheusUnreachable",
        "Prometheus does not answer; the clock stands, nothing rolls back",
    )
    PHASE_DEADLINE = "PhaseDeadlineExceeded", "The phase lasted longer than its deadlineSeconds"
    TARGET_CHANGED = "TargetChanged", "The pod template was changed by somebody else"
    TARGET_REAPPLIED = "TargetReapplied", "A change by another manager was taken back"
    DRIFTED = "Drifted", "Another manager keeps changing the variables"
    JOB_STARTED = "JobStarted", "A Job was created"
    JOB_RUNNING = "JobRunning", "A Job is at work"
    JOB_COMPLETE = "JobComplete", "A Job has finished and its result was read"
    PACE_CHANGED = "PaceChanged", "A running sweep was told another pace"
    JOB_BLOCKED = "JobBlocked", "A Job's pod cannot start; the message says why"
    JOB_FAILED = "JobFailed", "A Job has used up its retries"
    SWEEP_COMPLETE = "SweepComplete", "Every object of the drive was seen by the sweep"
    VERIFICATION_CLEAN = "VerificationClean", "Every row equals its file"
    VERIFICATION_DIFFERS = "VerificationDiffers", "A row and its file differ, or one of them is missing"
    SAMPLE_DIFFERS = "SampleDiffers", "A sampled check found a row that differs from its file"
    REPAIRED = "Repaired", "Objects were repaired since the last clean verification; somebody must know why"
    APPROVAL_REQUIRED = "ApprovalRequired", "A person must approve the step"
    APPROVED = "Approved", "The step was approved"
    APPROVAL_IGNORED = "ApprovalIgnored", "An approval was for something else than what is pending"
    COMMAND_HANDLED = "CommandHandled", "A command was carried out"
    COMMAND_IGNORED = (
        "CommandIgnored",
        "A command was malformed, for another attempt, or for nothing that is pending",
    )
    SNAPSHOT_REQUIRED = "SnapshotRequired", "The purge needs spec.completing.snapshotClaimName"
    SUSPENDED = "Suspended", "spec.suspend is true"
    COMMANDED = "Commanded", "A person commanded it"
    RESUMED = "Resumed", "A person resumed it"
    NEEDS_RESTORE = "NeedsRestore", "The file system no longer has every write; the way back is a restore"
    KV_IS_ONLY_COPY = "KvIsOnlyCopy", "Metadata files were removed; the store is the only copy"
    FILES_COMPLETE = "FilesComplete", "The file system has every write"
    ROLLING_BACK = "RollingBack", "The target is being taken back to the file system"
    ROLLED_BACK = "RolledBack", "The target is on the file system; a higher attempt starts again"
    RESTORE_FAILED = "RestoreFailed", "The restore did not verify; nothing was switched"
    FAILED = "Failed", "The attempt cannot go on; a higher attempt starts again"
    ABORTED = "Aborted", "A person ended the attempt before any traffic was moved"
    COMPLETE = "Complete", "The final verification was clean and the ledger is written"
    NEW_ATTEMPT = "NewAttempt", "spec.attempt was raised"


class Condition(StatusModel):
    """One condition, as Kubernetes' metav1.Condition."""

    type: str = Field(min_length=1, max_length=64, pattern=r"^[A-Z][A-Za-z]*$")
    """Type of the condition."""
    status: ConditionStatus
    """`True`, `False` or `Unknown`."""
    reason: str = Field(min_length=1, max_length=64, pattern=r"^[A-Z][A-Za-z]*$")
    """Why, in one documented word."""
    message: Message = ""
    """Why, in a sentence."""
    observed_generation: Count
    """Generation of the spec that it was decided from."""
    last_transition_time: Time
    """When `status` last changed."""


def with_condition(
    conditions: Iterable[Condition],
    kind: ConditionType,
    status: ConditionStatus,
    reason: Reason,
    message: str,
    *,
    generation: int,
    now: datetime,
) -> tuple[Condition, ...]:
    """`conditions` with this one set; `lastTransitionTime` moves only when `status` changes."""
    before = tuple(conditions)
    old = next((c for c in before if c.type == kind), None)
    since = old.last_transition_time if old is not None and old.status is status else now
    new = Condition(
        type=kind.value,
        status=status,
        reason=reason.value,
        message=message,
        observed_generation=generation,
        last_transition_time=since,
    )
    if old is None:
        return (*before, new)
    return tuple(new if c is old else c for c in before)
