"""`aws-chunked` bodies: frames off, signatures checked, trailers read, as the bytes arrive.

A push parser without any I/O: `feed` takes what came and gives the content in it; `finish` says that nothing
more comes. Content is handed on before the chunk's signature is known, so that memory stays bounded however
large a client makes its chunks; a wrong signature raises at the chunk's end and hence before any commit.

    chunk    = hex-size [";chunk-signature=" hex] CRLF content CRLF
    body     = *chunk last-chunk(size 0) *(trailer CRLF) ["x-amz-trailer-signature:" hex CRLF] CRLF

Source: "Transferring Payload in Multiple Chunks (Chunked Upload)" and its "…-TRAILER" page, S3 API Reference.
"""

from __future__ import annotations

import hashlib
from enum import Enum, auto

from dualtrack.gateway import signature
from dualtrack.gateway.auth import STREAMING_SIGNED, STREAMING_SIGNED_TRAILER, Identity
from dualtrack.gateway.errors import S3Error

MAX_LINE = 1024
MAX_TRAILER = 8192


class _Expect(Enum):
    HEADER = auto()
    CONTENT = auto()
    CONTENT_END = auto()
    TRAILER = auto()


class ChunkDecoder:
    """Decodes one body. `trailers` is whole after `finish`: lower-case names, trimmed values."""

    def __init__(self, identity: Identity, decoded_length: int) -> None:
        self._signed = identity.payload in (STREAMING_SIGNED, STREAMING_SIGNED_TRAILER)
        self._may_trail = identity.payload != STREAMING_SIGNED
        self._identity = identity
        self._previous = identity.seed
        self._declared = decoded_length
        self._decoded = 0
        self._pending = bytearray()
        self._expect = _Expect.HEADER
        self._left = 0
        self._claimed = ""
        self._hash = hashlib.sha256()
        self.trailers: dict[str, str] = {}

    def feed(self, data: bytes) -> bytes:
        """The content in `data`, which may end anywhere."""
        if self._expect is _Expect.CONTENT and not self._pending and len(data) < self._left:
            return self._take(data)
        self._pending += data
        out = bytearray()
        while self._step(out):
            pass
        return bytes(out)

    def finish(self) -> None:
        """Raises unless the body is whole and, where signed, proved to its end."""
        if self._expect is not _Expect.TRAILER or self._decoded != self._declared:
            raise S3Error(
                "IncompleteBody",
                f"The body ended after {self._decoded} of {self._declared} bytes of content.",
            )
        self._read_trailers()

    def _step(self, out: bytearray) -> bool:
        match self._expect:
            case _Expect.HEADER:
                return self._read_header()
            case _Expect.CONTENT:
                if not self._pending:
                    return False
                piece = bytes(self._pending[: self._left])
                del self._pending[: self._left]
                out += self._take(piece)
                return True
            case _Expect.CONTENT_END:
                return self._read_content_end()
            case _Expect.TRAILER:
                if len(self._pending) > MAX_TRAILER:
                    raise S3Error("InvalidRequest", "The trailer of the chunked body is too long.")
                return False

    def _read_header(self) -> bool:
        end = self._pending.find(b"\r\n", 0, MAX_LINE + 2)
        if end < 0:
            if len(self._pending) > MAX_LINE:
                raise _malformed("a chunk's header is too long")
            return False
        line = bytes(self._pending[:end])
        del self._pending[: end + 2]
        digits, _, extension = line.partition(b";")
        try:
            self._left = int(digits, 16) if digits.isalnum() else -1
        except ValueError:
            self._left = -1
        if not 0 <= self._left <= self._declared - self._decoded:
            raise _malformed("a chunk's size is no number or exceeds x-amz-decoded-content-length")
        self._claimed = self._signature_of(extension)
        if self._left == 0:
            self._end_chunk()
            self._expect = _Expect.TRAILER
        else:
            self._expect = _Expect.CONTENT
        return True

    def _signature_of(self, extension: bytes) -> str:
        name, _, value = extension.partition(b"=")
        if not self._signed:
            return ""
        if name.strip() != b"chunk-signature":
            raise _malformed("a chunk has no signature")
        return value.strip().decode("ascii", "replace")

    def _take(self, piece: bytes) -> bytes:
        if self._signed:
            self._hash.update(piece)
        self._left -= len(piece)
        self._decoded += len(piece)
        if self._left == 0:
            self._end_chunk()
            self._expect = _Expect.CONTENT_END
        return piece

    def _end_chunk(self) -> None:
        if not self._signed:
            return
        text = signature.chunk_to_sign(
            self._identity.time, self._identity.scope, self._previous, self._hash.hexdigest()
        )
        self._prove(text, self._claimed)
        self._hash = hashlib.sha256()

    def _prove(self, text: str, claimed: str) -> None:
        expected = signature.sign(self._identity.key, text)
        if not signature.equal(expected, claimed):
            raise S3Error("SignatureDoesNotMatch", "The signature of a chunk does not match its content.")
        self._previous = expected

    def _read_content_end(self) -> bool:
        if len(self._pending) < 2:
            return False
        if self._pending[:2] != b"\r\n":
            raise _malformed("a chunk's content is longer than its header says")
        del self._pending[:2]
        self._expect = _Expect.HEADER
        return True

    def _read_trailers(self) -> None:
        # Some writers end a trailer with "\n\r\n" (as the documentation prints it), hence both line ends.
        signed_part = bytearray()
        claimed = None
        for line in bytes(self._pending).split(b"\n"):
            line = line.strip(b"\r")
            if not line:
                continue
            raw_name, _, raw_value = line.partition(b":")
            name = raw_name.decode("latin-1").strip().lower()
            value = raw_value.decode("latin-1").strip()
            if name == "x-amz-trailer-signature":
                claimed = value
            else:
                self.trailers[name] = value
                signed_part += f"{name}:{value}\n".encode("latin-1")
        if self.trailers and not self._may_trail:
            raise _malformed("a trailer follows a body that was declared to have none")
        if self._signed and self._may_trail:
            text = signature.trailer_to_sign(
                self._identity.time, self._identity.scope, self._previous, bytes(signed_part)
            )
            self._prove(text, claimed or "")


def _malformed(what: str) -> S3Error:
    return S3Error("InvalidRequest", f"The chunked body is malformed: {what}.")
