"""What an installation chooses for the operator's process, and what kopf is told from it.

kopf's defaults fit small scripts: it posts log lines as events, stores progress under its own domain,
watches without time-outs and looks for peers and for new CRDs. Each line of `kopf_settings` switches one of
these off or bounds it; `docs/internals/contracts.md` §7 says what is left for kopf to do.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

import kopf

from dualtrack.api import names
from dualtrack.rollout.world import Installation

LIVENESS_PATH: Final = "/healthz"
MANAGED_SELECTOR: Final = f"{names.LABEL_MANAGED_BY}={names.MANAGED_BY}"


@dataclass(frozen=True, slots=True)
class Options:
    """Empty `namespaces` means all of them."""

    installation: Installation
    namespaces: tuple[str, ...] = ()
    kubeconfig: str | None = None
    bind_address: str = "0.0.0.0"
    liveness_port: int = 8080
    metrics_port: int = 8081
    identity: str = "dualtrack-operator"
    minimum_interval_seconds: float = 1.0
    pass_timeout_seconds: float = 120.0


def kopf_settings() -> kopf.OperatorSettings:
    """Settings of the framework; nothing in them depends on the installation."""
    settings = kopf.OperatorSettings()
    settings.persistence.finalizer = names.FINALIZER
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=names.GROUP)
    settings.persistence.diffbase_storage = NoDiffBase()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 330
    settings.watching.connect_timeout = 10
    settings.watching.label_selectors["batch", "v1", "jobs"] = MANAGED_SELECTOR
    settings.execution.max_workers = 16
    settings.process.ultimate_exiting_timeout = 40
    return settings


class NoDiffBase(kopf.DiffBaseStorage):
    """Tells kopf that nothing has changed since the last time, and keeps no copy of the spec.

    We compare with the cluster, never with what was handled before; kopf's own storage would write the
    whole spec into an annotation again at each change.
    """

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        return self.build(body=body)

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Nothing to keep."""


def quiet_logs() -> None:
    """Leave out a line for each watched event and each probe: logs tell transitions."""
    for name in ("kopf.objects", "kopf.activities.probe", "aiohttp.access"):
        logging.getLogger(name).setLevel(logging.WARNING)
