"""How a data plane works with the two tracks, from its environment, and what the drive's marker allows.

There are five modes and no others. A combination that is none of them, or that is weaker than what the
drive's marker says has happened to it, stops the start: a server that serves a `KvOnly` drive from its files
would show an empty drive and let itself be filled again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import StrEnum

import xxhash

from dualtrack.engine.marker import Marker, MarkerState
from dualtrack.errors import MarkerError, UsageError

_SPAN = 2**64


class Engine(StrEnum):
    FS = "fs"
    KV_PRIMARY = "kv_primary"
    KV_ONLY = "kv_only"


@dataclass(frozen=True, slots=True)
class Mode:
    engine: Engine = Engine.FS
    ratio: Decimal = Decimal(0)
    fallback: bool = True
    epoch: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.ratio <= 1:
            raise UsageError(f"RUSTFS_DUAL_TRACK_RATIO={self.ratio}: it must lie between 0 and 1")
        if self.epoch < 0:
            raise UsageError(f"RUSTFS_DUAL_TRACK_EPOCH={self.epoch}: it must be 0 or more")
        match self.engine:
            case Engine.FS if self.fallback:
                return
            case Engine.KV_PRIMARY if self.ratio == 1:
                return
            case Engine.KV_ONLY if self.ratio == 1 and not self.fallback:
                return
        raise UsageError(
            f"{self} is none of the modes fs/RATIO/true, kv_primary/1/true, kv_primary/1/false and "
            "kv_only/1/false; set RUSTFS_METADATA_ENGINE, RUSTFS_DUAL_TRACK_RATIO and "
            "RUSTFS_FALLBACK_TO_FS to one of them"
        )

    def __str__(self) -> str:
        return f"{self.engine}/{self.ratio_text}/{'true' if self.fallback else 'false'}"

    @property
    def ratio_text(self) -> str:
        """The ratio as a plain decimal, without exponent or trailing zeros: "0", "0.05", "1"."""
        text = f"{self.ratio:f}"
        return (text.rstrip("0").rstrip(".") or "0") if "." in text else text

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Mode:
        """The mode that `RUSTFS_…` variables ask for. Raises `UsageError` naming the variable."""
        engine = env.get("RUSTFS_METADATA_ENGINE", Engine.FS.value)
        if engine not in tuple(Engine):
            raise UsageError(f"RUSTFS_METADATA_ENGINE={engine!r}: use fs, kv_primary or kv_only")
        return cls(
            engine=Engine(engine),
            ratio=_decimal(env, "RUSTFS_DUAL_TRACK_RATIO", "0"),
            fallback=_boolean(env, "RUSTFS_FALLBACK_TO_FS", "true"),
            epoch=_integer(env, "RUSTFS_DUAL_TRACK_EPOCH", "0"),
        )

    def check(self, marker: Marker) -> None:
        """Raise `MarkerError` unless the drive's marker allows this mode."""
        if self.allowed(marker.state):
            return
        raise MarkerError(
            f"the drive's marker is {marker.state} (epoch {marker.epoch}, migration "
            f"{marker.migration_uid or 'none'}), which does not allow {self}; "
            f"start the server with {_ALLOWED[marker.state]}, or let the verb that verifies the step move it"
        )

    def allowed(self, state: MarkerState) -> bool:
        match state:
            case MarkerState.FS_AUTHORITATIVE:
                return self.engine is Engine.FS and self.ratio == 0
            case MarkerState.DUAL_WRITE:
                return self.engine is Engine.FS
            case MarkerState.KV_PRIMARY:
                return self.engine is Engine.KV_PRIMARY
            case MarkerState.KV_ONLY | MarkerState.PURGED:
                return self.engine is Engine.KV_ONLY or (
                    self.engine is Engine.KV_PRIMARY and not self.fallback
                )

    def dual(self, bucket: str, key: str) -> bool:
        """Whether (bucket, key) is on the dual track: a larger ratio holds every key of a smaller one."""
        if self.ratio == 1:
            return True
        return bool(self.ratio) and share(bucket, key) < int(self.ratio * _SPAN)


_ALLOWED = {
    MarkerState.FS_AUTHORITATIVE: "fs/0/true",
    MarkerState.DUAL_WRITE: "fs/RATIO/true",
    MarkerState.KV_PRIMARY: "kv_primary/1/true or kv_primary/1/false",
    MarkerState.KV_ONLY: "kv_only/1/false or kv_primary/1/false",
    MarkerState.PURGED: "kv_only/1/false or kv_primary/1/false",
}


def share(bucket: str, key: str) -> int:
    """The fixed place of a key between 0 and 2**64: xxh3_64 of `bucket NUL key`."""
    return xxhash.xxh3_64_intdigest(os.fsencode(bucket) + b"\0" + os.fsencode(key))


def _decimal(env: Mapping[str, str], name: str, default: str) -> Decimal:
    text = env.get(name, default)
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise UsageError(f"{name}={text!r}: write a decimal between 0 and 1") from error
    if not value.is_finite():
        raise UsageError(f"{name}={text!r}: write a decimal between 0 and 1")
    return value


def _boolean(env: Mapping[str, str], name: str, default: str) -> bool:
    text = env.get(name, default)
    if text not in ("true", "false"):
        raise UsageError(f"{name}={text!r}: write true or false")
    return text == "true"


def _integer(env: Mapping[str, str], name: str, default: str) -> int:
    text = env.get(name, default)
    if not (text.isascii() and text.isdigit()):
        raise UsageError(f"{name}={text!r}: write a whole number, 0 or more")
    return int(text)
