"""The loop survives whatever a pass does, wakes for wishes and not for its own writing, and never spins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from dualtrack.adapters.kubernetes import Unavailable
from dualtrack.controller import loop as loops
from dualtrack.controller.health import Heartbeats
from dualtrack.controller.loop import Loop, backoff_seconds, fingerprint
from dualtrack.controller.options import Options
from dualtrack.controller.reconcile import Outcome, Watched
from dualtrack.rollout.world import Installation

KEY = ("storage", "m")


class Stop:
    """kopf's stop flag, as far as a daemon uses it."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def __bool__(self) -> bool:
        return self.event.is_set()

    async def wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.event.wait(), seconds)
        except TimeoutError:
            return


@dataclass
class Passes:
    """A reconciler whose passes go as a test says: a delay, or an error to raise."""

    results: list[float | Exception]
    watching: dict[tuple[str, str], Watched] = field(default_factory=dict)
    times: list[float] = field(default_factory=list)
    forgotten: list[tuple[str, str]] = field(default_factory=list)
    progress: asyncio.Event = field(default_factory=asyncio.Event)

    async def once(self, namespace: str, name: str) -> Outcome:
        assert (namespace, name) == KEY
        self.times.append(time.monotonic())
        self.progress.set()
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, Exception):
            raise result
        return Outcome(result)

    def watched(self) -> dict[tuple[str, str], Watched]:
        return self.watching

    def forget(self, namespace: str, name: str) -> None:
        self.forgotten.append((namespace, name))

    async def reach(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.times) < count:
                self.progress.clear()
                await self.progress.wait()


def options(minimum: float = 0.01) -> Options:
    return Options(Installation("i", "Never", "j", "0"), minimum_interval_seconds=minimum)


def a_loop(passes: Passes, minimum: float = 0.01) -> Loop:
    return Loop(passes, Heartbeats(), options(minimum))  # type: ignore[arg-type]


async def running(loop: Loop, passes: Passes, until: Callable[[], Any]) -> None:
    """Run the loop until a condition of the test is met, then stop it as kopf does."""
    stop = Stop()
    task = asyncio.create_task(loop.run(KEY, stop))  # type: ignore[arg-type]
    try:
        await until()
    finally:
        stop.event.set()
        await asyncio.wait_for(task, 5)


async def test_a_daemon_never_ends_for_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "backoff_seconds", lambda _: 0.0)
    errors: list[float | Exception] = [
        Unavailable("away"),
        TimeoutError(),
        KeyError("a bug"),
        ExceptionGroup("", [OSError()]),
    ]
    passes = Passes([*errors, 3600.0])
    await running(a_loop(passes), passes, lambda: passes.reach(5))
    assert len(passes.times) == 5


def test_failures_in_a_row_make_it_wait_longer_up_to_a_minute() -> None:
    assert [backoff_seconds(n) for n in (1, 2, 3, 6, 7, 5000)] == [1, 2, 4, 32, 60, 60]


async def test_a_changed_wish_wakes_it_and_its_own_status_does_not() -> None:
    passes = Passes([3600.0])
    loop = a_loop(passes)
    body = {"metadata": {"uid": "u", "generation": 1, "annotations": {}}, "status": {}}

    async def story() -> None:
        await passes.reach(1)
        loop.changed(KEY, body, gone=False)
        await passes.reach(2)
        for number in range(100):
            loop.changed(KEY, {**body, "status": {"message": str(number)}}, gone=False)
        changed = {
            "metadata": {**body["metadata"], "annotations": {"dualtrack.rustfs.com/command": "pause.1.a"}}
        }
        loop.changed(KEY, changed, gone=False)
        await passes.reach(3)

    await running(loop, passes, story)
    assert len(passes.times) == 3


async def test_a_storm_of_wakes_is_one_pass_an_interval() -> None:
    passes = Passes([3600.0])
    loop = a_loop(passes, minimum=0.2)

    async def story() -> None:
        async with asyncio.timeout(10):
            while len(passes.times) < 3:
                loop.wake([KEY])
                await asyncio.sleep(0)

    await running(loop, passes, story)
    distances = [later - earlier for earlier, later in zip(passes.times, passes.times[1:], strict=False)]
    assert min(distances) >= 0.19


async def test_a_wake_during_a_pass_is_not_lost() -> None:
    passes = Passes([3600.0])
    loop = a_loop(passes)
    once = passes.once

    async def woken_meanwhile(namespace: str, name: str) -> Outcome:
        outcome = await once(namespace, name)
        if len(passes.times) == 1:
            loop.wake([KEY])
        return outcome

    passes.once = woken_meanwhile  # type: ignore[method-assign]
    await running(loop, passes, lambda: passes.reach(2))


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"resourceVersion": "2"}, True),
        ({"managedFields": [{}]}, True),
        ({"finalizers": ["a"]}, True),
        ({"annotations": {"dualtrack.rustfs.com/release": "kopf's"}}, True),
        ({"annotations": {"dualtrack.rustfs.com/approve": "CutOver.1.a"}}, False),
        ({"generation": 2}, False),
        ({"deletionTimestamp": "2026-11-23T00:00:00Z"}, False),
        ({"uid": "another"}, False),
    ],
)
def test_the_fingerprint_is_of_wishes(change: dict[str, Any], same: bool) -> None:
    body = {"metadata": {"uid": "u", "generation": 1}}
    changed = {"metadata": {**body["metadata"], **change}, "status": {"phase": "Canary"}}
    assert (fingerprint(body) == fingerprint(changed)) is same


def test_whom_an_object_wakes() -> None:
    other = ("storage", "n")
    watching = {KEY: Watched("rustfs", {"matchLabels": {"app": "rustfs"}}), other: Watched("web", {})}
    loop = a_loop(Passes([1.0], watching))

    def owners(
        kind: str, name: str, labels: dict[str, str], namespace: str = "storage"
    ) -> list[tuple[str, str]]:
        return loop.owners(namespace, kind, {"metadata": {"name": name, "labels": labels}})

    assert owners("Deployment", "rustfs", {}) == [KEY]
    assert owners("Deployment", "rustfs", {}, namespace="elsewhere") == []
    assert owners("Pod", "rustfs-1", {"app": "rustfs", "x": "y"}) == [KEY]
    assert owners("Pod", "web-1", {"app": "web"}) == []
    assert owners("Job", "any", {"dualtrack.rustfs.com/migration": "n"}) == [other]


def test_a_migration_that_is_gone_is_forgotten() -> None:
    passes = Passes([1.0])
    loop = a_loop(passes)
    body = {"metadata": {"uid": "u"}}
    loop.changed(KEY, body, gone=False)
    loop.changed(KEY, body, gone=True)
    assert passes.forgotten == [KEY]


def test_a_heart_that_stops_is_overdue() -> None:
    now = [0.0]
    hearts = Heartbeats(lambda: now[0])
    hearts.beat(KEY, 10.0)
    now[0] = 189.0
    assert hearts.overdue() == []
    now[0] = 191.0
    assert hearts.overdue() == ["storage/m"]
    hearts.forget(KEY)
    assert hearts.overdue() == []
