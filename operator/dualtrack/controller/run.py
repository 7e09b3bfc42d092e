"""The operator's process: check, start, run until told to stop.

One replica with strategy Recreate is the intended installation. Two processes at once, as during a node's
loss, do no harm: claims are created, not assumed; Jobs have deterministic names and fences; writes of the
status carry the version they were decided from.
"""

from __future__ import annotations

import asyncio
import logging

import kopf
from kopf._core.engines import peering

from dualtrack.adapters.kinds import MIGRATION
from dualtrack.adapters.kubernetes import KubernetesGateway, NotFound, connect
from dualtrack.api import names
from dualtrack.controller.access import review
from dualtrack.controller.handlers import registry_for
from dualtrack.controller.health import Heartbeats, Readiness, serve
from dualtrack.controller.loop import Loop
from dualtrack.controller.metrics import OperatorMetrics
from dualtrack.controller.options import LIVENESS_PATH, Options, kopf_settings
from dualtrack.controller.reconcile import Core, Reconciler
from dualtrack.errors import UsageError

log = logging.getLogger(__name__)


async def operate(options: Options, core: Core, stop: asyncio.Event | None = None) -> None:
    """Run the operator. Raises `DualTrackError` where it cannot start, and what ended kopf."""
    async with await connect(options.kubeconfig) as gateway:
        await _check(gateway, options)
        metrics, heartbeats, readiness = OperatorMetrics(), Heartbeats(), Readiness()
        reconciler = Reconciler(gateway, options.installation, core, metrics, identity=options.identity)
        loop = Loop(reconciler, heartbeats, options)
        started = asyncio.Event()
        async with serve(metrics, readiness, heartbeats, options.bind_address, options.metrics_port) as port:
            log.info("starting", extra={"metrics_port": port, "namespaces": list(options.namespaces)})
            waiting = asyncio.create_task(_ready(started, readiness))
            try:
                await kopf.operator(
                    registry=registry_for(loop, heartbeats, kubeconfig=options.kubeconfig),
                    settings=kopf_settings(),
                    namespaces=options.namespaces,
                    clusterwide=not options.namespaces,
                    liveness_endpoint=f"http://{options.bind_address}:{options.liveness_port}{LIVENESS_PATH}",
                    ready_flag=started,
                    stop_flag=stop,
                    # Named here, because kopf's own name asks /etc/passwd, where a pod's user may not stand.
                    identity=peering.Identity(options.identity),
                    standalone=True,
                )
            finally:
                readiness.ready = False
                waiting.cancel()


async def _ready(started: asyncio.Event, readiness: Readiness) -> None:
    await started.wait()
    readiness.ready = True
    log.info("ready")


async def _check(gateway: KubernetesGateway, options: Options) -> None:
    """End at once, and say why, where the operator could only pretend to work."""
    await review(gateway, options.namespaces)
    for namespace in options.namespaces or ("",):
        try:
            await gateway.list_all(MIGRATION, namespace)
        except NotFound as error:
            raise UsageError(
                f"the API server knows no {names.CRD_NAME}: install the CRD (crds.enabled in the chart)"
            ) from error
