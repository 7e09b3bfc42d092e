"""The HTTP application: every request's way from the socket to its handler, and every error's way back.

There is no URL dispatcher: S3 addresses are the raw path, byte for byte, which frameworks like to tidy up.
The system's own endpoints answer requests that carry no S3 signature; a bucket may still be called `metrics`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from random import getrandbits
from urllib.parse import unquote_to_bytes

from aiohttp import web

from dualtrack.engine.objects.api import ObjectApi
from dualtrack.gateway import documents
from dualtrack.gateway.auth import Credentials, Head, authenticate
from dualtrack.gateway.call import Backend, Call
from dualtrack.gateway.errors import S3Error, translate
from dualtrack.gateway.logs import EventLog
from dualtrack.gateway.metrics import PrometheusMeter
from dualtrack.gateway.router import Route, route
from dualtrack.gateway.signature import parse_query
from dualtrack.gateway.system import System

MAX_KEY = 1024
WORKERS, TRANSFERS = 16, 64


class Application:
    """Serves S3 as soon as `open` has been called with a layer; until then it is alive but not ready."""

    def __init__(
        self, credentials: Credentials, ack_token: str, meter: PrometheusMeter, log: EventLog
    ) -> None:
        self._credentials = credentials
        self._meter = meter
        self._log = log
        self._workers = ThreadPoolExecutor(WORKERS, "worker")
        self._transfers = ThreadPoolExecutor(TRANSFERS, "transfer")
        self._backend: Backend | None = None
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.system = System(ack_token, meter, self._workers)

    def open(self, layer: ObjectApi) -> None:
        self._backend = Backend(layer, self._workers, self._transfers, self._meter, self._credentials.region)
        self.system.open(layer)

    async def drain(self, seconds: float) -> bool:
        """Wait for what is in flight; False if it did not end in time. From now on every answer closes its
        connection, and readiness says no."""
        self.system.stopping = True
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        self._workers.shutdown()
        self._transfers.shutdown()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self._in_flight += 1
        self._idle.clear()
        try:
            response = await self._answer(request)
            if self.system.stopping:
                response.force_close()
            if not response.prepared:
                # Written here and not by the framework: "in flight" lasts until the last byte has gone.
                with suppress(ConnectionError):
                    await response.prepare(request)
                    await response.write_eof()
            return response
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._idle.set()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        raw_path, _, raw_query = request.raw_path.partition("?")
        headers = _headers(request)
        pairs = parse_query(raw_query)
        if not _is_signed(headers, pairs):
            answer = await self.system.answer(request.method, raw_path, headers.get("authorization", [""])[0])
            if answer is not None:
                return answer
        head = Head(request.method, _path(raw_path), pairs, headers)
        return await self._serve(request, head)

    async def _serve(self, request: web.BaseRequest, head: Head) -> web.StreamResponse:
        started = time.perf_counter()
        request_id = f"{getrandbits(64):016X}"
        call: Call | None = None
        found: Route | None = None
        try:
            call, found = self._admit(request, head, request_id)
            response = await found.handler(call)
        except Exception as error:  # noqa: BLE001 - the one place where every failure becomes an answer
            if call is not None and call.response is not None:
                self._broken(request, call, error)
                response = call.response
            else:
                response = self._failure(head, request_id, error)
        if not response.prepared:
            response.headers["x-amz-request-id"] = request_id
            response.headers["Server"] = "DualTrack"
        if call is not None and found is not None and found.metric:
            self._count(call, found, (time.perf_counter() - started) * 1000, response.status)
        return response

    def _admit(self, request: web.BaseRequest, head: Head, request_id: str) -> tuple[Call, Route]:
        identity = authenticate(head, self._credentials, datetime.now(UTC))
        headers = {name: ",".join(values) for name, values in head.headers.items()}
        if headers.get("expect", "100-continue").lower() != "100-continue":
            raise S3Error("InvalidArgument", "The only expectation that is served is 100-continue.")
        query: dict[str, str] = {}
        for name, value in head.pairs:
            query.setdefault(name, value)
        bucket, key = _address(head)
        found = route(head.method, bucket, key, query, copying="x-amz-copy-source" in headers)
        if self._backend is None:
            raise S3Error(
                "ServiceUnavailable", "The gateway is starting; try again.", headers={"Retry-After": "1"}
            )
        call = Call(request, head, headers, query, bucket, key, identity, self._backend, request_id)
        call.answer_headers["x-amz-request-id"] = request_id
        return call, found

    def _failure(self, head: Head, request_id: str, error: Exception) -> web.StreamResponse:
        answer = translate(error)
        if answer.status >= 500 and answer.status != 501:
            self._log.failure(
                "request_failed",
                request_id=request_id,
                method=head.method,
                path=head.raw_path,
                code=answer.code,
                error=f"{type(error).__name__}: {error}",
            )
        headers = {**answer.headers, "Content-Type": "application/xml"}
        body = b""
        if head.method != "HEAD":
            body = documents.error(answer.code, answer.message, head.raw_path, request_id, answer.details)
        return web.Response(status=answer.status, body=body, headers=headers)

    def _broken(self, request: web.BaseRequest, call: Call, error: Exception) -> None:
        """The answer has begun and cannot become an error: cut the connection, lest it pass for whole."""
        if not isinstance(error, ConnectionError):
            self._log.failure(
                "answer_broken_off",
                request_id=call.request_id,
                bucket=call.bucket,
                key=call.key,
                error=f"{type(error).__name__}: {error}",
            )
        if request.transport is not None:
            request.transport.abort()

    def _count(self, call: Call, found: Route, ms: float, status: int) -> None:
        key_track = call.layer.track(call.bucket, call.key)
        track = "kv" if key_track == "kv" else key_track if call.key else "fs"
        self._meter.request(found.metric, track, ms, status)


def _headers(request: web.BaseRequest) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        headers.setdefault(name.lower(), []).append(value)
    return headers


def _is_signed(headers: Mapping[str, list[str]], pairs: list[tuple[str, str]]) -> bool:
    authorization = headers.get("authorization")
    return bool(authorization and authorization[0].startswith("AWS")) or any(
        name in ("X-Amz-Algorithm", "X-Amz-Signature", "AWSAccessKeyId") for name, _ in pairs
    )


def _path(raw: str) -> str:
    """The path of a request target, which a proxy's client sends in absolute form."""
    if raw.startswith("/"):
        return raw
    _, separator, rest = raw.partition("://")
    return "/" + rest.partition("/")[2] if separator else "/" + raw


def _address(head: Head) -> tuple[str, str]:
    """Bucket and key of a path-style address."""
    bucket, _, raw_key = head.raw_path[1:].partition("/")
    key = _decode(raw_key)
    if len(raw_key) > MAX_KEY and len(key.encode("utf-8", "surrogateescape")) > MAX_KEY:
        raise S3Error("KeyTooLongError", "Your key is too long.", details={"MaxSizeAllowed": str(MAX_KEY)})
    if head.method in ("PUT", "POST"):
        try:
            key.encode()
        except UnicodeEncodeError as error:
            raise S3Error("InvalidURI", "The key must be UTF-8.") from error
    return _decode(bucket), key


def _decode(raw: str) -> str:
    return unquote_to_bytes(raw.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
