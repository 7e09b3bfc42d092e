"""`dualtrack operator`: run the operator in a cluster, or against a kubeconfig.

Flags win over environment variables; the chart sets variables. What a migration may not choose is chosen
here: the image and service account of its Jobs, and the Prometheus servers that may be asked.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
from collections.abc import Mapping
from typing import Final

import kopf

import dualtrack
from dualtrack.controller.options import Options, quiet_logs
from dualtrack.controller.reconcile import Core
from dualtrack.controller.run import operate
from dualtrack.errors import DualTrackError, UsageError
from dualtrack.rollout.decide import decide
from dualtrack.rollout.queries import queries
from dualtrack.rollout.world import Installation

log = logging.getLogger(__name__)

SUMMARY: Final = "run the operator in a cluster, or against a kubeconfig"
PULL_POLICIES: Final = ("Always", "IfNotPresent", "Never")


def add_arguments(parser: argparse.ArgumentParser, environ: Mapping[str, str] = os.environ) -> None:
    """Declare the flags, with the environment as their defaults."""
    parser.add_argument(
        "--namespace",
        action="append",
        dest="namespaces",
        metavar="NAME",
        help="namespace to watch; may be repeated [DUALTRACK_NAMESPACES, by comma; default: all]",
    )
    parser.add_argument("--image", default=environ.get("DUALTRACK_IMAGE", ""), help="image of the Jobs")
    parser.add_argument(
        "--image-pull-policy",
        choices=PULL_POLICIES,
        default=environ.get("DUALTRACK_IMAGE_PULL_POLICY", "IfNotPresent"),
        help="pull policy of the Jobs",
    )
    parser.add_argument(
        "--job-service-account",
        default=environ.get("DUALTRACK_JOB_SERVICE_ACCOUNT", "dualtrack-job"),
        help="service account of the Jobs, one without rights",
    )
    parser.add_argument(
        "--prometheus",
        action="append",
        dest="prometheus",
        metavar="URL",
        help="Prometheus server that migrations may name; may be repeated [DUALTRACK_PROMETHEUS, by comma]",
    )
    parser.add_argument("--kubeconfig", default=None, help="a kubeconfig, instead of the pod's account")
    parser.add_argument("--bind-address", default=environ.get("DUALTRACK_BIND_ADDRESS", "0.0.0.0"))
    parser.add_argument(
        "--liveness-port", type=int, default=int(environ.get("DUALTRACK_LIVENESS_PORT", "8080"))
    )
    parser.add_argument(
        "--metrics-port", type=int, default=int(environ.get("DUALTRACK_METRICS_PORT", "8081"))
    )
    parser.add_argument(
        "--log-format", choices=("json", "text"), default=environ.get("DUALTRACK_LOG_FORMAT", "json")
    )
    parser.add_argument("--debug", action="store_true", help="log what kopf does, too")


def options_from(arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Options:
    """The options that flags and environment amount to. Raises `UsageError`."""
    if not arguments.image:
        raise UsageError("--image (DUALTRACK_IMAGE) is missing: the image that the engine's Jobs run")
    if arguments.image_pull_policy not in PULL_POLICIES:
        raise UsageError(f"--image-pull-policy {arguments.image_pull_policy}: must be one of {PULL_POLICIES}")
    return Options(
        installation=Installation(
            image=arguments.image,
            image_pull_policy=arguments.image_pull_policy,
            job_service_account=arguments.job_service_account,
            operator_version=dualtrack.__version__,
            prometheus_allow_list=_listed(arguments.prometheus, environ.get("DUALTRACK_PROMETHEUS", "")),
        ),
        namespaces=_listed(arguments.namespaces, environ.get("DUALTRACK_NAMESPACES", "")),
        kubeconfig=arguments.kubeconfig,
        bind_address=arguments.bind_address,
        liveness_port=arguments.liveness_port,
        metrics_port=arguments.metrics_port,
        identity=environ.get("DUALTRACK_POD_NAME") or socket.gethostname(),
    )


def execute(arguments: argparse.Namespace) -> int:
    """Run until SIGTERM; the exit code is 0 then, and that of the error tree where it cannot start."""
    formats = {"json": kopf.LogFormat.JSON, "text": kopf.LogFormat.FULL}
    kopf.configure(debug=arguments.debug, log_format=formats[arguments.log_format])
    if not arguments.debug:
        quiet_logs()
    try:
        options = options_from(arguments)
        if options.kubeconfig:
            # kopf reads the variable only; both clients must speak to the same cluster.
            os.environ["KUBECONFIG"] = options.kubeconfig
        asyncio.run(operate(options, Core(decide=decide, queries=queries)))
    except DualTrackError as error:
        log.error("%s", error, extra={"kind": type(error).__name__, "exit_code": error.exit_code})  # noqa: TRY400
        return error.exit_code
    return 0


def _listed(flags: list[str] | None, variable: str) -> tuple[str, ...]:
    found = flags if flags else variable.split(",")
    return tuple(item.strip() for item in found if item.strip())
