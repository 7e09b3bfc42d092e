"""The endpoints that are not S3: health, readiness, metrics, acknowledgement (contracts §5).

Ready means: the layer is open, all dirty keys are loaded, and the track that has to answer can answer. Where
the file system may step in for the store, a broken store is "ready but degraded", and is not acknowledged.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Mapping
from concurrent.futures import Executor

from aiohttp import web

from dualtrack.engine.objects.api import ObjectApi
from dualtrack.gateway.metrics import PrometheusMeter

ACKNOWLEDGEMENT = "/dualtrack/v1/acknowledgement"
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class System:
    def __init__(self, ack_token: str, meter: PrometheusMeter, workers: Executor) -> None:
        self._token = ack_token.encode()
        self._meter = meter
        self._workers = workers
        self._layer: ObjectApi | None = None
        self.stopping = False

    def open(self, layer: ObjectApi) -> None:
        self._layer = layer

    async def answer(self, method: str, path: str, authorization: str) -> web.Response | None:
        """The answer, or None if the path is none of ours."""
        if method not in ("GET", "HEAD"):
            return None
        match path:
            case "/health" | "/health/live":
                return _json(200, {"status": "ok"})
            case "/health/ready":
                return await self._ready()
            case "/metrics":
                return await self._metrics()
            case _ if path == ACKNOWLEDGEMENT:
                return await self._acknowledge(authorization)
            case _:
                return None

    async def _ready(self) -> web.Response:
        pending = await self._pending()
        if pending:
            return _json(
                503, {"status": "not ready", "pending": pending}, {"x-rustfs-readiness-pending": pending}
            )
        return _json(200, {"status": "ready"})

    async def _pending(self) -> str:
        if self.stopping:
            return "stopping"
        if self._layer is None:
            return "layer"
        state = await self._state(self._layer)
        return "store" if state["degraded"] and state["fallback"] != "true" else ""

    async def _state(self, layer: ObjectApi) -> Mapping[str, object]:
        return await asyncio.get_running_loop().run_in_executor(self._workers, layer.acknowledgement)

    async def _metrics(self) -> web.Response:
        if self._layer is not None:
            state = await self._state(self._layer)
            self._meter.info(
                {
                    "engine": str(state["engine"]),
                    "ratio": str(state["ratio"]),
                    "fallback": str(state["fallback"]),
                    "epoch": str(state["epoch"]),
                    "migration_uid": str(state["migrationUID"]),
                    "boot_id": str(state["bootID"]),
                }
            )
        return web.Response(body=self._meter.exposition(), headers={"Content-Type": _METRICS_TYPE})

    async def _acknowledge(self, authorization: str) -> web.Response:
        scheme, _, token = authorization.partition(" ")
        given = token.strip().encode("utf-8", "surrogateescape")
        if scheme != "Bearer" or not self._token or not hmac.compare_digest(given, self._token):
            return _json(401, {"error": "a bearer token is required"}, {"WWW-Authenticate": "Bearer"})
        if self._layer is None or self.stopping:
            return _json(503, {"ready": False})
        state = dict(await self._state(self._layer))
        state["ready"] = not (state["degraded"] and state["fallback"] != "true")
        return _json(503 if state["degraded"] else 200, state)


def _json(status: int, body: Mapping[str, object], headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status,
        body=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Cache-Control": "no-store", **(headers or {})},
    )
