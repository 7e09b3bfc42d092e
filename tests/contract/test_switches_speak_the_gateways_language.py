"""What a switch writes into the target's environment is what the gateway reads there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dualtrack.api.spec import Consistency
from dualtrack.engine.objects.cache import CacheSettings
from dualtrack.engine.objects.levels import Level
from dualtrack.engine.objects.types import INLINE_LIMIT, SEPARATE_FROM
from dualtrack.gateway.settings import GatewaySettings
from dualtrack.rollout import modes, tuning


def told(drive: Path, consistency: dict[str, Any]) -> GatewaySettings:
    variables = tuning.of(Consistency.model_validate(consistency))
    own = {"RUSTFS_VOLUMES": str(drive), "RUSTFS_ACCESS_KEY": "a", "RUSTFS_SECRET_KEY": "s"}
    return GatewaySettings.from_env(own | modes.environment(modes.READ_SWITCH.settings(3, variables)))


@pytest.mark.parametrize("level", ["Eventual", "Strong", "Lazy"])
def test_every_field_arrives(tmp_path: Path, level: str) -> None:
    cache = {"capacity": 1, "ttlSeconds": 2, "warmupSize": 0, "maxSizeBytes": 4}
    found = told(
        tmp_path, {"level": level, "windowSeconds": 9, "cache": cache, "inlineThresholdBytes": 524_287}
    )
    assert found.mode.epoch == 3
    assert found.layer.level is Level(level.lower())
    assert found.layer.window_seconds == 9
    assert found.layer.cache == CacheSettings(capacity=1, ttl_seconds=2, warmup=0, max_bytes=4)
    assert found.layer.inline_limit == 524_287 < SEPARATE_FROM


def test_what_is_not_said_is_the_servers_own_default(tmp_path: Path) -> None:
    found = told(tmp_path, {})
    assert found.layer.level is Level.EVENTUAL
    assert found.layer.cache == CacheSettings()
    assert found.layer.inline_limit == INLINE_LIMIT
