"""The parts of `status`, one class each, and the words that they use.

The words are `StrEnum`s for whoever writes them. The fields themselves are bounded strings: an older
operator has to be able to read what a newer one wrote.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from dualtrack.api.fields import (
    ATOMIC,
    Count,
    Line,
    Measured,
    Message,
    Percent,
    StatusModel,
    Time,
    Word,
    keyed,
)


class Verdict(StrEnum):
    PASS = "Pass"
    FAIL = "Fail"
    NO_DATA = "NoData"
    ERROR = "Error"
    CANCELLED = "Cancelled"
    INSUFFICIENT = "Insufficient"


class SwitchStage(StrEnum):
    APPLY = "Apply"
    ROLL_OUT = "RollOut"
    DRAIN = "Drain"
    ACKNOWLEDGE = "Acknowledge"


class JobState(StrEnum):
    PENDING = "Pending"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    COMPLETE = "Complete"
    FAILED = "Failed"


class ValidationState(StrEnum):
    NOT_RUN = "NotRun"
    SKIPPED = "Skipped"
    PASSED = "Passed"
    FAILED = "Failed"


class Display(StatusModel):
    """Texts for the columns of `kubectl get`; never read by the operator."""

    ratio: Word | None = None
    """Ratio of traffic on the new track, for example `5%`."""
    observed: Word | None = None
    """Good time of the window, for example `31h/48h`."""
    progress: Word | None = None
    """Progress of the current Job or sweep, for example `41%`."""


class Variable(StatusModel):
    """A variable of the target's container."""

    name: Word
    """Its name."""
    value: Line = ""
    """Its value."""


class EngineSettings(StatusModel):
    """One complete setting of the target's environment."""

    engine: Word | None = None
    """`fs`, `kv_primary` or `kv_only`."""
    ratio_percent: Percent | None = None
    """Percent of the objects on the new track."""
    fallback: Word | None = None
    """`"true"` or `"false"`: whether reads fall back to the file system."""
    epoch: Count | None = None
    """Epoch of the setting."""
    variables: tuple[Variable, ...] | None = Field(None, max_length=16, json_schema_extra=keyed("name"))
    """What else is set with it: `spec.consistency` as it was when the switch began; on the file system what
    was there before."""


class PodCounts(StatusModel):
    """Pods of the target by what they are known to run."""

    current: Count | None = None
    """Pods with the wanted setting."""
    acknowledged: Count | None = None
    """Pods that have acknowledged it themselves."""
    terminating: Count | None = None
    """Pods that are going but may still serve."""


class TargetStatus(StatusModel):
    """The claimed workload."""

    uid: Word | None = None
    """UID of the workload."""
    pod_template_digest: Line | None = None
    """Digest of the pod template without our variables; another value restarts the window."""
    lease_name: Line | None = None
    """Lease that holds the claim."""
    desired: EngineSettings | None = None
    """The setting that the target is meant to have."""
    pods: PodCounts | None = None
    """Pods by what they are known to run."""
    variables_before: tuple[Variable, ...] | None = Field(
        None, max_length=16, json_schema_extra=keyed("name")
    )
    """Variables of `spec.consistency` that were set before and taken over; a rollback sets them again."""
    reapply_count: Count | None = None
    """How often another manager's change was taken back since the last switch."""


class DriveStatus(StatusModel):
    """What is known of one drive."""

    name: Word
    """Name in `spec.drives`."""
    deployment_id: Word | None = Field(None, alias="deploymentID")
    """Deployment id in the drive's `format.json`."""
    drive_id: Word | None = Field(None, alias="driveID")
    """The drive's own id in its `format.json`."""
    store_uuid: Word | None = Field(None, alias="storeUUID")
    """UUID of the drive's key-value store."""
    marker: Word | None = None
    """The drive's durable marker: FsAuthoritative, DualWrite, KvPrimary, KvOnly or Purged."""
    objects: Count | None = None
    """Objects found by the last inventory."""
    versions: Count | None = None
    """Versions found by the last inventory."""
    unreadable: Count | None = None
    """Metadata files that could not be read."""
    inodes_used_before: Count | None = None
    """Inodes in use before anything was changed."""


class ValidationStatus(StatusModel):
    """Result of the check of the S3 interface."""

    state: Word | None = None
    """`NotRun`, `Skipped`, `Passed` or `Failed`."""
    coverage_percent: Percent | None = None
    """Share of the checks that passed; absent when none were run."""
    checks_failed: Count | None = None
    """Checks that failed and were not ignored."""
    completed_time: Time | None = None
    """When the check ended."""
    message: Message | None = None
    """What was found, or why nothing was run."""


class SwitchStatus(StatusModel):
    """A change of the target's environment that is under way."""

    stage: Word | None = None
    """`Apply`, `RollOut`, `Drain` or `Acknowledge`."""
    start_time: Time | None = None
    """When it began; `changeDeadlineSeconds` counts from here."""
    purpose: Word | None = None
    """What it leads to: a phase, a step of Completing, or the way back."""
    previous: EngineSettings | None = None
    """The setting to return to when the deadline passes."""


class CoverageRun(StatusModel):
    """Some intervals in a row, by whether they count."""

    good: Count = 0
    """Intervals that were measured and good."""
    lost: Count = 0
    """Intervals that do not count."""


