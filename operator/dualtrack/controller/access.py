"""Every right that the operator needs, and the review of them at start.

Missing rights would otherwise show as an operator that runs and does nothing: kopf retries a forbidden
watch for ever. So the process asks for each rule before it starts and ends, naming the missing ones. The
chart's roles are written from the same list; a test renders the chart and compares.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dualtrack.adapters.kubernetes import KubernetesGateway
from dualtrack.api import names
from dualtrack.errors import RefusedError

CONCURRENT_REVIEWS: Final = 8


class AccessError(RefusedError):
    """The service account lacks a right."""


@dataclass(frozen=True, slots=True)
class Rule:
    """Verbs on one resource; `resource` may be `name/subresource`, as in a Role."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    why: str


RULES: Final = (
    Rule(names.GROUP, names.PLURAL, ("get", "list", "watch", "patch"), "read migrations; keep the finalizer"),
    Rule(names.GROUP, f"{names.PLURAL}/status", ("patch",), "report"),
    Rule("apps", "deployments", ("get", "list", "watch", "patch"), "switch the target's environment"),
    Rule("", "pods", ("get", "list", "watch"), "see which pods run in which mode"),
    Rule("", "pods/log", ("get",), "read the progress of Jobs"),
    Rule("", "persistentvolumeclaims", ("get",), "check the drives' claims"),
    Rule("", "secrets", ("get",), "read the tokens that a migration refers to"),
    Rule("", "configmaps", ("create", "patch"), "tell a running sweep its pace"),
    Rule("batch", "jobs", ("get", "list", "watch", "create", "patch", "delete"), "run the engine"),
    Rule("coordination.k8s.io", "leases", ("get", "create", "patch", "delete"), "claim targets"),
    Rule(
        "autoscaling", "horizontalpodautoscalers", ("list",), "refuse a target that is scaled automatically"
    ),
    Rule("events.k8s.io", "events", ("create",), "tell about transitions"),
)


async def review(gateway: KubernetesGateway, namespaces: Sequence[str]) -> None:
    """Ask for every rule in every namespace. Raises `AccessError` with all that is missing."""
    slots = asyncio.Semaphore(CONCURRENT_REVIEWS)

    async def missing(namespace: str, rule: Rule, verb: str) -> str | None:
        resource, _, subresource = rule.resource.partition("/")
        async with slots:
            if await gateway.allowed(namespace, verb, rule.group, resource, subresource):
                return None
        where = f"namespace {namespace}" if namespace else "all namespaces"
        return f"{verb} {rule.resource}.{rule.group or 'core'} in {where} (to {rule.why})"

    questions = [
        missing(namespace, rule, verb)
        for namespace in namespaces or [""]
        for rule in RULES
        for verb in rule.verbs
    ]
    lacking = [answer for answer in await asyncio.gather(*questions) if answer]
    if lacking:
        raise AccessError(
            f"the operator's service account may not: {'; '.join(lacking)}. "
            "Install the chart's roles, or name the watched namespaces by --namespace"
        )
