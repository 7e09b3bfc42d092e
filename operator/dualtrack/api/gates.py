"""`spec.gates` and `spec.evaluation`: what is measured, against which bound, with how much evidence.

A gate names one of five presets; own PromQL belongs to a later version and has no field here. Bounds are
decimals as text. How a gate is judged is the rollout's business (`rollout/`); this page says only what can
be asked for.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import ConfigDict, Field, StrictInt

from dualtrack.api import cel
from dualtrack.api.fields import (
    DecimalText,
    LabelName,
    Percent,
    PositiveCount,
    Seconds,
    SpecModel,
    Word,
    keyed,
)


class Preset(StrEnum):
    """The measurements that a gate can ask for."""

    ERROR_RATE = "error-rate"
    """Failed requests (5xx) of the new track divided by its requests."""
    LATENCY_FRACTION = "latency-fraction"
    """Share of one operation's requests on the new track that took longer than a threshold."""
    CONSISTENCY_ERRORS = "consistency-errors"
    """Comparisons of both tracks that differed: a count, not a share."""
    CONTAINER_RESTARTS = "container-restarts"
    """Restarts of the target's container that no switch caused: a count; needs no Prometheus."""
    READY_FRACTION = "ready-fraction"
    """Share of the pods' seconds in which they were *not* ready; needs no Prometheus."""


FRACTION_PRESETS: Final = frozenset({Preset.ERROR_RATE, Preset.LATENCY_FRACTION, Preset.READY_FRACTION})
STATISTICAL_PRESETS: Final = frozenset({Preset.ERROR_RATE, Preset.LATENCY_FRACTION})
"""Presets that are judged by a confidence bound, which never reaches zero."""
LATENCY_OPERATIONS: Final = ("put", "get", "delete", "list")
ARG_OPERATION: Final = "operation"
ARG_THRESHOLD: Final = "thresholdMilliseconds"


class Severity(StrEnum):
    NORMAL = "Normal"
    """Fails after `consecutiveFailureLimit` trips; must pass before a phase is left."""
    CRITICAL = "Critical"
    """Acts on one confirmed bad event, at once, also in warm-up, pause and suspension."""
    OBSERVE = "Observe"
    """Shown, never acted upon."""


class OnNoData(StrEnum):
    WAIT = "Wait"
    PASS = "Pass"
    FAIL = "Fail"


class OnInsufficient(StrEnum):
    WAIT = "Wait"
    REQUIRE_APPROVAL = "RequireApproval"


class GateArgument(SpecModel):
    """One argument of a gate's preset."""

    name: Word = Field(min_length=1, pattern=r"^[a-z][A-Za-z]*$")
    """Name of the argument, for example `operation` or `thresholdMilliseconds`."""
    value: Word = Field(min_length=1)
    """Its value, as text."""


class Evidence(SpecModel):
    """How much evidence a verdict needs."""

    confidence_percent: Annotated[StrictInt, Field(ge=50, le=99)] = 95
    """Confidence of the one-sided Clopper-Pearson bounds, in percent."""
    minimum_bad_events: PositiveCount = 5
    """A gate trips only with at least so many bad events in the failure window."""
    minimum_samples: PositiveCount = 1
    """Fewer samples than this since the window began are no evidence: the verdict is `NoData`."""
    on_insufficient: OnInsufficient = OnInsufficient.WAIT
    """What to do when the window is complete and the evidence is not: `Wait`, or `RequireApproval` with the
    bound reached shown."""


class Gate(SpecModel):
    """A measured condition for leaving a phase."""

    model_config = ConfigDict(json_schema_extra=cel.rules(cel.LATENCY_ARGS, cel.NO_ARGS, cel.FRACTION_MAX))

    name: LabelName
    """Name of the gate, unique in the list; a status entry and a metric label carry it."""
    preset: Preset
    """What is measured: `error-rate`, `latency-fraction`, `consistency-errors`, `container-restarts` or
    `ready-fraction` (which judges the share of time in which pods were not ready)."""
    args: tuple[GateArgument, ...] = Field((), max_length=8, json_schema_extra=keyed("name"))
    """Arguments of the preset. `latency-fraction` takes `operation` and `thresholdMilliseconds`."""
    max: DecimalText
    """The largest value that is still good, as decimal text: a fraction, or a count for the presets
    `consistency-errors` and `container-restarts`."""
    severity: Severity = Severity.NORMAL
    """`Normal` must pass before a phase is left; `Critical` acts on one confirmed bad event;
    `Observe` is only
    shown."""
    on_no_data: OnNoData = OnNoData.WAIT
    """What no data means for this gate: `Wait` (time does not count), `Pass` (the gate is left out of this
    interval) or `Fail`."""
    max_staleness_seconds: Seconds = 60
    """Data whose newest sample is older than this is no data."""
    evidence: Evidence = Evidence()
    """How much evidence a verdict needs."""

    def argument(self, name: str) -> str | None:
        """The value of the argument with this name."""
        return next((a.value for a in self.args if a.name == name), None)


class Evaluation(SpecModel):
    """When gates are evaluated, and when a failing one acts."""

    model_config = ConfigDict(json_schema_extra=cel.rules(cel.FAILURE_WINDOW_COVERS_INTERVAL))

    interval_seconds: Annotated[Seconds, Field(ge=2, le=3600)] = 60
    """Length of one interval of the grid on which gates are evaluated and time is counted."""
    minimum_coverage_percent: Percent = 95
    """Share of the trailing window that must have been observed before a phase is left."""
    failure_window_seconds: Annotated[Seconds, Field(ge=2, le=86_400)] = 1800
    """A gate trips on what happened within this window."""
    consecutive_failure_limit: Annotated[StrictInt, Field(ge=1, le=1000)] = 3
    """So many intervals in a row must trip before a Normal gate acts."""


DEFAULT_GATES: Final = (
    Gate(name="error-rate", preset=Preset.ERROR_RATE, max="0.0001"),
    Gate(
        name="put-latency",
        preset=Preset.LATENCY_FRACTION,
        args=(
            GateArgument(name=ARG_OPERATION, value="put"),
            GateArgument(name=ARG_THRESHOLD, value="100"),
        ),
        max="0.01",
        evidence=Evidence(minimum_bad_events=20),
    ),
    Gate(
        name="consistency",
        preset=Preset.CONSISTENCY_ERRORS,
        max="0",
        severity=Severity.CRITICAL,
        evidence=Evidence(minimum_samples=1000),
    ),
)
"""The gates of a CR that names none: errors, slow writes, and any difference between the tracks."""
