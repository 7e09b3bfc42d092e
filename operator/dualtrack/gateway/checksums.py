"""The checksums that S3 clients send: made as the bytes pass, compared at the end.

CRC64NVME has no fast implementation among our dependencies; it is a table walk in Python (some 10 MB/s) and
there for clients that insist. Parameters: Amazon S3 User Guide, "Checking object integrity"; CRC64/NVME:
NVM Express NVM Command Set Specification 1.0d, 5.2.1.3.4 (polynomial 0xAD93D23594C93659, reflected).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable, Mapping
from typing import Protocol

import google_crc32c

_NVME_REFLECTED = 0x9A6C9329AC4BC9B5
_ALL_ONES = 0xFFFFFFFFFFFFFFFF


class Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class Crc32:
    __slots__ = ("_value",)

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


class Crc32c:
    __slots__ = ("_value",)

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = google_crc32c.extend(self._value, data)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def _table() -> tuple[int, ...]:
    entries = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (_NVME_REFLECTED if value & 1 else 0)
        entries.append(value)
    return tuple(entries)


class Crc64Nvme:
    __slots__ = ("_value",)
    _TABLE = _table()

    def __init__(self) -> None:
        self._value = _ALL_ONES

    def update(self, data: bytes, /) -> None:
        value, table = self._value, self._TABLE
        for byte in data:
            value = table[(value ^ byte) & 0xFF] ^ (value >> 8)
        self._value = value

    def digest(self) -> bytes:
        return (self._value ^ _ALL_ONES).to_bytes(8, "big")


ALGORITHMS: Mapping[str, Callable[[], Digest]] = {
    "crc32": Crc32,
    "crc32c": Crc32c,
    "crc64nvme": Crc64Nvme,
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
}
PREFIX = "x-amz-checksum-"


def algorithm_of(header: str) -> str | None:
    """`crc32c` for `x-amz-checksum-crc32c`; None if the header names no algorithm that is served."""
    name = header.lower().removeprefix(PREFIX)
    return name if header.lower().startswith(PREFIX) and name in ALGORITHMS else None


def parse(value: str, size: int) -> bytes | None:
    """The digest in a base64 header of `size` bytes, or None if it is none."""
    try:
        digest = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    return digest if len(digest) == size else None


def text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
