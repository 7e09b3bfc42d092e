"""Brings the operator onto a cluster with its Helm chart, as a platform engineer would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import helm_python

from demo.kube import Kube

CHART = Path(__file__).resolve().parents[2] / "charts" / "dualtrack"
RELEASE = "dualtrack"
NAMESPACE = "dualtrack-system"


def values(image: str, namespaces: Sequence[str], jobs_image: str = "") -> dict[str, Any]:
    """What the demo sets: the image built here, the Prometheus servers that may be asked, Jobs as `default`.

    The Jobs' account has no rights and its token is never mounted, so any account of the migration's
    namespace serves; `default` is in each of them.
    """
    repository, _, tag = image.rpartition(":")
    return {
        "image": {"repository": repository, "tag": tag, "pullPolicy": "IfNotPresent"},
        "prometheus": {"allowedAddresses": [f"http://prometheus.{name}:9090" for name in namespaces]},
        "jobs": {"image": jobs_image, "serviceAccount": {"name": "default", "create": False}},
    }


def install(kube: Kube, image: str, namespaces: Sequence[str], jobs_image: str = "") -> None:
    """Install or upgrade the release, and wait until the operator is ready."""
    system = Kube(kube.kubectl, kube.kubeconfig, NAMESPACE)
    wanted = values(image, namespaces, jobs_image)
    with helm_python.Config(kubeconfig_path=kube.kubeconfig, namespace=NAMESPACE) as helm:
        if installed(helm):
            helm.upgrade(CHART, RELEASE, wanted, namespace=NAMESPACE, timeout=120)
            # The tag is always the same, what it names is not.
            system.run("rollout", "restart", "deployment/dualtrack")
        else:
            helm.install(CHART, RELEASE, wanted, namespace=NAMESPACE, create_namespace=True, timeout=120)
    crd = "crd/metadatamigrations.dualtrack.rustfs.com"
    kube.run("wait", crd, "--for=condition=Established", "--timeout=60s", timeout=70)
    system.rolled_out("deployment/dualtrack")


def installed(helm: helm_python.Config) -> bool:
    try:
        return bool(helm.history(RELEASE))
    except helm_python.HelmNotFoundError:
        return False


def uninstall(kube: Kube) -> None:
    with helm_python.Config(kubeconfig_path=kube.kubeconfig, namespace=NAMESPACE) as helm:
        if installed(helm):
            helm.uninstall(RELEASE, timeout=120)
