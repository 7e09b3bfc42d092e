"""A request's body on its way in: decoded, bounded in memory, and proved before anything is committed.

`Intake` is the proof: it takes the bytes as they came over the wire, takes `aws-chunked` frames off, and
compares length, SHA-256, MD5 and checksum at the end. A small body is read whole in the event loop; a large
one is pulled by the worker thread that stores it, one read at a time, so that a slow drive slows the client
down and memory stays that of one read.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass

from dualtrack.gateway import checksums
from dualtrack.gateway.auth import STREAMING, UNSIGNED, Identity
from dualtrack.gateway.chunks import ChunkDecoder
from dualtrack.gateway.errors import S3Error

BUFFERED = 256 * 1024
MAX_PUT = 5 * 1024**3
Reader = Callable[[], Awaitable[bytes]]
"""Gives the next bytes as they came; b"" at the end."""


@dataclass(frozen=True, slots=True)
class _Promise:
    """A digest that the sender gave: `expected` None if it comes in the trailer."""

    header: str
    digest: checksums.Digest
    expected: bytes | None
    code: str


class Intake:
    def __init__(self, headers: Mapping[str, str], identity: Identity, content_length: int | None) -> None:
        """`headers` by lower-case name. Raises `S3Error` for what can be refused before the body comes."""
        self._decoder: ChunkDecoder | None = None
        self.length = _declared_length(headers, identity, content_length)
        if self.length > MAX_PUT:
            raise S3Error("EntityTooLarge", "The body is larger than the 5 GiB that one request may carry.")
        if identity.payload in STREAMING:
            self._decoder = ChunkDecoder(identity, self.length)
        self._received = 0
        self._sha256 = hashlib.sha256() if identity.payload not in STREAMING | {UNSIGNED} else None
        self._declared_sha256 = identity.payload
        self._promises = [*_md5(headers), *_checksum(headers)]

    def feed(self, data: bytes) -> bytes:
        content = self._decoder.feed(data) if self._decoder else data
        self._received += len(content)
        if self._sha256 is not None:
            self._sha256.update(content)
        for promise in self._promises:
            promise.digest.update(content)
        return content

    def finish(self) -> None:
        """Raises unless what came is what was declared."""
        if self._decoder is not None:
            self._decoder.finish()
        if self._received != self.length:
            raise S3Error("IncompleteBody", f"The body ended after {self._received} of {self.length} bytes.")
        if self._sha256 is not None and self._sha256.hexdigest() != self._declared_sha256:
            raise S3Error(
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
                details={"ClientComputedContentSHA256": self._declared_sha256},
            )
        for promise in self._promises:
            self._keep(promise)

    def _keep(self, promise: _Promise) -> None:
        expected = promise.expected
        actual = promise.digest.digest()
        if expected is None and self._decoder is not None:
            value = self._decoder.trailers.get(promise.header)
            if value is None:
                raise S3Error(
                    "InvalidRequest", f"The trailer {promise.header} that was announced did not come."
                )
            expected = _parsed(promise.header, value, len(actual))
        if expected != actual:
            raise S3Error(
                promise.code, f"The {promise.header} you specified did not match what was received."
            )

    def answer_headers(self) -> dict[str, str]:
        """The checksum that was verified, for the answer."""
        return {
            promise.header: checksums.text(promise.digest.digest())
            for promise in self._promises
            if promise.header.startswith(checksums.PREFIX)
        }


def _declared_length(headers: Mapping[str, str], identity: Identity, content_length: int | None) -> int:
    if identity.payload not in STREAMING:
        if content_length is None:
            raise S3Error("MissingContentLength", "You must provide the Content-Length HTTP header.")
        return content_length
    text = headers.get("x-amz-decoded-content-length", "")
    if not (text.isascii() and text.isdigit()):
        raise S3Error(
            "MissingContentLength", "You must provide the x-amz-decoded-content-length HTTP header."
        )
    return int(text)


def _md5(headers: Mapping[str, str]) -> Iterator[_Promise]:
    value = headers.get("content-md5")
    if value is not None:
        expected = checksums.parse(value, 16)
        if expected is None:
            raise S3Error("InvalidDigest", "The Content-MD5 you specified is not valid.")
        yield _Promise("Content-MD5", hashlib.md5(usedforsecurity=False), expected, "BadDigest")


def _checksum(headers: Mapping[str, str]) -> Iterator[_Promise]:
    given = [name for name in headers if checksums.algorithm_of(name)]
    trailing = [name.strip().lower() for name in headers.get("x-amz-trailer", "").split(",") if name.strip()]
    if len(given) + len(trailing) > 1:
        raise S3Error("InvalidRequest", "Expecting a single x-amz-checksum- header.")
    for name in trailing:
        algorithm = checksums.algorithm_of(name)
        if algorithm is None:
            raise S3Error("InvalidRequest", f"The value of x-amz-trailer, {name}, names no checksum.")
        yield _Promise(name, checksums.ALGORITHMS[algorithm](), None, "BadDigest")
    for name in given:
        digest = checksums.ALGORITHMS[checksums.algorithm_of(name) or ""]()
        yield _Promise(name, digest, _parsed(name, headers[name], len(digest.digest())), "BadDigest")


def _parsed(header: str, value: str, size: int) -> bytes:
    digest = checksums.parse(value, size)
    if digest is None:
        raise S3Error("InvalidRequest", f"Value for {header} header is invalid.")
    return digest


class BufferedSource:
    """A body that is in memory and already proved."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def chunks(self) -> Iterator[bytes]:
        if self._content:
            yield self._content

    def verify(self) -> None:
        return


class StreamedSource:
    """A body that a worker thread pulls out of the event loop."""

    def __init__(self, intake: Intake, reader: Reader, loop: asyncio.AbstractEventLoop) -> None:
        self._intake = intake
        self._reader = reader
        self._loop = loop
        self._ended = False

    def chunks(self) -> Iterator[bytes]:
        while data := asyncio.run_coroutine_threadsafe(self._next(), self._loop).result():
            content = self._intake.feed(data)
            if content:
                yield content
        self._ended = True

    async def _next(self) -> bytes:
        return await self._reader()

    def verify(self) -> None:
        if not self._ended:
            raise S3Error("IncompleteBody", "The body was not read to its end.")
        self._intake.finish()


async def read_all(intake: Intake, reader: Reader) -> bytes:
    """A small body, proved."""
    content = bytearray()
    while data := await reader():
        content += intake.feed(data)
    intake.finish()
    return bytes(content)
