"""Of `status`: what was measured, and how it was judged."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from dualtrack.api.fields import ATOMIC, Count, Measured, Message, Percent, StatusModel, Time, Word


class Verdict(StrEnum):
    PASS = "Pass"
    FAIL = "Fail"
    NO_DATA = "NoData"
    ERROR = "Error"
    CANCELLED = "Cancelled"
    INSUFFICIENT = "Insufficient"


class ValidationState(StrEnum):
    NOT_RUN = "NotRun"
    SKIPPED = "Skipped"
    PASSED = "Passed"
    FAILED = "Failed"


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


class PhaseTiming(StatusModel):
    """How long a phase took."""

    phase: Word
    """Name of the phase."""
    seconds: Count | None = None
    """Seconds from its start to its end, pauses included."""
    observed_seconds: Count | None = None
    """Seconds of its last window that were measured and good; absent where nothing was observed."""
