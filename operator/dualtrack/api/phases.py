"""`spec.phases`, `spec.sweep`, `spec.completing` and `spec.jobs`: the way from the first 5 % to the end.

A phase is one ratio of traffic on the new track. The numbers that a short CR gets are those of the guide:
two days of good time at 5, 25 and 100 percent, 100,000 objects a day, a week of soak before anything is
removed for good.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import ConfigDict, Field, StrictInt

from dualtrack.api import cel
from dualtrack.api.fields import (
    ATOMIC,
    Count,
    LabelName,
    Line,
    ObjectName,
    PhaseName,
    PositiveCount,
    Quantity,
    RatioPercent,
    Seconds,
    SpecModel,
    Word,
    ZeroOrSeconds,
    keyed,
)


class FixedPhase(StrEnum):
    """Phases that are not in `spec.phases`. Their names cannot be given to a traffic phase."""

    PENDING = "Pending"
    VALIDATING = "Validating"
    COMPLETING = "Completing"
    COMPLETE = "Complete"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"
    FAILED = "Failed"
    PAUSED = "Paused"
    SUSPENDED = "Suspended"


class ApprovalPolicy(StrEnum):
    AUTOMATIC = "Automatic"
    MANUAL = "Manual"


class OnFailure(StrEnum):
    PAUSE = "Pause"
    ROLLBACK = "Rollback"


class TrafficPhase(SpecModel):
    """One ratio of traffic, watched until enough good time has been seen."""

    model_config = ConfigDict(json_schema_extra=cel.rules(cel.PHASE_NAME_FREE, cel.DEADLINE_CAN_BE_MET))

    name: PhaseName
    """Name of the phase, CamelCase, unique in the list."""
    ratio_percent: RatioPercent
    """Percent of the objects whose requests take the new track."""
    warmup_seconds: Seconds = 720
    """Time after a switch in which only Critical gates act and nothing counts as observed."""
    observation_seconds: Annotated[Seconds, Field(ge=10)] = 172_800
    """Good time that must be observed before the phase is left."""
    deadline_seconds: Annotated[Seconds, Field(ge=11)] = 1_209_600
    """Past this time since its start the phase pauses."""
    approval: ApprovalPolicy = ApprovalPolicy.AUTOMATIC
    """Whether a person must approve leaving the phase: `Automatic` or `Manual`."""
    on_failure: OnFailure = OnFailure.PAUSE
    """What a failed gate does: `Pause` and wait for a person, or `Rollback` to the file system."""


DEFAULT_PHASES: Final = (
    TrafficPhase(name="Canary", ratio_percent=5),
    TrafficPhase(name="Expand", ratio_percent=25),
    TrafficPhase(name="FullOut", ratio_percent=100, deadline_seconds=5_184_000),
)


class Priority(StrEnum):
    ACCESS_FREQUENCY = "AccessFrequency"
    SIZE = "Size"
    RANDOM = "Random"


class SampleCheck(SpecModel):
    """Comparison of a random sample of rows with their files while the last phase and the read switch are
    observed. A difference is a critical finding."""

    fraction_ppm: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = 10_000
    """Share of the objects that each check compares, in parts per million."""
    interval_seconds: Seconds = 3600
    """Time between two checks."""


class Signal(StrEnum):
    IO_PRESSURE = "IoPressure"
    CPU_PRESSURE = "CpuPressure"
    REQUEST_LATENCY = "RequestLatency"
    STORE_LATENCY = "StoreLatency"


class Heed(SpecModel):
    """A signal that the sweep gives way to: below `low` it works more, above `high` half as much, and where
    the signal is gone it goes on at ten objects a second."""

    model_config = ConfigDict(json_schema_extra=cel.rules(cel.LOW_IS_BELOW_HIGH))

    signal: Signal
    """`IoPressure`, `CpuPressure`: share of the last 10 s in which somebody on the node waited, in per cent.
    `RequestLatency`: p99 of the server's GET and PUT, in ms. `StoreLatency`: the slowest commit, in ms."""
    low: Annotated[StrictInt, Field(ge=0, le=3_600_000)]
    """Below it the sweep works more."""
    high: Annotated[StrictInt, Field(ge=1, le=3_600_000)]
    """Above it the sweep works half as much."""


class AcceptedDeletions(SpecModel):
    """How many objects of a bucket may be found deleted, where that is more than a sweep takes for usual."""

    bucket: Line = Field(min_length=1)
    """Bucket of the objects."""
    objects: PositiveCount
    """At most so many of its rows may have lost their file since the sweep before."""


