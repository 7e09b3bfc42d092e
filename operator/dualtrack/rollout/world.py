"""What one pass of the operator has seen: the only input of `decide`.

Everything here is a value. Kubernetes objects are the plain JSON mappings that the API server returned,
so that the core reads what is there rather than what a client library makes of it; Prometheus answers are
raw samples. What could not be observed is said so (`None` with an entry in `failures`), because unknown is
not the same as absent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

JsonObject: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a matrix: its labels, and its samples as (unix seconds, value), oldest first."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """A whole answer. `warnings` not empty means partial data, which never counts as data."""

    series: tuple[Series, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class QueryFailure:
    """No answer: `kind` is `Unreachable`, `Refused` (bad query, auth) or `Malformed`."""

    kind: str
    message: str


QueryResult: TypeAlias = Matrix | QueryFailure


@dataclass(frozen=True, slots=True)
class Query:
    """One instant query with a range selector, evaluated at `at` (unix seconds)."""

    id: str
    expression: str
    at: float


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What one pod address answered to the question for its mode; `body` is None where it did not."""

    pod: str
    address: str
    body: JsonObject | None
    error: str = ""


@dataclass(frozen=True, slots=True)
class JobView:
    """A Job of ours with its pods, the newest progress line and the result of its termination message."""

    job: JsonObject
    pods: tuple[JsonObject, ...] = ()
    progress: JsonObject | None = None
    result: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class Installation:
    """What the installation, not the CR, chooses."""

    image: str
    image_pull_policy: str
    job_service_account: str
    operator_version: str
    prometheus_allow_list: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Observation:
    """One consistent look at the world, taken at `now` (UTC)."""

    now: datetime
    migration: JsonObject
    installation: Installation
    lease: JsonObject | None = None
    lease_holder_exists: bool | None = None
    target: JsonObject | None = None
    pods: tuple[JsonObject, ...] | None = None
    acknowledgements: tuple[Acknowledgement, ...] = ()
    jobs: tuple[JobView, ...] | None = None
    claims: tuple[JsonObject, ...] | None = None
    claim_users: tuple[JsonObject, ...] | None = None
    autoscalers: tuple[JsonObject, ...] | None = None
    results: Mapping[str, QueryResult] = field(default_factory=dict)
    failures: tuple[str, ...] = ()
