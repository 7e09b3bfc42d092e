"""Every series is there, at 0, before the first request."""

from __future__ import annotations

import pytest

from dualtrack.gateway.metrics import BUCKETS_MS, OPERATIONS, TRACKS, PrometheusMeter


def samples(meter: PrometheusMeter) -> dict[str, float]:
    lines = meter.exposition().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs if "_created" not in name}


def test_every_series_is_at_zero_from_the_start() -> None:
    found = samples(PrometheusMeter())
    for operation in OPERATIONS:
        for track in TRACKS:
            label = f'{{track="{track}"}}'
            for name in ("total", "errors_total", "latency_ms_count", "latency_ms_sum"):
                assert found[f"rustfs_{operation}_{name}{label}"] == 0
            bounds = [
                name
                for name in found
                if name.startswith(f"rustfs_{operation}_latency_ms_bucket") and f'track="{track}"' in name
            ]
            assert len(bounds) == len(BUCKETS_MS) + 1
    for track in ("kv", "fs"):
        for direction in ("read", "write"):
            assert found[f"rustfs_{track}_{direction}_latency_ms_count"] == 0
    for name in (
        "rustfs_consistency_checks_total",
        "rustfs_consistency_errors_total",
        "rustfs_objects_in_kv",
        "rustfs_objects_in_fs",
        "rustfs_kv_degraded",
        "rustfs_dual_track_journal_depth",
    ):
        assert found[name] == 0
    assert set(found.values()) == {0}


def test_only_server_errors_count_as_errors() -> None:
    meter = PrometheusMeter()
    for status in (200, 404, 412, 501, 500, 503):
        meter.request("get_object", "dual", 4.0, status)
    found = samples(meter)
    assert found['rustfs_get_object_total{track="dual"}'] == 6
    assert found['rustfs_get_object_errors_total{track="dual"}'] == 2
    assert found['rustfs_get_object_latency_ms_bucket{le="3.0",track="dual"}'] == 0
    assert found['rustfs_get_object_latency_ms_bucket{le="5.0",track="dual"}'] == 6
    assert found['rustfs_get_object_total{track="kv"}'] == 0


def test_there_is_one_info_series() -> None:
    meter = PrometheusMeter()
    labels = {
        "engine": "fs",
        "ratio": "0",
        "fallback": "true",
        "epoch": "0",
        "migration_uid": "",
        "boot_id": "b",
    }
    meter.info(labels)
    meter.info({**labels, "epoch": "1"})
    info = [name for name in samples(meter) if name.startswith("rustfs_dual_track_info")]
    assert len(info) == 1
    assert 'epoch="1"' in info[0]


def test_a_name_that_is_not_declared_raises() -> None:
    with pytest.raises(KeyError):
        PrometheusMeter().count("rustfs_unheard_of_total", {})
