"""The chart, rendered by Helm itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python import Chart

CHART = Path(__file__).resolve().parents[2] / "charts" / "dualtrack"

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]


@pytest.fixture(scope="session")
def render() -> Render:
    """Render with these values; gives every manifest."""

    def rendered(values: dict[str, Any] | None = None, namespace: str = "dualtrack-system") -> list[Manifest]:
        with Chart.load(CHART) as chart:
            chart.validate_schema(values)
            files = chart.render(values, name="dualtrack", namespace=namespace)
        return [
            document
            for path, text in sorted(files.items())
            if path.endswith(".yaml")
            for document in yaml.safe_load_all(text)
            if document
        ]

    return rendered
