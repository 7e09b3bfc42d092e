"""What one pass decides: the next status, the actions that lead there, and when to look again.

An action is complete in itself and may be executed any number of times. Manifests are whole; the executor
adds nothing to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Manifest: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply of one complete intent by our field manager."""

    manifest: Manifest
    force: bool = False


@dataclass(frozen=True, slots=True)
class Create:
    """Create; that it exists already is fine where `owner_uid` or the holder is ours (re-read next pass)."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class MergePatch:
    """JSON merge patch of an object of ours, guarded by its uid."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str
    patch: Manifest


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete an object of ours, guarded by its uid; gone already is fine."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Event:
    """A Kubernetes Event about the MetadataMigration; only on transitions."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


Action: TypeAlias = Apply | Create | MergePatch | Delete | Event


@dataclass(frozen=True, slots=True)
class Decision:
    """`status` is the whole next status, `done` lets a deleted CR go."""

    status: Manifest
    actions: tuple[Action, ...] = ()
    delay_seconds: float = 10.0
    done: bool = False