class ObservationStatus(StatusModel):
    """The window of the current phase."""

    start_time: Time | None = None
    """When observing began."""
    window_start: Time | None = None
    """Start of the window that is judged; later than startTime when the window was restarted."""
    observed_seconds: Count | None = None
    """Seconds that were measured and good."""
    required_seconds: Count | None = None
    """Seconds that have to be."""
    lost_seconds: Count | None = None
    """Seconds of the window that do not count: gaps, outages, failing intervals."""
    coverage_percent: Percent | None = None
    """Observed share of the trailing window."""
    runs: tuple[CoverageRun, ...] | None = Field(None, max_length=64, json_schema_extra=ATOMIC)
    """The trailing intervals that coverage is taken over, oldest first."""
    backfilled_seconds: Count | None = None
    """Seconds that were measured afterwards. This version counts gaps as lost and leaves this at 0."""
    last_evaluation_time: Time | None = None
    """End of the last interval that was evaluated."""
    next_evaluation_time: Time | None = None
    """End of the next one."""
    verdict: Word | None = None
    """`Pass`, `Fail`, `NoData`, `Error`, `Cancelled` or `Insufficient`, over all gates."""
    message: Message | None = None
    """Why the last interval was not seen whole; absent when it was."""


class GateStatus(StatusModel):
    """The last judgement of one gate."""

    name: Word
    """Name in `spec.gates`."""
    verdict: Word | None = None
    """`Pass`, `Fail`, `NoData`, `Error`, `Cancelled` or `Insufficient`."""
    bad: Count | None = None
    """Bad events since the window began."""
    samples: Count | None = None
    """Events since the window began."""
    value: Measured | None = None
    """Measured value, as decimal text."""
    upper_bound: Measured | None = None
    """Upper confidence bound of the value; must be at or under `bound` to pass."""
    bound: Measured | None = None
    """The gate's `max`."""
    samples_needed: Count | None = None
    """Further good events needed before the gate can pass."""
    judged_samples: Count | None = None
    """Size of the sample when the complete window was last judged; it is judged again at one and a
    half times it."""
    consecutive_failures: Count | None = None
    """Intervals in a row in which it tripped."""
    restarts_seen: Count | None = None
    """Restarts of the target's containers at the last look, for the preset container-restarts."""
    measured_time: Time | None = None
    """End of the interval that was measured."""
    message: Message | None = None
    """Why there is no number, or what the number means."""


class JobStatus(StatusModel):
    """One Job of this attempt."""

    name: Line
    """Name of the Job."""
    step: Word | None = None
    """The step that it does."""
    drives: tuple[Word, ...] | None = Field(None, max_length=16, json_schema_extra=ATOMIC)
    """Names of the drives that it mounts."""
    uid: Word | None = None
    """UID of the Job that counts; another Job of the same name does not."""
    state: Word | None = None
    """`Pending`, `Running`, `Suspended`, `Complete` or `Failed`."""
    fence: Count | None = None
    """Fence that it was started with."""
    generation: Count | None = None
    """How many Jobs of this step were started before it was this one."""
    scanned: Count | None = None
    """Objects seen so far."""
    total: Count | None = None
    """Objects expected; absent while unknown."""
    objects_per_day: Count | None = None
    """Objects a day that a sweep was last told, the slower of its quotas; absent for other steps."""
    pace: Message | None = None
    """The pace file that a sweep was last given; absent for other steps."""
    report_digest: Line | None = None
    """Digest of its report."""
    message: Message | None = None
    """What holds it up, or what it found."""


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


class SampleStatus(StatusModel):
    """A sampled check that found no difference."""

    time: Time | None = None
    """When it ended."""
    round: Count | None = None
    """Which slice of the sample it looked at, from 0; the next check takes the next one."""
    rounds: Count | None = None
    """After so many checks every object has been looked at."""
    objects: Count | None = None
    """How many objects it looked at."""
    at_most_ppm: Count | None = None
    """At most so many objects in a million differ, at 95 % confidence, by this check alone."""


class ReportStatus(StatusModel):
    """The report at the end: what the drive and its store hold, in a form that anybody can check."""

    time: Time | None = None
    """When it was made."""
    root: Line | None = None
    """Its root digest. Kept here, where whoever can write the file cannot reach it."""
    objects: Count | None = None
    """Objects that it speaks of."""
    path: Line | None = None
    """Where it lies, as the drive is mounted in the target's container; a page for people is beside it."""
    check: Message | None = None
    """The command that proves or refutes it, for a container that has the drive mounted there."""


class LedgerStatus(StatusModel):
    """The books at the end."""

    inodes_before: Count | None = None
    """Inodes in use before anything was changed."""
    inodes_after: Count | None = None
    """Inodes in use at the end."""
    rows: Count | None = None
    """Rows in the key-value store."""
    digest: Line | None = None
    """Digest of all rows, as the last verification found it."""
    report_digest: Line | None = None
    """Digest of the report."""


class PhaseTiming(StatusModel):
    """How long a phase took."""

    phase: Word
    """Name of the phase."""
    seconds: Count | None = None
    """Seconds from its start to its end, pauses included."""
    observed_seconds: Count | None = None
    """Seconds of its last window that were measured and good; absent where nothing was observed."""


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
