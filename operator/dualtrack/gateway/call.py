"""One authenticated request on its way through a handler, and the server that it came to.

Handlers are coroutines over a `Call`; whatever touches the drive or the store runs in a worker thread by way
of `Call.run`, because the object layer is synchronous.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from aiohttp import web
from multidict import CIMultiDict

from dualtrack.engine.objects.api import ObjectApi
from dualtrack.engine.objects.types import Source
from dualtrack.gateway import documents
from dualtrack.gateway.auth import Head, Identity
from dualtrack.gateway.body import BUFFERED, BufferedSource, Intake, StreamedSource, read_all
from dualtrack.gateway.errors import S3Error
from dualtrack.gateway.metrics import PrometheusMeter

P = ParamSpec("P")
T = TypeVar("T")
IDLE_SECONDS = 60
MAX_DOCUMENT = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Backend:
    """What every handler may use. `workers` run short operations, `transfers` those that wait for a client's
    body, so that slow clients cannot keep all others waiting."""

    layer: ObjectApi
    workers: Executor
    transfers: Executor
    meter: PrometheusMeter
    region: str


@dataclass(slots=True)
class Call:
    request: web.BaseRequest
    head: Head
    headers: Mapping[str, str]
    query: Mapping[str, str]
    bucket: str
    key: str
    identity: Identity
    backend: Backend
    request_id: str
    answer_headers: dict[str, str] = field(default_factory=dict)
    response: web.StreamResponse | None = None
    """Set as soon as a handler has begun to stream an answer, which can then only be broken off."""

    @property
    def layer(self) -> ObjectApi:
        return self.backend.layer

    @property
    def version_id(self) -> str | None:
        """The version asked for; None for the current one."""
        return self.query.get("versionId") or None

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._in(self.backend.workers, lambda: function(*args, **kwargs))

    async def run_transfer(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._in(self.backend.transfers, lambda: function(*args, **kwargs))

    async def _in(self, executor: Executor, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(executor, function)

    async def with_body(self, function: Callable[[Source], T]) -> T:
        """Run `function` in a thread over the request's body. Sets the answer's checksum headers."""
        intake = Intake(self.headers, self.identity, self.request.content_length)
        await self._continue()
        if intake.length <= BUFFERED:
            source: Source = BufferedSource(await read_all(intake, self._read))
            result = await self.run(function, source)
        else:
            source = StreamedSource(intake, self._read, asyncio.get_running_loop())
            result = await self.run_transfer(function, source)
        self.answer_headers.update(intake.answer_headers())
        return result

    async def document(self, root: str) -> documents.Node:
        """The XML in the request's body."""
        data = await self.small_body()
        if not data:
            raise S3Error("MissingRequestBodyError", "The request needs an XML document as its body.")
        return documents.parse(data, root)

    async def small_body(self) -> bytes:
        intake = Intake(self.headers, self.identity, self.request.content_length or 0)
        if intake.length > MAX_DOCUMENT:
            raise S3Error("EntityTooLarge", f"The document is larger than {MAX_DOCUMENT} bytes.")
        await self._continue()
        return await read_all(intake, self._read)

    async def _continue(self) -> None:
        # Only now, so that a client that asks first is spared the upload of what would be refused.
        expectation = self.headers.get("expect", "").lower()
        if expectation == "100-continue":
            await self.request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.request.writer.output_size = 0

    async def _read(self) -> bytes:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                return await self.request.content.readany()
        except TimeoutError as error:
            raise S3Error("RequestTimeout", f"No byte of the body came for {IDLE_SECONDS} s.") from error
        except (web.RequestPayloadError, ConnectionError) as error:
            raise S3Error("IncompleteBody", "The connection ended before the body did.") from error

    def xml(self, root: str, body: str, status: int = 200) -> web.Response:
        headers = CIMultiDict(self.answer_headers)
        headers["Content-Type"] = "application/xml"
        return web.Response(status=status, body=documents.document(root, body), headers=headers)

    def empty(self, status: int, headers: Mapping[str, str] | None = None) -> web.Response:
        return web.Response(status=status, headers=CIMultiDict({**self.answer_headers, **(headers or {})}))

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """An integer of the query: at most `high`, never below `low`."""
        text = self.query.get(name, "")
        if not text:
            return default
        try:
            value = int(text) if text.lstrip("-").isascii() else low - 1
        except ValueError:
            value = low - 1
        if value < low:
            raise S3Error(
                "InvalidArgument",
                f"Provided {name} is not an integer of at least {low}.",
                details={"ArgumentName": name, "ArgumentValue": text},
            )
        return min(value, high)
