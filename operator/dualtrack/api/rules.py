"""What a spec may not say, as one pure function: `problems(spec)`.

It holds every rule that one object alone decides. Most of them are CEL rules too (`cel.py`); they are here
again because an object may be older than the CRD, and because the command line checks files without a
server. Marked with `[operator only]` are those that CEL cannot say or could only say dearly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Final
from urllib.parse import urlsplit

from dualtrack.api.cel import FIXED_PHASES
from dualtrack.api.fields import decimal
from dualtrack.api.gates import (
    ARG_OPERATION,
    ARG_THRESHOLD,
    FRACTION_PRESETS,
    LATENCY_OPERATIONS,
    STATISTICAL_PRESETS,
    Gate,
    Preset,
    Severity,
)
from dualtrack.api.phases import Jobs, Signal, TrafficPhase
from dualtrack.api.spec import Goal, MigrationSpec, Validation, ValidationPolicy
from dualtrack.api.target import Driver, Location, Scheme, TargetKind

_UNSUPPORTED: Final = "is not supported by this version; must be {}"
_SUFFIXES: Final = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{s: Decimal(1000) ** n for n, s in enumerate("kMGT", 1)},
    **{s: Decimal(1024) ** n for n, s in enumerate(("Ki", "Mi", "Gi", "Ti"), 1)},
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where, what is there, and what would be right."""

    field: str
    value: str
    remedy: str

    def __str__(self) -> str:
        shown = f"{self.value} " if self.value else ""
        return f"{self.field}: {shown}{self.remedy}"


def problems(spec: MigrationSpec) -> list[Problem]:
    """Everything that is wrong with this spec, in the order of its fields; empty if it can be accepted."""
    return [
        *_unsupported(spec),
        *_doubles("spec.drives", (d.name for d in spec.drives)),
        *_addresses(spec),
        *_doubles("spec.gates", (g.name for g in spec.gates)),
        *_gates(spec.gates),
        *_evaluation(spec),
        *_validation(spec.validation),
        *_doubles("spec.phases", (p.name for p in spec.phases)),
        *_phases(spec),
        *_sweep(spec),
        *_completing(spec),
        *_jobs(spec.jobs),
    ]


def _unsupported(spec: MigrationSpec) -> Iterator[Problem]:
    """What a later version brings, by name."""
    for path, value, wanted in (
        ("spec.goal", spec.goal, Goal.KV_ONLY),
        ("spec.target.kind", spec.target.kind, TargetKind.DEPLOYMENT),
        ("spec.store.driver", spec.store.driver, Driver.LMDB),
        ("spec.store.location", spec.store.location, Location.DRIVE),
    ):
        if value != wanted:
            yield Problem(path, value, _UNSUPPORTED.format(wanted))
    if spec.target.kind is TargetKind.DEPLOYMENT and spec.target.api_version != "apps/v1":
        remedy = "is not the API of a Deployment; must be apps/v1"
        yield Problem("spec.target.apiVersion", spec.target.api_version, remedy)
    if len(spec.drives) != 1:
        yield Problem("spec.drives", f"{len(spec.drives)} drives", _UNSUPPORTED.format("exactly one"))
    if spec.store.location is Location.DRIVE and spec.store.claim_name is not None:
        remedy = "has no meaning with location Drive; must be absent"
        yield Problem("spec.store.claimName", spec.store.claim_name, remedy)


def _doubles(path: str, keys: Iterable[str]) -> Iterator[Problem]:
    for key, times in Counter(keys).items():
        if times > 1:
            yield Problem(path, key, f"appears {times} times; must be unique")


def _addresses(spec: MigrationSpec) -> Iterator[Problem]:
    """[operator only] A port is a number from 1 to 65535, which a pattern can hardly say."""
    for path, url in (
        ("spec.prometheus.address", spec.prometheus.address),
        ("spec.validation.endpoint", spec.validation.endpoint),
    ):
        if url is not None and not _has_sound_port(url):
            yield Problem(path, url, "has a port that does not exist; must be between 1 and 65535")