class Sweep(SpecModel):
    """Pace of the migration Jobs, which copy what no write has touched. A running sweep follows an edit
    within a minute or two."""

    concurrency: Annotated[StrictInt, Field(ge=1, le=256)] = 8
    """At most so many objects are read at the same time by one Job; never more than four, nor than the node
    has processors."""
    objects_per_day: PositiveCount = 100_000
    """At most so many objects a day; unused days are not saved up."""
    percent_per_week: Annotated[StrictInt, Field(ge=1, le=1_000_000_000)] = 20
    """At most so many percent of the drive's objects a week; over 100 for a sweep of less than a week."""
    priority: Priority = Priority.ACCESS_FREQUENCY
    """Which buckets come first: `AccessFrequency`, `Size` or `Random`. An edit holds from the next pass."""
    heed: tuple[Heed, ...] = Field((), max_length=4, json_schema_extra=keyed("signal"))
    """What the sweep gives way to; a signal that is not listed is not heeded."""
    sample_check: SampleCheck | None = None
    """Comparison of a random sample of rows with their files; absent: none."""
    accepted_deletions: tuple[AcceptedDeletions, ...] = Field(
        (), max_length=256, json_schema_extra=keyed("bucket")
    )
    """Buckets that may lose more than 1 % of their rows in one pass (small ones: 100, or half). A sweep that
    finds more without a file stops and deletes nothing, because a directory that was lost looks the same."""


class ApprovalStep(StrEnum):
    CUT_OVER = "CutOver"
    PURGE = "Purge"


class StepApproval(SpecModel):
    """Whether one step of Completing needs a person."""

    step: ApprovalStep
    """The step: `CutOver` (the key-value store becomes the only writer) or `Purge` (files are removed)."""
    policy: ApprovalPolicy = ApprovalPolicy.MANUAL
    """`Manual` waits for an approval with the pending id; `Automatic` does not."""


class Waiver(SpecModel):
    """One object that may stay outside the key-value store, named by who takes the responsibility."""

    drive: LabelName
    """Name of the drive in `spec.drives`."""
    bucket: Line = Field(min_length=1)
    """Bucket of the object."""
    key: str = Field(min_length=1, max_length=1024)
    """Key of the object."""
    sha256: str = Field(min_length=64, max_length=64, pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the object's metadata file as it was waived; another content is not waived."""
    reason: Line = Field(min_length=1)
    """Why it may stay."""


class SnapshotDevice(StrEnum):
    ANOTHER = "Another"
    ANY = "Any"


class Completing(SpecModel):
    """From all traffic on both tracks to the key-value store alone."""

    observation_seconds: Annotated[Seconds, Field(ge=10)] = 172_800
    """Good time that must be observed in ReadSwitch before the cut-over."""
    soak_seconds: ZeroOrSeconds = 604_800
    """Time between moving the metadata files aside and removing them for good."""
    snapshot_claim_name: ObjectName | None = None
    """PersistentVolumeClaim, in the same namespace, that takes the verified snapshot of the store. The purge
    waits as long as none is named."""
    snapshot_device: SnapshotDevice = SnapshotDevice.ANOTHER
    """`Another`: the purge refuses where the snapshot's claim lies on a disk of the drive, whose loss would
    take both copies of the metadata. `Any`: it warns and goes on."""
    approvals: tuple[StepApproval, ...] = Field(
        (StepApproval(step=ApprovalStep.CUT_OVER), StepApproval(step=ApprovalStep.PURGE)),
        max_length=2,
        json_schema_extra=keyed("step"),
    )
    """Which steps need a person; a step that is not listed does."""
    waivers: tuple[Waiver, ...] = Field((), max_length=256, json_schema_extra=keyed("drive", "bucket", "key"))
    """Objects that may stay outside the key-value store, each by name, content and reason."""

    def approval_policy(self, step: ApprovalStep) -> ApprovalPolicy:
        """The policy of a step; `Manual` where nothing is said."""
        return next((a.policy for a in self.approvals if a.step == step), ApprovalPolicy.MANUAL)


class ResourceAmounts(SpecModel):
    """Amounts of CPU and memory."""

    cpu: Quantity | None = None
    """CPU, as a quoted Kubernetes quantity, for example "2" or "500m"."""
    memory: Quantity | None = None
    """Memory, as a quoted Kubernetes quantity, for example "1Gi"."""


class JobResources(SpecModel):
    """Resources of a Job's container."""

    limits: ResourceAmounts = ResourceAmounts(cpu="2", memory="1Gi")
    """Upper limits."""
    requests: ResourceAmounts = ResourceAmounts(cpu="100m", memory="128Mi")
    """What the scheduler reserves."""


class TolerationOperator(StrEnum):
    EXISTS = "Exists"
    EQUAL = "Equal"


class TaintEffect(StrEnum):
    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(SpecModel):
    """A taint that a Job tolerates, as in a Pod."""

    key: Line | None = None
    """Key of the taint; absent with operator `Exists` means every key."""
    operator: TolerationOperator = TolerationOperator.EQUAL
    """`Exists` or `Equal`."""
    value: Word | None = None
    """Value of the taint, for operator `Equal`."""
    effect: TaintEffect | None = None
    """Effect of the taint; absent means every effect."""
    toleration_seconds: Count | None = None
    """How long a `NoExecute` taint is tolerated; absent means for ever."""


class Jobs(SpecModel):
    """What the Jobs on the target's drives may use. Image and service account are the installation's."""

    resources: JobResources = JobResources()
    """Resources of a Job's container."""
    tolerations: tuple[Toleration, ...] = Field((), max_length=16, json_schema_extra=ATOMIC)
    """Tolerations beside those of the target's pod."""
    deadline_seconds: Annotated[Seconds, Field(ge=10)] = 604_800
    """A Job that runs longer is ended, and the migration pauses."""
