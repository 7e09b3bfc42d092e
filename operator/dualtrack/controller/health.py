"""Says whether the operator lives and whether it works, and serves its metrics.

Liveness is answered by kopf's own server, because a home-made one would go on answering after kopf's tasks
have died. What it answers comes from here: each loop leaves a heartbeat with the time by which the next is
due, and one that is overdue fails the probe. Readiness and metrics have a port of their own.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from dualtrack.controller.metrics import CONTENT_TYPE, OperatorMetrics

GRACE_SECONDS: Final = 180.0


class Heartbeats:
    """When each loop is due again, on a clock that only goes forward."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: dict[tuple[str, str], float] = {}

    def beat(self, key: tuple[str, str], next_within_seconds: float) -> None:
        """This loop lives and will say so again in this time, give or take the grace."""
        self._due[key] = self._clock() + next_within_seconds + GRACE_SECONDS

    def forget(self, key: tuple[str, str]) -> None:
        self._due.pop(key, None)

    def overdue(self) -> list[str]:
        now = self._clock()
        return sorted("/".join(key) for key, due in self._due.items() if due < now)


class Readiness:
    """Ready from the end of start-up to the beginning of the end."""

    def __init__(self) -> None:
        self.ready = False


@asynccontextmanager
async def serve(
    metrics: OperatorMetrics, readiness: Readiness, heartbeats: Heartbeats, host: str, port: int
) -> AsyncIterator[int]:
    """Serve `/readyz` and `/metrics`; yields the port, which is chosen by the system where 0 was asked."""

    async def ready(_: web.Request) -> web.Response:
        overdue = heartbeats.overdue()
        if readiness.ready and not overdue:
            return web.Response(text="ready\n")
        why = f"overdue: {', '.join(overdue)}" if overdue else "starting or ending"
        return web.Response(status=503, text=why + "\n")

    async def scrape(_: web.Request) -> web.Response:
        return web.Response(body=metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    application = web.Application()
    application.add_routes([web.get("/readyz", ready), web.get("/metrics", scrape)])
    runner = web.AppRunner(application, handle_signals=False, shutdown_timeout=1.0, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
