"""Every CEL rule of the CRD, on one page: what the API server refuses, and what it says then.

A message names field and value and ends with the remedy (`must …`). Rules that compare with `oldSelf` are
the only ones that `rules.py` cannot repeat, since it sees one object only.

CEL is charged by an estimate from the schema's bounds (`maxItems`, `maxLength`); a rule over a list without
bounds is refused with the whole CRD, which only a real API server finds out. `string(integer)` counts as a
string without bounds, so numbers are shown by one outermost `format` and compared as numbers.
"""

from __future__ import annotations

from typing import Any, Final

NAME_LIMIT: Final = 40
"""Longest name of a migration: the names of its Jobs carry it."""
FIXED_PHASES: Final = (
    "Pending",
    "Validating",
    "Completing",
    "Complete",
    "RollingBack",
    "RolledBack",
    "Failed",
    "Paused",
    "Suspended",
)


def rule(cel: str, message: str, *, computed: bool = False, field: str = "") -> dict[str, Any]:
    """One `x-kubernetes-validations` entry. `computed`: `message` is a CEL string expression."""
    entry: dict[str, Any] = {"rule": cel}
    if computed:
        # The API server falls back to `message` when the expression fails or gets too long.
        entry["messageExpression"] = message
        entry["message"] = "refused by rule: " + cel
    else:
        entry["message"] = message
    if field:
        entry["fieldPath"] = field
    return entry


def rules(*entries: dict[str, Any]) -> dict[str, Any]:
    """`json_schema_extra` that attaches rules to a field or a model."""
    return {"x-kubernetes-validations": list(entries)}


def only(path: str, value: str) -> dict[str, Any]:
    """The rule of a field of which this version takes one value."""
    return rules(
        rule(
            f"self == '{value}'",
            f"'{path}: ' + self + ' is not supported by this version; must be {value}'",
            computed=True,
        )
    )


# ---- the root: what is fixed once the target is claimed
_UNCLAIMED = "!has(oldSelf.status) || !has(oldSelf.status.target) || !has(oldSelf.status.target.leaseName)"
_BEGUN = "{}.spec.phases.filter(p, p.ratioPercent <= oldSelf.status.reachedRatioPercent).map(p, p.{})"


def fixed_once_claimed(name: str) -> dict[str, Any]:
    """`spec.NAME` stays as it was from the claim on."""
    return rule(
        f"{_UNCLAIMED} || self.spec.{name} == oldSelf.spec.{name}",
        f"spec.{name} is fixed once the target is claimed; must stay as it was"
        " (delete this migration and create another one to change it)",
        field=f".spec.{name}",
    )


NAME_FITS = rule(
    f"self.metadata.name.size() <= {NAME_LIMIT}",
    "'metadata.name: ' + self.metadata.name + ' is too long for the names of its Jobs;"
    f" must be at most {NAME_LIMIT} characters'",
    computed=True,
)
BEGUN_PHASES_FIXED = rule(
    "!has(oldSelf.status) || !has(oldSelf.status.reachedRatioPercent) || "
    f"({_BEGUN.format('self', 'name')} == {_BEGUN.format('oldSelf', 'name')}"
    f" && {_BEGUN.format('self', 'ratioPercent')} == {_BEGUN.format('oldSelf', 'ratioPercent')})",
    "'spec.phases: name and ratioPercent are fixed up to the phase at %d; must still begin with %s at %s'"
    f".format([oldSelf.status.reachedRatioPercent, {_BEGUN.format('oldSelf', 'name')},"
    f" {_BEGUN.format('oldSelf', 'ratioPercent')}])",
    computed=True,
    field=".spec.phases",
)

# ---- spec
ATTEMPT_GROWS = rule(
    "self >= oldSelf",
    "'spec.attempt: %d is less than before; must be at least %d'.format([self, oldSelf])",
    computed=True,
)
_SHORTEST_WARMUP = "self.evaluation.intervalSeconds + 2 * self.prometheus.scrapeIntervalSeconds"
WARMUP_COVERS_QUERIES = rule(
    f"self.phases.all(p, p.warmupSeconds >= {_SHORTEST_WARMUP})",
    "'spec.phases: warmupSeconds %s of %s is shorter than the longest query; must be at least"
    " evaluation.intervalSeconds + 2 x prometheus.scrapeIntervalSeconds = %d'.format(["
    f"self.phases.filter(p, p.warmupSeconds < {_SHORTEST_WARMUP}).map(p, p.warmupSeconds), "
    f"self.phases.filter(p, p.warmupSeconds < {_SHORTEST_WARMUP}).map(p, p.name), "
    f"{_SHORTEST_WARMUP}])",
    computed=True,
    field=".phases",
)
INTERVAL_COVERS_SCRAPE = rule(
    "self.evaluation.intervalSeconds >= self.prometheus.scrapeIntervalSeconds",
    "'spec.evaluation.intervalSeconds: %d is shorter than one scrape; must be at least"
    " prometheus.scrapeIntervalSeconds = %d'"
    ".format([self.evaluation.intervalSeconds, self.prometheus.scrapeIntervalSeconds])",
    computed=True,
    field=".evaluation.intervalSeconds",
)
ONE_DRIVE = rule(
    "self.size() == 1",
    "'spec.drives: %d drives are not supported by this version; must be exactly one'.format([self.size()])",
    computed=True,
)
A_NORMAL_GATE = rule(
    "self.exists(g, g.severity == 'Normal')",
    "spec.gates: none has severity Normal, so nothing would hold a phase; must contain at least one"
    " gate with severity Normal",
)
RATIOS_GROW = rule(
    "self.map(p, p.ratioPercent).isSorted()"
    " && self.all(p, self.exists_one(q, q.ratioPercent == p.ratioPercent))",
    "'spec.phases: ratioPercent %s does not grow; must be strictly growing'"
    ".format([self.map(p, p.ratioPercent)])",
    computed=True,
)
RATIOS_END_AT_100 = rule(
    "self[self.size() - 1].ratioPercent == 100",
    "'spec.phases: ratioPercent ends at %d; the last phase must be at 100'"
    ".format([self[self.size() - 1].ratioPercent])",
    computed=True,
)

