"""`spec` of a MetadataMigration, and the resource itself: what a storage operator asks for.

The models are the one source: the CRD is generated from them (`crdgen.py`), defaults and CEL rules
included, and the operator parses with them (`load.py`). Values that a later version brings stay in the
enumerations and are refused by a rule that says so by name, so that nobody takes a silent default for an
answer. `rules.py` repeats the rules in Python, for objects that an older CRD has let in.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import ConfigDict, Field, StrictInt

from dualtrack.api import cel
from dualtrack.api.fields import (
    SET,
    Attempt,
    Count,
    Flag,
    Line,
    Percent,
    PositiveCount,
    Seconds,
    SpecModel,
    Url,
    Word,
    keyed,
)
from dualtrack.api.gates import DEFAULT_GATES, Evaluation, Gate
from dualtrack.api.phases import DEFAULT_PHASES, Completing, Jobs, Sweep, TrafficPhase
from dualtrack.api.target import Drive, SecretKeyRef, SecretRef, Store, Target


class Goal(StrEnum):
    KV_ONLY = "KvOnly"
    MIRROR = "Mirror"


class Mode(StrEnum):
    ENFORCE = "Enforce"
    DRY_RUN = "DryRun"


class DeletionPolicy(StrEnum):
    KEEP = "Keep"
    ROLLBACK = "Rollback"


INLINE_MOST: Final = 524_287
"""Content of more bytes always has its own file, in every server."""


class ConsistencyLevel(StrEnum):
    EVENTUAL = "Eventual"
    STRONG = "Strong"
    LAZY = "Lazy"


class Cache(SpecModel):
    """Rows that the server keeps in memory, never a stale one."""

    capacity: Count = 10_000
    """At most so many rows; 0 switches the cache off."""
    ttl_seconds: Seconds = 3600
    """How long a row may stay."""
    warmup_size: Count = 1000
    """Rows that are read when the server starts: those used last before."""
    max_size_bytes: PositiveCount = 67_108_864
    """Memory that the rows may take."""


class Consistency(SpecModel):
    """How close the two tracks are kept. The server is told with the next switch, in the same change of its
    variables, so that its pods are not replaced once more for it."""

    level: ConsistencyLevel = ConsistencyLevel.EVENTUAL
    """When a write on both tracks is answered. `Eventual`: once the file system has it and a durable mark
    says that the row follows at once. `Strong`: once the row is there too, and reads compare both. `Lazy`: as
    Eventual, and the row follows when the key is read or half the window has passed."""
    window_seconds: Seconds = 60
    """How long a row may lag behind its file; the server counts the keys that are later than this."""
    cache: Cache = Cache()
    """Rows that the server keeps in memory."""
    inline_threshold_bytes: Annotated[StrictInt, Field(ge=0, le=INLINE_MOST)] = 131_072
    """Up to how many bytes content lies in the metadata; an eighth of it in versioned buckets."""


class Prometheus(SpecModel):
    """Where the measurements come from. The address must be on the installation's allow-list."""

    address: Url
    """Base URL of the Prometheus HTTP API, without user, password or query."""
    token_secret_ref: SecretKeyRef | None = None
    """Bearer token for Prometheus."""
    request_timeout_seconds: Annotated[Seconds, Field(le=300)] = 10
    """A query that takes longer is no data."""
    scrape_interval_seconds: Annotated[Seconds, Field(le=600)] = 15
    """How often Prometheus scrapes the target; a longer distance between samples is a gap."""
    outage_alert_after_seconds: Seconds = 600
    """A Prometheus that is away for longer raises an alert. It never causes a rollback."""


class ValidationPolicy(StrEnum):
    REQUIRED = "Required"
    SKIP = "Skip"


class Validation(SpecModel):
    """The check of the S3 interface before any traffic is moved."""

    model_config = ConfigDict(json_schema_extra=cel.rules(cel.SKIP_HAS_REASON, cel.REASON_HAS_SKIP))

    policy: ValidationPolicy = ValidationPolicy.REQUIRED
    """`Required`: the S3 coverage must be shown. `Skip`: a coverage that was not run lets the
    migration pass."""
    skip_reason: Line | None = None
    """Why the coverage need not be shown; recorded in history. Required with `Skip`."""
    endpoint: Url | None = None
    """S3 endpoint of the target."""
    credentials_secret_ref: SecretRef | None = None
    """Secret with the S3 credentials of the check."""
    minimum_coverage_percent: Percent = 95
    """Share of the checks that must pass."""
    ignored_checks: tuple[Word, ...] = Field((), max_length=128, json_schema_extra=SET)
    """Names of checks that are left out."""


class MigrationSpec(SpecModel):
    """What is asked for."""

    model_config = ConfigDict(
        json_schema_extra=cel.rules(
            cel.WARMUP_COVERS_QUERIES, cel.INTERVAL_COVERS_SCRAPE, cel.REQUEST_LATENCY_IS_PLAIN
        )
    )

    goal: Goal = Field(Goal.KV_ONLY, json_schema_extra=cel.only("spec.goal", "KvOnly"))
    """What to reach. This version takes `KvOnly`: the key-value store alone holds the metadata."""
    attempt: Attempt = Field(1, json_schema_extra=cel.rules(cel.ATTEMPT_GROWS))
    """Number of the run. After a failure or a rollback only a higher one goes on."""
    mode: Mode = Mode.ENFORCE
    """`Enforce`, or `DryRun`: decide and report, change nothing."""
    suspend: Flag = False
    """Stop at the next safe point; nothing goes forward until this is false again. Protective
    moves still happen."""
    deletion_policy: DeletionPolicy = DeletionPolicy.KEEP
    """When the migration is deleted: `Keep` leaves the target as it is, `Rollback` takes it back to the file
    system first."""
    target: Target
    """The workload whose environment is switched."""
    drives: tuple[Drive, ...] = Field(
        min_length=1, max_length=16, json_schema_extra=keyed("name", **cel.rules(cel.ONE_DRIVE))
    )
    """The drives of one server. This version takes exactly one."""
    store: Store = Store()
    """The key-value store that takes the metadata."""
    consistency: Consistency = Consistency()
    """How close the two tracks are kept."""
    prometheus: Prometheus
    """Where the measurements come from."""
    gates: tuple[Gate, ...] = Field(
        DEFAULT_GATES,
        min_length=1,
        max_length=16,
        json_schema_extra=keyed("name", **cel.rules(cel.A_NORMAL_GATE)),
    )
    """The measured conditions for leaving a phase. At least one must be Normal."""
    evaluation: Evaluation = Evaluation()
    """When gates are evaluated, and when a failing one acts."""
    validation: Validation = Validation()
    """The check of the S3 interface before any traffic is moved."""
    phases: tuple[TrafficPhase, ...] = Field(
        DEFAULT_PHASES,
        min_length=1,
        max_length=10,
        json_schema_extra=keyed("name", **cel.rules(cel.RATIOS_GROW, cel.RATIOS_END_AT_100)),
    )
    """Ratios of traffic, strictly growing to 100. Name and ratio are fixed up to the phase that has begun."""
    sweep: Sweep = Sweep()
    """Pace of the migration Jobs."""
    completing: Completing = Completing()
    """From all traffic on both tracks to the key-value store alone."""
    jobs: Jobs = Jobs()
    """What the Jobs on the target's drives may use."""
