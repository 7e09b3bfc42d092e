"""What kopf is asked to call: one daemon a migration, events that only wake it, and the deletion.

kopf brings the watches, the finalizer and the liveness server; it decides nothing. The registry is our own,
so that nothing is registered by an import.
"""

from __future__ import annotations

from typing import Any, Final

import kopf

from dualtrack.api import names
from dualtrack.controller.health import Heartbeats
from dualtrack.controller.loop import Loop
from dualtrack.errors import DualTrackError

RESOURCE: Final = (names.GROUP, names.VERSION, names.PLURAL)
RETRY_SECONDS: Final = 5.0
CANCEL_AFTER_SECONDS: Final = 5.0
ABANDON_AFTER_SECONDS: Final = 25.0
WAKING: Final = (("batch", "v1", "jobs"), ("", "v1", "pods"), ("apps", "v1", "deployments"))


def registry_for(loop: Loop, heartbeats: Heartbeats, kubeconfig: str | None = None) -> kopf.OperatorRegistry:
    """All handlers, bound to this process's loop."""
    registry = kopf.OperatorRegistry()
    _login(registry, kubeconfig)
    _migrations(registry, loop)
    for resource in WAKING:
        _wake_on(registry, loop, resource)

    @kopf.on.probe(registry=registry, id="loops")
    async def loops(**_: Any) -> int:
        overdue = heartbeats.overdue()
        if overdue:
            # Any other exception would leave the request of the kubelet without an answer.
            raise kopf.PermanentError(f"overdue: {', '.join(overdue)}")
        return 0

    return registry


def _login(registry: kopf.OperatorRegistry, kubeconfig: str | None) -> None:
    @kopf.on.login(registry=registry, id="login")
    async def login(*, settings: kopf.OperatorSettings, **kwargs: Any) -> kopf.ConnectionInfo | None:
        if kubeconfig is None:
            found = kopf.login_with_service_account(settings=settings, **kwargs)
            if found is not None:
                return found
        return kopf.login_with_kubeconfig(settings=settings, **kwargs)


def _migrations(registry: kopf.OperatorRegistry, loop: Loop) -> None:
    @kopf.daemon(
        *RESOURCE,
        registry=registry,
        id="reconcile",
        cancellation_backoff=CANCEL_AFTER_SECONDS,
        cancellation_timeout=ABANDON_AFTER_SECONDS,
    )
    async def reconcile(*, stopped: kopf.DaemonStopped, namespace: str | None, name: str, **_: Any) -> None:
        await loop.run((namespace or "", name), stopped)

    @kopf.on.event(*RESOURCE, registry=registry, id="changed")
    async def changed(*, type: str, body: kopf.Body, namespace: str | None, name: str, **_: Any) -> None:  # noqa: A002
        loop.changed((namespace or "", name), body, gone=type == "DELETED")

    @kopf.on.delete(*RESOURCE, registry=registry, id="release")
    async def release(*, namespace: str | None, name: str, **_: Any) -> None:
        """The same passes as before, until the core says that the migration may go."""
        try:
            outcome = await loop.one_pass((namespace or "", name))
        except (DualTrackError, TimeoutError) as error:
            raise kopf.TemporaryError(f"not yet: {error}", delay=RETRY_SECONDS) from error
        if not outcome.done:
            raise kopf.TemporaryError(
                "the migration is not done with its target", delay=outcome.delay_seconds
            )


def _wake_on(registry: kopf.OperatorRegistry, loop: Loop, resource: tuple[str, str, str]) -> None:
    @kopf.on.event(*resource, registry=registry, id=f"wake-{resource[2]}")
    async def wake(*, body: kopf.Body, namespace: str | None, **_: Any) -> None:
        loop.wake(loop.owners(namespace or "", _KINDS[resource[2]], body))


_KINDS: Final = {"jobs": "Job", "pods": "Pod", "deployments": "Deployment"}