# ---- parts of spec
TARGET_API = rule(
    "self.kind != 'Deployment' || self.apiVersion == 'apps/v1'",
    "'spec.target.apiVersion: ' + self.apiVersion + ' is not the API of a Deployment; must be apps/v1'",
    computed=True,
    field=".apiVersion",
)
CLAIM_NAME_HAS_USE = rule(
    "self.location == 'Claim' || !has(self.claimName)",
    "'spec.store.claimName: ' + self.claimName + ' has no meaning with location Drive; must be absent'",
    computed=True,
    field=".claimName",
)
SKIP_HAS_REASON = rule(
    "self.policy != 'Skip' || (has(self.skipReason) && self.skipReason.trim().size() > 0)",
    "spec.validation.skipReason: missing with policy Skip; must say why the S3 coverage need not be shown",
    field=".skipReason",
)
REASON_HAS_SKIP = rule(
    "self.policy == 'Skip' || !has(self.skipReason)",
    "'spec.validation.skipReason: ' + self.skipReason + ' has no meaning with policy Required;"
    " must be absent, or set policy: Skip'",
    computed=True,
    field=".skipReason",
)
PHASE_NAME_FREE = rule(
    "!(self.name in [" + ", ".join(f"'{name}'" for name in FIXED_PHASES) + "])",
    "'name: ' + self.name + ' is one of the fixed phases; must be another name, for example Canary'",
    computed=True,
    field=".name",
)
DEADLINE_CAN_BE_MET = rule(
    "self.deadlineSeconds >= self.warmupSeconds + self.observationSeconds",
    "'deadlineSeconds: %d can never be met; must be at least warmupSeconds + observationSeconds = %d'"
    ".format([self.deadlineSeconds, self.warmupSeconds + self.observationSeconds])",
    computed=True,
    field=".deadlineSeconds",
)
FAILURE_WINDOW_COVERS_INTERVAL = rule(
    "self.failureWindowSeconds >= self.intervalSeconds",
    "'failureWindowSeconds: %d is shorter than one interval; must be at least intervalSeconds = %d'"
    ".format([self.failureWindowSeconds, self.intervalSeconds])",
    computed=True,
    field=".failureWindowSeconds",
)

LOW_IS_BELOW_HIGH = rule(
    "self.low < self.high",
    "'low: %d is not below high: %d; must be less'.format([self.low, self.high])",
    computed=True,
    field=".low",
)
REQUEST_LATENCY_IS_PLAIN = rule(
    "self.target.acknowledgement.scheme == 'HTTP'"
    " || !self.sweep.heed.exists(h, h.signal == 'RequestLatency')",
    "spec.sweep.heed: RequestLatency is read from the pods' /metrics over plain HTTP; must be absent with"
    " spec.target.acknowledgement.scheme HTTPS",
    field=".sweep.heed",
)

# ---- gates
LATENCY_ARGS = rule(
    "self.preset != 'latency-fraction' || (has(self.args) && self.args.size() == 2"
    " && self.args.exists(a, a.name == 'operation' && a.value in ['put', 'get', 'delete', 'list'])"
    " && self.args.exists(a, a.name == 'thresholdMilliseconds'"
    " && a.value.matches('^[1-9][0-9]*([.][0-9]+)?$')))",
    "args of preset latency-fraction must be exactly operation (put, get, delete or list) and"
    ' thresholdMilliseconds (a bucket boundary, for example "100")',
    field=".args",
)
NO_ARGS = rule(
    "self.preset == 'latency-fraction' || !has(self.args) || self.args.size() == 0",
    "'args must be absent for preset ' + self.preset + '; only latency-fraction takes arguments'",
    computed=True,
    field=".args",
)
FRACTION_MAX = rule(
    "!(self.preset in ['error-rate', 'latency-fraction', 'ready-fraction'])"
    # What is no number is the pattern's to refuse; without this the user reads of a failed conversion too.
    " || !self.max.matches('^[0-9]{1,9}([.][0-9]{1,12})?$') || double(self.max) <= 1.0",
    "'max: ' + self.max + ' is not a fraction, as preset ' + self.preset + ' needs it;"
    " must be between 0 and 1 (one percent is 0.01)'",
    computed=True,
    field=".max",
)
