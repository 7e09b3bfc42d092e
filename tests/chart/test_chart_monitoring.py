"""Alerts and dashboard speak of metrics that the operator has."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dualtrack.controller.metrics import OperatorMetrics

Manifest = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
FILES = ROOT / "charts" / "dualtrack" / "files"
STATUS = {
    "phase": "Canary",
    "step": "Observing",
    "attempt": 1,
    "epoch": 1,
    "target": {"desired": {"ratioPercent": 5}},
    "observation": {"observedSeconds": 1, "requiredSeconds": 2},
    "conditions": [{"type": "Ready", "status": "True", "reason": "Observing"}],
    "gates": [{"name": "errors", "verdict": "Pass", "value": "0.1", "upperBound": "0.2"}],
}


def exported() -> set[str]:
    metrics = OperatorMetrics()
    metrics.publish("storage", "rustfs", STATUS)
    metrics.passes.labels("storage", "rustfs", "ok").inc()
    metrics.status_writes.labels("storage", "rustfs").inc()
    metrics.actions.labels("storage", "rustfs", "Apply", "ok").inc()
    lines = metrics.render().decode().splitlines()
    return {re.split(r"[ {]", line)[0] for line in lines if not line.startswith("#")}


def mentioned(text: str) -> set[str]:
    return set(re.findall(r"\bdualtrack_[a-z_]+", text))


def test_alerts_use_metrics_that_exist() -> None:
    rules = yaml.safe_load((FILES / "alerts.yaml").read_text())["groups"][0]["rules"]
    assert len(rules) == len({rule["alert"] for rule in rules})
    for rule in rules:
        assert mentioned(rule["expr"])
        assert mentioned(rule["expr"]) <= exported()
        assert set(rule["annotations"]) == {"summary", "description"}


def test_the_dashboard_uses_metrics_that_exist() -> None:
    panels = json.loads((FILES / "dashboard.json").read_text())["panels"]
    used = mentioned(" ".join(target["expr"] for panel in panels for target in panel["targets"]))
    assert used
    assert used <= exported()


def test_prometheus_accepts_the_alerts_as_rendered(
    render: Callable[..., list[Manifest]], tmp_path: Path
) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("needs the program promtool")
    values = {"prometheusRule": {"enabled": True, "runbookUrl": "https://example.org/alerts"}}
    (rule,) = (m for m in render(values) if m["kind"] == "PrometheusRule")
    for alert in rule["spec"]["groups"][0]["rules"]:
        expected = f"https://example.org/alerts#{alert['alert'].lower()}"
        assert alert["annotations"]["runbook_url"] == expected
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(rule["spec"]))
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
