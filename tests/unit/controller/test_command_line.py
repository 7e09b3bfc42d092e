"""Flags, environment and the chart's variables come to the same options."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python import Chart

from dualtrack.cli import operator
from dualtrack.controller.options import Options
from dualtrack.errors import UsageError

CHART = Path(__file__).resolve().parents[3] / "charts" / "dualtrack"


def options(arguments: list[str], environ: dict[str, str]) -> Options:
    parser = argparse.ArgumentParser()
    operator.add_arguments(parser, environ)
    return operator.options_from(parser.parse_args(arguments), environ)


def chart_environment(values: dict[str, Any]) -> dict[str, str]:
    with Chart.load(CHART) as chart:
        rendered = chart.render(values, name="dualtrack", namespace="system")
    manifest = yaml.safe_load(rendered["dualtrack/templates/deployment.yaml"])
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["dualtrack", "operator"]
    return {item["name"]: item.get("value", "from-the-pod") for item in container["env"]}


def test_the_charts_variables_are_understood() -> None:
    found = options(
        [],
        chart_environment(
            {
                "image": {"repository": "r", "tag": "1", "pullPolicy": "Never"},
                "watch": {"namespaces": ["storage", "archive"]},
                "prometheus": {"allowedAddresses": ["http://a:1", "https://b"]},
            }
        ),
    )
    assert found.namespaces == ("storage", "archive")
    assert found.identity == "from-the-pod"
    assert (found.liveness_port, found.metrics_port) == (8080, 8081)
    installation = found.installation
    assert (installation.image, installation.image_pull_policy) == ("r:1", "Never")
    assert installation.job_service_account == "dualtrack-job"
    assert installation.prometheus_allow_list == ("http://a:1", "https://b")


def test_flags_go_before_the_environment() -> None:
    environ = {"DUALTRACK_IMAGE": "a", "DUALTRACK_NAMESPACES": "x,y", "DUALTRACK_METRICS_PORT": "9"}
    found = options(["--image", "b", "--namespace", "z", "--metrics-port", "10"], environ)
    assert (found.installation.image, found.namespaces, found.metrics_port) == ("b", ("z",), 10)
    assert options([], environ).namespaces == ("x", "y")
    assert options([], {"DUALTRACK_IMAGE": "a"}).namespaces == ()


@pytest.mark.parametrize(
    "environ", [{}, {"DUALTRACK_IMAGE": "a", "DUALTRACK_IMAGE_PULL_POLICY": "Sometimes"}]
)
def test_a_wrong_setting_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="image"):
        options([], environ)
