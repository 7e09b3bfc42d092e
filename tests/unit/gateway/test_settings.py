"""The environment: what is missing or wrong is one error that names the variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualtrack.engine.objects.cache import CacheSettings
from dualtrack.errors import DriveError, UsageError
from dualtrack.gateway.settings import GatewaySettings


def env(drive: Path, **changes: str | None) -> dict[str, str]:
    base: dict[str, str | None] = {
        "RUSTFS_VOLUMES": str(drive),
        "RUSTFS_ACCESS_KEY": "user",
        "RUSTFS_SECRET_KEY": "hidden",
        **changes,
    }
    return {name: value for name, value in base.items() if value is not None}


def test_defaults(tmp_path: Path) -> None:
    settings = GatewaySettings.from_env(env(tmp_path))
    assert (settings.host, settings.port, settings.drive) == (None, 9000, str(tmp_path))
    assert settings.credentials.region == "us-east-1"
    assert str(settings.mode) == "fs/0/true"
    assert settings.layer.shadow_ratio == 1.0
    assert "hidden" not in repr(settings)
    assert (settings.layer.level, settings.layer.window_seconds) == ("eventual", 60)
    assert (settings.layer.instant, settings.layer.inline_limit) == (False, 131_072)
    assert settings.layer.cache == CacheSettings(10_000, 3_600, 1_000, 64 << 20)


def test_the_consistency_level_and_its_window(tmp_path: Path) -> None:
    chosen = {"RUSTFS_DUAL_TRACK_CONSISTENCY": "Strong", "RUSTFS_DUAL_TRACK_WINDOW_SECONDS": "5"}
    settings = GatewaySettings.from_env(env(tmp_path, **chosen))
    assert (settings.layer.level, settings.layer.window_seconds) == ("strong", 5)


def test_secrets_may_come_from_files(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("from-file\n")
    settings = GatewaySettings.from_env(
        env(
            tmp_path,
            RUSTFS_SECRET_KEY=None,
            RUSTFS_SECRET_KEY_FILE=str(secret),
            RUSTFS_DUAL_TRACK_ACK_TOKEN="t",
        )
    )
    assert settings.credentials.secret_key == "from-file"
    assert settings.ack_token == "t"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RUSTFS_ACCESS_KEY", None),
        ("RUSTFS_SECRET_KEY", ""),
        ("RUSTFS_SECRET_KEY_FILE", "/nowhere/at/all"),
        ("RUSTFS_VOLUMES", None),
        ("RUSTFS_VOLUMES", "/data{1...4}"),
        ("RUSTFS_ADDRESS", "9000"),
        ("RUSTFS_ADDRESS", ":70000"),
        ("RUSTFS_DUAL_TRACK_CONSISTENCY", "strict"),
        ("RUSTFS_INSTANT_UPLOAD", "yes"),
        ("RUSTFS_INLINE_THRESHOLD_BYTES", "524288"),
        ("RUSTFS_METADATA_CACHE_CAPACITY", "-1"),
        ("RUSTFS_DUAL_TRACK_WINDOW_SECONDS", "0"),
        ("RUSTFS_SHADOW_READ_RATIO", "2"),
        ("RUSTFS_DUAL_TRACK_RATIO", "1.5"),
        ("RUSTFS_METADATA_ENGINE", "rocks"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, variable: str, value: str | None) -> None:
    changes = {variable: value}
    if variable.endswith("_FILE"):
        changes["RUSTFS_SECRET_KEY"] = None
    with pytest.raises(UsageError, match=variable):
        GatewaySettings.from_env(env(tmp_path, **changes))


@pytest.mark.parametrize(
    ("text", "host", "port"), [("127.0.0.1:0", "127.0.0.1", 0), ("[::1]:9", "::1", 9), (":80", None, 80)]
)
def test_addresses(tmp_path: Path, text: str, host: str | None, port: int) -> None:
    settings = GatewaySettings.from_env(env(tmp_path, RUSTFS_ADDRESS=text))
    assert (settings.host, settings.port) == (host, port)


def test_a_drive_that_is_not_there_is_a_drive_error(tmp_path: Path) -> None:
    with pytest.raises(DriveError, match="RUSTFS_VOLUMES"):
        GatewaySettings.from_env(env(tmp_path / "missing"))
