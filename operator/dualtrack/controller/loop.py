"""The loop of one migration, and what wakes it before its time.

kopf stops calling a daemon that has returned or raised, and then takes the finalizer away; so the loop ends
only when kopf says so, and catches whatever a pass raises. It never touches kopf's `patch`, because one
refused patch kills a daemon for good.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

import kopf

from dualtrack.api import names
from dualtrack.controller.health import Heartbeats
from dualtrack.controller.options import Options
from dualtrack.controller.reconcile import Outcome, Reconciler
from dualtrack.controller.selectors import matches
from dualtrack.errors import DualTrackError

log = logging.getLogger(__name__)

LONGEST_BACKOFF_SECONDS: Final = 60.0
KOPF_ANNOTATIONS: Final = (
    f"{names.GROUP}/release",
    f"{names.GROUP}/kopf-managed",
    f"{names.GROUP}/touch-dummy",
)

Key = tuple[str, str]


def backoff_seconds(failures: int) -> float:
    """1, 2, 4 … 60 seconds after so many failures in a row."""
    return float(min(2 ** min(failures - 1, 10), LONGEST_BACKOFF_SECONDS))


def fingerprint(body: Mapping[str, Any]) -> tuple[object, ...]:
    """What of a migration is a wish: its status is our own writing, and must not wake us."""
    metadata = body["metadata"]
    annotations = {
        key: value
        for key, value in (metadata.get("annotations") or {}).items()
        if key not in KOPF_ANNOTATIONS
    }
    return (
        metadata["uid"],
        metadata.get("generation"),
        metadata.get("deletionTimestamp"),
        tuple(sorted(annotations.items())),
    )


class Loop:
    """Runs passes when they are due or when something has changed."""

    def __init__(self, reconciler: Reconciler, heartbeats: Heartbeats, options: Options) -> None:
        self._reconciler = reconciler
        self._heartbeats = heartbeats
        self._options = options
        self._wakes: dict[Key, asyncio.Event] = {}
        self._seen: dict[Key, tuple[object, ...]] = {}

    async def run(self, key: Key, stopped: kopf.DaemonStopped) -> None:
        """Until kopf stops it. Raises nothing but cancellation."""
        wake = self._wakes.setdefault(key, asyncio.Event())
        failures = 0
        try:
            while not stopped:
                wake.clear()
                self._heartbeats.beat(key, self._options.pass_timeout_seconds)
                try:
                    delay = (await self.one_pass(key)).delay_seconds
                    failures = 0
                except Exception as error:  # noqa: BLE001 - a daemon that raises is never run again
                    failures += 1
                    delay = backoff_seconds(failures)
                    _log_failure(key, error, failures)
                delay = max(delay, self._options.minimum_interval_seconds)
                self._heartbeats.beat(key, delay)
                await self._pause(wake, stopped, delay)
        finally:
            self._heartbeats.forget(key)

    async def one_pass(self, key: Key) -> Outcome:
        """A pass within its time; one that hangs is given up."""
        async with asyncio.timeout(self._options.pass_timeout_seconds):
            return await self._reconciler.once(*key)

    def changed(self, key: Key, body: Mapping[str, Any], *, gone: bool) -> None:
        """The migration was seen; wake its loop if its wishes differ from those last seen."""
        if gone:
            self._seen.pop(key, None)
            self._wakes.pop(key, None)
            self._reconciler.forget(*key)
            return
        now = fingerprint(body)
        if self._seen.get(key) != now:
            self._seen[key] = now
            self.wake([key])

    def wake(self, keys: Iterable[Key]) -> None:
        for key in keys:
            if key in self._wakes:
                self._wakes[key].set()

    def owners(self, namespace: str, kind: str, body: Mapping[str, Any]) -> list[Key]:
        """The migrations that a changed Job, pod or Deployment concerns."""
        metadata = body["metadata"]
        labels = metadata.get("labels") or {}
        found = {(namespace, labels[names.LABEL_MIGRATION])} if names.LABEL_MIGRATION in labels else set()
        for key, watched in self._reconciler.watched().items():
            if key[0] != namespace:
                continue
            if kind == "Deployment" and watched.deployment == metadata["name"]:
                found.add(key)
            if kind == "Pod" and matches(labels, watched.selector):
                found.add(key)
        return sorted(found)

    async def _pause(self, wake: asyncio.Event, stopped: kopf.DaemonStopped, delay: float) -> None:
        """Wait for the delay, a wake-up or the end, but never less than the minimum between two passes."""
        least = self._options.minimum_interval_seconds
        await stopped.wait(least)
        if stopped or delay <= least:
            return
        waits = [asyncio.create_task(wake.wait()), asyncio.create_task(_until(stopped, delay - least))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()
            await asyncio.gather(*waits, return_exceptions=True)


async def _until(stopped: kopf.DaemonStopped, seconds: float) -> None:
    await stopped.wait(seconds)


def _log_failure(key: Key, error: Exception, failures: int) -> None:
    """What was foreseen is one line; anything else comes with its traceback."""
    extra = {"namespace": key[0], "migration": key[1], "failures": failures}
    if isinstance(error, DualTrackError | TimeoutError):
        log.warning("pass failed: %s", error or "it took too long", extra=extra)
    else:
        log.error("pass failed", exc_info=error, extra=extra)
