"""The gateway's process: bind, open the drive, serve, and on SIGTERM finish what is in flight.

The socket is bound before the drive is opened, so that a long load of the journal is "alive, not ready" and
not a restart. What forbids the start (environment, marker, drive) ends the process with one line and the exit
code of `errors.py`.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable

from aiohttp import web

from dualtrack.engine.objects.api import ObjectApi
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.gateway.app import Application
from dualtrack.gateway.logs import EventLog
from dualtrack.gateway.metrics import PrometheusMeter
from dualtrack.gateway.settings import GatewaySettings

DRAIN_SECONDS = 25
"""Below the 30 s that Kubernetes waits between SIGTERM and SIGKILL."""
KEEPALIVE_SECONDS = 75
READ_BUFFER = 256 * 1024
Opener = Callable[[GatewaySettings, PrometheusMeter], ObjectApi]


def open_layer(settings: GatewaySettings, meter: PrometheusMeter) -> ObjectApi:
    return ObjectLayer.open(settings.drive, settings.mode, settings.layer, meter)


async def serve(settings: GatewaySettings, log: EventLog, opener: Opener = open_layer) -> None:
    """Serve until SIGTERM or SIGINT. Raises what `opener` raises, after the socket is closed again."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    meter = PrometheusMeter()
    application = Application(settings.credentials, settings.ack_token, meter, log)
    server = web.Server(
        application, keepalive_timeout=KEEPALIVE_SECONDS, read_bufsize=READ_BUFFER, access_log=None
    )
    runner = web.ServerRunner(server, shutdown_timeout=1)
    await runner.setup()
    layer: ObjectApi | None = None
    try:
        site = web.TCPSite(runner, settings.host, settings.port, backlog=1024)
        await site.start()
        log.info("listening", address=_addresses(runner), mode=str(settings.mode), drive=settings.drive)
        layer = await asyncio.to_thread(opener, settings, meter)
        application.open(layer)
        # What has been loaded stays: no look for cycles needs to go through it again.
        gc.freeze()
        log.info("ready", mode=str(settings.mode), drive=settings.drive, epoch=settings.mode.epoch)
        await stop.wait()
        await site.stop()
        log.info("stopping", drain_seconds=DRAIN_SECONDS)
        # Before the runner's own shutdown, which stops reading: a body in flight would never end.
        if not await application.drain(DRAIN_SECONDS):
            log.failure("drain_timed_out", drain_seconds=DRAIN_SECONDS)
    finally:
        await runner.cleanup()
        await asyncio.to_thread(application.close)
        if layer is not None:
            await asyncio.to_thread(layer.close)
    log.info("stopped")


def _addresses(runner: web.ServerRunner) -> str:
    return ",".join(f"{address[0]}:{address[1]}" for address in runner.addresses)
