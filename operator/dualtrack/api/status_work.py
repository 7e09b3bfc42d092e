"""Of `status`: the drives, the Jobs on them, and what these leave at the end."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from dualtrack.api.fields import ATOMIC, Count, Line, Message, StatusModel, Time, Word


class JobState(StrEnum):
    PENDING = "Pending"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    COMPLETE = "Complete"
    FAILED = "Failed"


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