def _has_sound_port(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _gates(gates: Sequence[Gate]) -> Iterator[Problem]:
    if all(gate.severity is not Severity.NORMAL for gate in gates):
        remedy = (
            "none has severity Normal, so nothing would hold a phase; must contain at least one Normal gate"
        )
        yield Problem("spec.gates", "", remedy)
    for gate in gates:
        at = f"spec.gates[{gate.name}]"
        yield from _gate_arguments(at, gate)
        bound = decimal(gate.max)
        if gate.preset in FRACTION_PRESETS and bound > 1:
            remedy = f"is not a fraction, as preset {gate.preset} needs it; must be between 0 and 1"
            yield Problem(f"{at}.max", gate.max, remedy)
        if gate.preset in STATISTICAL_PRESETS and gate.severity is Severity.NORMAL and bound == 0:
            # [operator only] An upper confidence bound is never 0: such a gate would wait for ever.
            remedy = (
                "can never be shown by a sample; must be above 0, or the gate's severity Critical or Observe"
            )
            yield Problem(f"{at}.max", gate.max, remedy)


def _gate_arguments(at: str, gate: Gate) -> Iterator[Problem]:
    yield from _doubles(f"{at}.args", (a.name for a in gate.args))
    if gate.preset is not Preset.LATENCY_FRACTION:
        if gate.args:
            names = ", ".join(a.name for a in gate.args)
            remedy = f"must be absent for preset {gate.preset}; only latency-fraction takes arguments"
            yield Problem(f"{at}.args", names, remedy)
        return
    if {a.name for a in gate.args} != {ARG_OPERATION, ARG_THRESHOLD}:
        names = ", ".join(a.name for a in gate.args) or "none"
        remedy = f"must be exactly {ARG_OPERATION} and {ARG_THRESHOLD} for preset {gate.preset}"
        yield Problem(f"{at}.args", names, remedy)
        return
    operation, threshold = gate.argument(ARG_OPERATION) or "", gate.argument(ARG_THRESHOLD) or ""
    if operation not in LATENCY_OPERATIONS:
        yield Problem(
            f"{at}.args", f"operation {operation}", f"must be one of {', '.join(LATENCY_OPERATIONS)}"
        )
    digits = threshold.replace(".", "", 1)
    if not (digits.isascii() and digits.isdigit() and Decimal(threshold) >= 1):
        remedy = 'must be a bucket boundary in milliseconds, for example "100"'
        yield Problem(f"{at}.args", f"{ARG_THRESHOLD} {threshold}", remedy)


def _evaluation(spec: MigrationSpec) -> Iterator[Problem]:
    evaluation, scrape = spec.evaluation, spec.prometheus.scrape_interval_seconds
    interval = evaluation.interval_seconds
    if interval < scrape:
        remedy = f"is shorter than one scrape; must be at least prometheus.scrapeIntervalSeconds = {scrape}"
        yield Problem("spec.evaluation.intervalSeconds", str(interval), remedy)
    if evaluation.failure_window_seconds < interval:
        remedy = f"is shorter than one interval; must be at least intervalSeconds = {interval}"
        value = str(evaluation.failure_window_seconds)
        yield Problem("spec.evaluation.failureWindowSeconds", value, remedy)
    for gate in spec.gates:
        # [operator only] Samples are as old as one scrape as a matter of course.
        if gate.max_staleness_seconds < scrape:
            remedy = (
                f"is shorter than one scrape; must be at least prometheus.scrapeIntervalSeconds = {scrape}"
            )
            value = str(gate.max_staleness_seconds)
            yield Problem(f"spec.gates[{gate.name}].maxStalenessSeconds", value, remedy)


def _validation(validation: Validation) -> Iterator[Problem]:
    reason = validation.skip_reason
    if validation.policy is ValidationPolicy.SKIP and not (reason or "").strip():
        remedy = "missing with policy Skip; must say why the S3 coverage need not be shown"
        yield Problem("spec.validation.skipReason", "", remedy)
    if validation.policy is not ValidationPolicy.SKIP and reason is not None:
        remedy = "has no meaning with policy Required; must be absent, or set policy: Skip"
        yield Problem("spec.validation.skipReason", reason, remedy)


def shortest_warmup(spec: MigrationSpec) -> int:
    """Seconds after a switch that the longest query may still look back on: one interval and two scrapes."""
    return spec.evaluation.interval_seconds + 2 * spec.prometheus.scrape_interval_seconds


def _phases(spec: MigrationSpec) -> Iterator[Problem]:
    ratios = [phase.ratio_percent for phase in spec.phases]
    if any(after <= before for before, after in pairwise(ratios)):
        shown = "ratioPercent " + ", ".join(map(str, ratios))
        yield Problem("spec.phases", shown, "does not grow; must be strictly growing")
    if ratios[-1] != 100:
        remedy = "is where ratioPercent ends; the last phase must be at 100"
        yield Problem("spec.phases", str(ratios[-1]), remedy)
    for phase in spec.phases:
        yield from _phase(phase, shortest_warmup(spec))


def _phase(phase: TrafficPhase, warmup: int) -> Iterator[Problem]:
    at = f"spec.phases[{phase.name}]"
    if phase.name in FIXED_PHASES:
        remedy = "is one of the fixed phases; must be another name, for example Canary"
        yield Problem(f"{at}.name", phase.name, remedy)
    if phase.warmup_seconds < warmup:
        remedy = (
            "is shorter than the longest query; must be at least evaluation.intervalSeconds"
            f" + 2 x prometheus.scrapeIntervalSeconds = {warmup}"
        )
        yield Problem(f"{at}.warmupSeconds", str(phase.warmup_seconds), remedy)
    needed = phase.warmup_seconds + phase.observation_seconds
    if phase.deadline_seconds < needed:
        remedy = f"can never be met; must be at least warmupSeconds + observationSeconds = {needed}"
        yield Problem(f"{at}.deadlineSeconds", str(phase.deadline_seconds), remedy)


def _sweep(spec: MigrationSpec) -> Iterator[Problem]:
    at = "spec.sweep.heed"
    yield from _doubles(at, (h.signal for h in spec.sweep.heed))
    for heed in spec.sweep.heed:
        if heed.low >= heed.high:
            yield Problem(f"{at}[{heed.signal}].low", str(heed.low), f"must be below high: {heed.high}")
        if heed.signal is Signal.REQUEST_LATENCY and spec.target.acknowledgement.scheme is Scheme.HTTPS:
            remedy = (
                "is read from the pods' /metrics over plain HTTP; must be absent with"
                " spec.target.acknowledgement.scheme HTTPS"
            )
            yield Problem(at, heed.signal, remedy)


def _completing(spec: MigrationSpec) -> Iterator[Problem]:
    at = "spec.completing"
    yield from _doubles(f"{at}.approvals", (a.step for a in spec.completing.approvals))
    waivers = spec.completing.waivers
    yield from _doubles(f"{at}.waivers", (f"{w.drive}/{w.bucket}/{w.key}" for w in waivers))
    drives = {drive.name for drive in spec.drives}
    for waiver in waivers:
        # [operator only] A waiver of a drive that is not there would never be used, and nobody would know.
        if waiver.drive not in drives:
            remedy = f"names no drive of spec.drives; must be one of {', '.join(sorted(drives))}"
            yield Problem(f"{at}.waivers", waiver.drive, remedy)


def _jobs(jobs: Jobs) -> Iterator[Problem]:
    """[operator only] CEL's quantities would be refused with the whole CRD by older API servers."""
    limits, requests = jobs.resources.limits, jobs.resources.requests
    for name, limit, request in (
        ("cpu", limits.cpu, requests.cpu),
        ("memory", limits.memory, requests.memory),
    ):
        if limit is not None and request is not None and _amount(request) > _amount(limit):
            remedy = f"is more than the limit; must be at most {limit}"
            yield Problem(f"spec.jobs.resources.requests.{name}", request, remedy)


def _amount(quantity: str) -> Decimal:
    number = quantity.rstrip("mkMGTi")
    return Decimal(number) * _SUFFIXES[quantity[len(number) :]]
