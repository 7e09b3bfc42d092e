"""Addresses come from custom resources, so what the installation does not name is not asked."""

from __future__ import annotations

import pytest

from dualtrack.adapters.prometheus import permitted


@pytest.mark.parametrize(
    ("entry", "address", "allowed"),
    [
        ("http://prometheus.monitoring:9090", "http://prometheus.monitoring:9090", True),
        ("http://prometheus.monitoring:9090", "http://prometheus.monitoring:9090/", True),
        ("http://prometheus.monitoring:9090", "http://prometheus.monitoring:9090/tenant", True),
        ("http://prometheus:80", "http://prometheus", True),
        ("https://thanos/tenant/a", "https://thanos:443/tenant/a/", True),
        ("https://thanos/tenant/a", "https://thanos/tenant/ab", False),
        ("https://thanos/tenant/a", "https://thanos/", False),
        ("https://thanos/tenant/a", "https://thanos/tenant/a/../b", False),
        ("https://thanos/tenant/a", "https://thanos/tenant/a/%2e%2e/b", False),
        ("http://prometheus:9090", "https://prometheus:9090", False),
        ("http://prometheus:9090", "http://prometheus:9091", False),
        ("http://prometheus:9090", "http://prometheus.evil:9090", False),
        ("http://prometheus:9090", "http://prometheus:9090@evil:9090", False),
        ("http://prometheus:9090", "http://169.254.169.254/latest", False),
    ],
)
def test_an_entry_covers_its_server_and_paths_below(entry: str, address: str, allowed: bool) -> None:
    assert permitted(address, [entry]) is allowed


def test_an_empty_list_covers_nothing() -> None:
    assert not permitted("http://prometheus:9090", [])
