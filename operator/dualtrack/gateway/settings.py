"""The gateway's settings, from its environment (contracts §3), as RustFS names them.

A secret may be given by a file (`NAME_FILE`), as Kubernetes mounts it. What is missing or malformed is one
`UsageError` that names the variable; a drive that is not there is a `DriveError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dualtrack.engine.mode import Mode
from dualtrack.engine.objects.cache import CacheSettings
from dualtrack.engine.objects.levels import Level
from dualtrack.engine.objects.types import INLINE_LIMIT, SEPARATE_FROM
from dualtrack.engine.objects.types import Settings as LayerSettings
from dualtrack.engine.rowlog.keeper import Wish
from dualtrack.errors import DriveError, UsageError
from dualtrack.gateway.auth import Credentials

DEFAULT_REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    drive: str
    host: str | None
    port: int
    credentials: Credentials
    mode: Mode
    layer: LayerSettings
    ack_token: str = field(default="", repr=False)

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> GatewaySettings:
        mode = Mode.from_env(env)
        host, port = _address(env.get("RUSTFS_ADDRESS", ":9000"))
        credentials = Credentials(
            access_key=_required_secret(env, "RUSTFS_ACCESS_KEY"),
            secret_key=_required_secret(env, "RUSTFS_SECRET_KEY"),
            region=env.get("RUSTFS_REGION") or DEFAULT_REGION,
        )
        layer = LayerSettings(
            store_dir=env.get("RUSTFS_DUAL_TRACK_STORE", ""),
            epoch=mode.epoch,
            shadow_ratio=_share(env, "RUSTFS_SHADOW_READ_RATIO", 1.0),
            level=_level(env),
            window_seconds=_whole(env, "RUSTFS_DUAL_TRACK_WINDOW_SECONDS", 60, low=1),
            cache=_cache(env),
            instant=_switch(env, "RUSTFS_INSTANT_UPLOAD"),
            inline_limit=_inline_limit(env),
            row_log=Wish(
                env.get("RUSTFS_DUAL_TRACK_ROW_LOG", ""),
                _whole(env, "RUSTFS_DUAL_TRACK_ROW_LOG_FLUSH_SECONDS", 0, low=0),
                _switch(env, "RUSTFS_DUAL_TRACK_ROW_LOG_SAME_DEVICE"),
            ),
        )
        token = _secret(env, "RUSTFS_DUAL_TRACK_ACK_TOKEN")
        return cls(_drive(env), host, port, credentials, mode, layer, token)


def _drive(env: Mapping[str, str]) -> str:
    volumes = env.get("RUSTFS_VOLUMES", "").split()
    if not volumes:
        raise UsageError("RUSTFS_VOLUMES is not set; name the drive's directory, for example /data")
    if len(volumes) > 1 or "..." in volumes[0] or "://" in volumes[0]:
        raise UsageError(
            f"RUSTFS_VOLUMES={' '.join(volumes)!r}: this gateway serves one local drive; name one directory"
        )
    if not Path(volumes[0]).is_dir():
        raise DriveError(
            f"RUSTFS_VOLUMES={volumes[0]!r} is no directory; mount the drive there or name another"
        )
    return volumes[0]


def _address(text: str) -> tuple[str | None, int]:
    host, separator, port = text.rpartition(":")
    if not separator or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise UsageError(f"RUSTFS_ADDRESS={text!r}: write HOST:PORT or :PORT")
    return host.strip("[]") or None, int(port)


def _secret(env: Mapping[str, str], name: str) -> str:
    path = env.get(f"{name}_FILE")
    if env.get(name) or not path:
        return env.get(name, "")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{name}_FILE={path!r} cannot be read: {type(error).__name__}") from error


def _required_secret(env: Mapping[str, str], name: str) -> str:
    value = _secret(env, name)
    if not value:
        raise UsageError(f"{name} is not set; there is no anonymous access, so the gateway needs credentials")
    return value


def _level(env: Mapping[str, str]) -> Level:
    text = env.get("RUSTFS_DUAL_TRACK_CONSISTENCY") or Level.EVENTUAL.value
    if text.lower() not in tuple(Level):
        raise UsageError(f"RUSTFS_DUAL_TRACK_CONSISTENCY={text!r}: use eventual, strong or lazy")
    return Level(text.lower())


def _cache(env: Mapping[str, str]) -> CacheSettings:
    usual = CacheSettings()
    return CacheSettings(
        capacity=_whole(env, "RUSTFS_METADATA_CACHE_CAPACITY", usual.capacity, low=0),
        ttl_seconds=_whole(env, "RUSTFS_METADATA_CACHE_TTL_SECONDS", int(usual.ttl_seconds), low=1),
        warmup=_whole(env, "RUSTFS_METADATA_CACHE_WARMUP", usual.warmup, low=0),
        max_bytes=_whole(env, "RUSTFS_METADATA_CACHE_BYTES", usual.max_bytes, low=1),
    )


def _inline_limit(env: Mapping[str, str]) -> int:
    name = "RUSTFS_INLINE_THRESHOLD_BYTES"
    limit = _whole(env, name, INLINE_LIMIT, low=0)
    if limit >= SEPARATE_FROM:
        raise UsageError(f"{name}={limit}: content of {SEPARATE_FROM} bytes and more always has its own file")
    return limit


def _switch(env: Mapping[str, str], name: str) -> bool:
    text = env.get(name) or "false"
    if text not in ("true", "false"):
        raise UsageError(f"{name}={text!r}: write true or false")
    return text == "true"


def _whole(env: Mapping[str, str], name: str, default: int, *, low: int) -> int:
    text = env.get(name, "") or str(default)
    if not (text.isascii() and text.isdigit()) or int(text) < low:
        raise UsageError(f"{name}={text!r}: write a whole number, {low} or more")
    return int(text)


def _share(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UsageError(f"{name}={text!r}: write a decimal between 0 and 1")
    return value
