"""A real server on a real socket, over the smallest object layer there is, and a client of raw HTTP.

`MemoryLayer` knows no versions, uploads or tags: here only HTTP is tested (signatures, framing, ranges,
errors, streams). What becomes of a request behind that is tested with the real layer in
tests/contract/test_gateway_*.
"""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import io
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from aiohttp import web

from dualtrack.engine import blake
from dualtrack.engine.objects import errors
from dualtrack.engine.objects.api import ObjectApi
from dualtrack.engine.objects.types import (
    Attributes,
    Bucket,
    Check,
    Content,
    Deleted,
    Source,
    Span,
    Stored,
    Written,
)
from dualtrack.gateway import signature
from dualtrack.gateway.app import Application
from dualtrack.gateway.auth import Credentials
from dualtrack.gateway.logs import EventLog
from dualtrack.gateway.metrics import PrometheusMeter
from dualtrack.gateway.signature import Scope

PIECE = 64 * 1024
CREDENTIALS = Credentials("user", "password", "us-east-1")


@dataclass(frozen=True, slots=True)
class BufferedBytes:
    data: bytes

    def chunks(self) -> Iterator[bytes]:
        yield self.data

    def verify(self) -> None:
        return


class MemoryLayer:
    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], tuple[Stored, bytes]] = {}
        self.buckets = {"bucket"}
        self.degraded = False
        self.fallback = "true"
        self.failure: Exception | None = None
        self.broken_after: int | None = None
        self.closed_iterators = 0

    def api(self) -> ObjectApi:
        return cast(ObjectApi, self)

    def list_buckets(self) -> list[Bucket]:
        return [Bucket(name, 0) for name in sorted(self.buckets)]

    def bucket(self, name: str) -> Bucket:
        if name not in self.buckets:
            raise errors.NoSuchBucket("no such bucket", name)
        return Bucket(name, 0)

    def put(
        self, bucket: str, key: str, source: Source, attributes: Attributes, check: Check | None = None
    ) -> Written:
        self.bucket(bucket)
        if self.failure:
            raise self.failure
        content = b"".join(source.chunks())
        source.verify()
        current = self.objects.get((bucket, key))
        if check:
            check(current[0] if current else None)
        etag = hashlib.md5(content, usedforsecurity=False).hexdigest()
        stored = Stored(
            bucket=bucket,
            key=key,
            version_id="null",
            versioned=False,
            is_latest=True,
            delete_marker=False,
            etag=etag,
            size=len(content),
            modified_ns=1_700_000_000_000_000_000,
            headers=attributes.headers,
            user=attributes.user,
            tags=attributes.tags,
            storage_class="STANDARD",
            parts=1,
            decodable=True,
        )
        self.objects[bucket, key] = (stored, content)
        return Written(etag, None, len(content), stored.modified_ns)

    def put_known(
        self, bucket: str, key: str, content: Content, attributes: Attributes, check: Check | None = None
    ) -> Written:
        for _, known in self.objects.values():
            if (blake.digest(known).hex(), len(known)) == (content.blake3, content.size):
                return self.put(bucket, key, BufferedBytes(known), attributes, check)
        raise errors.UnknownContent("not known", bucket, key)

    def stat(self, bucket: str, key: str, version_id: str | None = None) -> Stored:
        return self._found(bucket, key)[0]

    def _found(self, bucket: str, key: str) -> tuple[Stored, bytes]:
        self.bucket(bucket)
        if (bucket, key) not in self.objects:
            raise errors.NoSuchKey("no such key", bucket, key)
        return self.objects[bucket, key]

    def read(
        self, bucket: str, key: str, version_id: str | None = None, span: Span | None = None
    ) -> tuple[Stored, Iterator[bytes]]:
        stored, content = self._found(bucket, key)
        if self.failure:
            raise self.failure
        if span is not None:
            found = span.resolve(stored.size)
            if found is None:
                raise errors.InvalidRange("not satisfiable", bucket, key, stored.size)
            content = content[found[0] : found[0] + found[1]]
        return stored, self._pieces(content)

    def _pieces(self, content: bytes) -> Iterator[bytes]:
        try:
            for at in range(0, len(content), PIECE):
                if self.broken_after is not None and at >= self.broken_after:
                    raise errors.Unavailable("bitrot")
                yield content[at : at + PIECE]
        finally:
            self.closed_iterators += 1

    def delete(
        self, bucket: str, key: str, version_id: str | None = None, *, bypass_governance: bool = False
    ) -> Deleted:
        self.bucket(bucket)
        if key.startswith("locked"):
            raise errors.ObjectLocked("locked", bucket, key)
        self.objects.pop((bucket, key), None)
        return Deleted(None, marker=False)

    def track(self, bucket: str, key: str) -> str:
        return "dual" if key.startswith("d") else "fs"

    def acknowledgement(self) -> Mapping[str, Any]:
        return {
            "migrationUID": "uid",
            "epoch": 3,
            "engine": "fs",
            "ratio": "0.05",
            "fallback": self.fallback,
            "bootID": "boot",
            "degraded": self.degraded,
            "drives": [],
        }

    def close(self) -> None:
        return


@dataclass
class Answer:
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def code(self) -> str:
        """The S3 code in an error document."""
        return self.body.decode().partition("<Code>")[2].partition("</Code>")[0]


class Running:
    """A server in a thread of its own, with a signing client."""

    def __init__(self) -> None:
        self.layer = MemoryLayer()
        self.meter = PrometheusMeter()
        self.log = io.StringIO()
        self.application = Application(CREDENTIALS, "token", self.meter, EventLog(self.log))
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def start(self) -> None:
        self._thread.start()
        assert self._started.wait(10)

    def open(self) -> None:
        self.application.open(self.layer.api())

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._stopping = asyncio.Event()
        runner = web.ServerRunner(web.Server(self.application, access_log=None), shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.port = runner.addresses[0][1]
        self._started.set()
        await self._stopping.wait()
        await runner.cleanup()
        self.application.close()

    def sign(self, method: str, target: str, headers: dict[str, str], payload: str) -> dict[str, str]:
        time = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        headers = {
            "host": f"127.0.0.1:{self.port}",
            "x-amz-date": time,
            "x-amz-content-sha256": payload,
            **headers,
        }
        scope = Scope(time[:8], CREDENTIALS.region, "s3")
        path, _, query = target.partition("?")
        values = {name.lower(): [value] for name, value in headers.items()}
        names = sorted(values)
        request = signature.canonical_request(
            method, path, signature.parse_query(query), values, names, payload
        )
        key = signature.signing_key(CREDENTIALS.secret_key, scope)
        value = signature.sign(key, signature.string_to_sign(time, scope, request))
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={CREDENTIALS.access_key}/{scope}, "
            f"SignedHeaders={';'.join(names)}, Signature={value}"
        )
        return headers

    def send(
        self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """One signed request."""
        payload = hashlib.sha256(body).hexdigest()
        return self.raw(method, target, self.sign(method, target, headers or {}, payload), body)

    def raw(
        self, method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, target, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()


@pytest.fixture
def starting() -> Iterator[Running]:
    """A server whose layer is not open yet."""
    running = Running()
    running.start()
    yield running
    running.stop()


@pytest.fixture
def gateway(starting: Running) -> Running:
    starting.open()
    return starting
