"""Of `status`: the workload, what it is set to, and a change of that under way."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from dualtrack.api.fields import Count, Line, Percent, StatusModel, Time, Word, keyed


class SwitchStage(StrEnum):
    APPLY = "Apply"
    ROLL_OUT = "RollOut"
    DRAIN = "Drain"
    ACKNOWLEDGE = "Acknowledge"


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
