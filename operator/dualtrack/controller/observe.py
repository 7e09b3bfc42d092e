"""Looks at the world once, for one migration, and hands it over as values.

Which objects are looked at is all that is decided here. Everything is read fresh from the API server, not
from a watch's cache, because destructive steps hang on it. What is not there is absent; what could not be
read stays `None` and is named in `failures`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from dualtrack.adapters.acknowledgement import Asked, ask_pods
from dualtrack.adapters.kinds import AUTOSCALER, CLAIM, DEPLOYMENT, LEASE, MIGRATION, POD, SECRET, Kind
from dualtrack.adapters.kubernetes import ApiError, KubernetesGateway, NotFound
from dualtrack.adapters.prometheus import REFUSED, PrometheusEndpoint, PrometheusReader, permitted
from dualtrack.api import names
from dualtrack.controller.jobs import jobs_of
from dualtrack.controller.selectors import claims_of, label_selector, uses_any
from dualtrack.errors import DualTrackError, InvalidResourceError, UnavailableError
from dualtrack.rollout.world import (
    Acknowledgement,
    Installation,
    JsonObject,
    Observation,
    Query,
    QueryFailure,
    QueryResult,
)

Queries = Callable[[JsonObject, datetime], Sequence[Query]]
FINISHED_PODS: Final = ("Succeeded", "Failed")
TOKEN_KEY: Final = "token"

T = TypeVar("T")


class _Unreadable(DualTrackError):
    """A Secret that does not hold what the migration says it holds."""


async def observe(
    gateway: KubernetesGateway,
    installation: Installation,
    queries: Queries,
    migration: JsonObject,
    now: datetime,
    earlier_failure: str = "",
) -> Observation:
    """One look. `earlier_failure` is what ended the pass before, so that the status can tell about it."""
    look = _Look(gateway, installation, migration, now)
    target = await look.target()
    lease, exists = await look.lease(target)
    pods, everyone, autoscalers, claims, results = await asyncio.gather(
        look.pods(target),
        look.attempt("pods", gateway.list_all(POD, look.namespace)),
        look.autoscalers(),
        look.claims(target),
        look.results(queries),
    )
    jobs, acknowledgements = await asyncio.gather(
        look.attempt("jobs", jobs_of(gateway, migration, everyone)) if everyone is not None else _nothing(),
        look.acknowledgements(pods or ()),
    )
    failures = (*((f"action: {earlier_failure}",) if earlier_failure else ()), *look.failures)
    return Observation(
        now=now,
        migration=migration,
        installation=installation,
        lease=lease,
        lease_holder_exists=exists,
        target=target,
        pods=pods,
        acknowledgements=acknowledgements,
        jobs=jobs,
        claims=claims,
        claim_users=None if everyone is None else look.claim_users(target, everyone),
        autoscalers=autoscalers,
        results=results,
        failures=failures,
    )


async def _nothing() -> None:
    return None


class _Look:
    """The parts of one look, and what went wrong in it."""

    def __init__(
        self, gateway: KubernetesGateway, installation: Installation, migration: JsonObject, now: datetime
    ) -> None:
        self._gateway = gateway
        self._installation = installation
        self._migration = migration
        self._now = now
        self._spec: Mapping[str, Any] = migration.get("spec") or {}
        self.namespace: str = migration["metadata"]["namespace"]
        self.failures: list[str] = []

    async def attempt(self, what: str, reading: Awaitable[T]) -> T | None:
        """The value, or None where it is absent or, with an entry in `failures`, not readable."""
        try:
            return await reading
        except NotFound:
            return None
        except (ApiError, UnavailableError) as error:
            self.failures.append(f"{what}: {error}")
            return None

    async def target(self) -> JsonObject | None:
        wanted = self._target
        if (wanted.get("apiVersion", "apps/v1"), wanted.get("kind", "Deployment")) != (
            "apps/v1",
            "Deployment",
        ):
            return None
        return await self._object("target", DEPLOYMENT, wanted.get("name"))

    async def lease(self, target: JsonObject | None) -> tuple[JsonObject | None, bool | None]:
        """The claim on the target, and whether the migration that holds it still exists."""
        known = (self._migration.get("status") or {}).get("target") or {}
        uid = target["metadata"]["uid"] if target else known.get("uid")
        lease = await self._object("lease", LEASE, names.lease_name(uid) if uid else None)
        holder = ((lease or {}).get("spec") or {}).get("holderIdentity")
        if not holder:
            return lease, None
        if holder == self._migration["metadata"]["uid"]:
            return lease, True
        others = await self.attempt("migrations", self._gateway.list_all(MIGRATION, self.namespace))
        if others is None:
            return lease, None
        return lease, any(other["metadata"]["uid"] == holder for other in others)

    async def pods(self, target: JsonObject | None) -> tuple[JsonObject, ...] | None:
        """The target's pods, those being terminated included; None where there is no target."""
        if target is None:
            return None
        selector = label_selector(target["spec"]["selector"])
        found = await self.attempt("target pods", self._gateway.list_all(POD, self.namespace, selector))
        return None if found is None else tuple(found)

    async def autoscalers(self) -> tuple[JsonObject, ...] | None:
        """The autoscalers that name the target."""
        found = await self.attempt("autoscalers", self._gateway.list_all(AUTOSCALER, self.namespace))
        if found is None:
            return None
        named = (self._target.get("kind", "Deployment"), self._target.get("name"))
        scaled = ((item["spec"]["scaleTargetRef"], item) for item in found)
        return tuple(item for reference, item in scaled if (reference["kind"], reference["name"]) == named)

    async def claims(self, target: JsonObject | None) -> tuple[JsonObject, ...] | None:
        """The claims that the target mounts and those that the migration names; absent ones are left out."""
        before = len(self.failures)
        wanted = self._claim_names(target)
        found = await asyncio.gather(*(self._object(f"claim {name}", CLAIM, name) for name in wanted))
        if len(self.failures) > before and None in found:
            return None
        return tuple(claim for claim in found if claim is not None)

    def claim_users(
        self, target: JsonObject | None, everyone: Sequence[JsonObject]
    ) -> tuple[JsonObject, ...]:
        """Every pod of the namespace that mounts one of the claims and has not finished."""
        wanted = set(self._claim_names(target))
        return tuple(
            pod
            for pod in everyone
            if uses_any(pod["spec"], wanted) and (pod.get("status") or {}).get("phase") not in FINISHED_PODS
        )

    async def acknowledgements(self, pods: Sequence[JsonObject]) -> tuple[Acknowledgement, ...]:
        """Ask every pod that has an address, terminating ones too."""
        how = self._target.get("acknowledgement") or {}
        asked = [
            Asked(pod["metadata"]["name"], address)
            for pod in pods
            if (address := (pod.get("status") or {}).get("podIP"))
        ]
        if not asked or not how:
            return ()
        try:
            token = await self._secret(how.get("secretRef") or {})
        except (ApiError, UnavailableError, _Unreadable) as error:
            # Said once for each pod, where it matters; nothing else of this look is less known for it.
            return tuple(Acknowledgement(each.pod, each.address, None, str(error)) for each in asked)
        return await ask_pods(
            asked, port=int(how.get("port", 9000)), scheme=str(how.get("scheme", "HTTP")), token=token
        )

    async def results(self, queries: Queries) -> dict[str, QueryResult]:
        """The answers to what the core wants to know, each by its id."""
        try:
            wanted = queries(self._migration, self._now)
        except InvalidResourceError:
            return {}  # the core will say what is wrong with it
        if not wanted:
            return {}
        how = self._spec.get("prometheus") or {}
        address = str(how.get("address", ""))
        if not permitted(address, self._installation.prometheus_allow_list):
            why = (
                f"{address} is not on the installation's list of Prometheus addresses; add it to the chart's"
            )
            return {query.id: QueryFailure(REFUSED, f"{why} prometheus.allowedAddresses") for query in wanted}
        token: str | None = None
        if how.get("tokenSecretRef"):
            try:
                token = await self._secret(how["tokenSecretRef"])
            except (ApiError, UnavailableError, _Unreadable) as error:
                return {query.id: QueryFailure(REFUSED, str(error)) for query in wanted}
        endpoint = PrometheusEndpoint(address, float(how.get("requestTimeoutSeconds", 10)), lambda: token)
        return await PrometheusReader(endpoint).run(wanted)

    @property
    def _target(self) -> Mapping[str, Any]:
        return self._spec.get("target") or {}

    async def _object(self, what: str, kind: Kind, name: str | None) -> JsonObject | None:
        if not name:
            return None
        return await self.attempt(what, self._gateway.get(kind, self.namespace, name))

    def _claim_names(self, target: JsonObject | None) -> list[str]:
        mounted = claims_of(target["spec"]["template"]["spec"]) if target else []
        completing, store = self._spec.get("completing") or {}, self._spec.get("store") or {}
        named = [name for name in (completing.get("snapshotClaimName"), store.get("claimName")) if name]
        return list(dict.fromkeys([*mounted, *named]))

    async def _secret(self, reference: Mapping[str, Any]) -> str:
        name, key = str(reference.get("name", "")), str(reference.get("key", TOKEN_KEY))
        try:
            secret = await self._gateway.get(SECRET, self.namespace, name)
            return base64.b64decode(secret["data"][key], validate=True).decode().strip()
        except NotFound as error:
            raise _Unreadable(f"Secret {self.namespace}/{name} does not exist; create it") from error
        except KeyError as error:
            raise _Unreadable(f"Secret {self.namespace}/{name} has no key {key}; add it") from error
        except (binascii.Error, UnicodeDecodeError) as error:
            raise _Unreadable(f"Secret {self.namespace}/{name}: key {key} is not text") from error
