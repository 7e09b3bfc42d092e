"""AWS Signature Version 4, as pure functions of bytes and strings.

Sources: "Signature Calculations for the Authorization Header", "Authenticating Requests: Using Query
Parameters" and "Signature Calculations … Transferring Payload in Multiple Chunks" in the Amazon S3 API
Reference. S3 differs from other services in two points: the path is URI-encoded once, not twice, and it is
not normalised, so that `a//b` and `a/../b` are signed as they are sent.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

ALGORITHM = "AWS4-HMAC-SHA256"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, slots=True)
class Scope:
    """The credential scope: `date` as YYYYMMDD."""

    date: str
    region: str
    service: str

    def __str__(self) -> str:
        return f"{self.date}/{self.region}/{self.service}/aws4_request"


@lru_cache(maxsize=64)
def signing_key(secret: str, scope: Scope) -> bytes:
    key = ("AWS4" + secret).encode()
    for part in (scope.date, scope.region, scope.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def sign(key: bytes, text: str) -> str:
    # A keyed object is copied rather than `hmac.digest` called: that one lets go of the interpreter lock each
    # time, and the event loop would queue behind the worker threads for it, twice a request.
    digest = _keyed(key).copy()
    digest.update(text.encode())
    return digest.hexdigest()


@lru_cache(maxsize=64)
def _keyed(key: bytes) -> hmac.HMAC:
    return hmac.new(key, digestmod="sha256")


def parse_query(raw: str) -> list[tuple[str, str]]:
    """The pairs of a raw query string, decoded; a parameter without `=` has the value ""."""
    pairs = []
    for item in raw.split("&") if raw else ():
        if item:
            name, _, value = item.partition("=")
            pairs.append((_decode(name), _decode(value)))
    return pairs


def _decode(text: str) -> str:
    if "%" not in text and "+" not in text:
        return text
    return unquote_to_bytes(text.replace("+", " ")).decode("utf-8", "surrogateescape")


def canonical_path(raw_path: str) -> str:
    if raw_path.isascii() and raw_path.replace("/", "").replace("-", "").replace(".", "").isalnum():
        return raw_path
    return quote(unquote_to_bytes(raw_path.encode("utf-8", "surrogateescape")), safe="/-_.~")


def canonical_query(pairs: Iterable[tuple[str, str]]) -> str:
    encoded = sorted((_encode(name), _encode(value)) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def _encode(text: str) -> str:
    return quote(text.encode("utf-8", "surrogateescape"), safe="-_.~")


def canonical_request(
    method: str,
    raw_path: str,
    pairs: Iterable[tuple[str, str]],
    headers: Mapping[str, Sequence[str]],
    signed: Sequence[str],
    payload: str,
) -> bytes:
    """`headers` by lower-case name, every value in order of arrival; `payload` is the hash as declared."""
    lines = [method, canonical_path(raw_path), canonical_query(pairs)]
    for name in signed:
        values = ",".join(" ".join(value.split()) for value in headers.get(name, ()))
        lines.append(f"{name}:{values}")
    lines += ["", ";".join(signed), payload]
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def string_to_sign(time: str, scope: Scope, request: bytes) -> str:
    return f"{ALGORITHM}\n{time}\n{scope}\n{hashlib.sha256(request).hexdigest()}"


def chunk_to_sign(time: str, scope: Scope, previous: str, content_sha256: str) -> str:
    """For one chunk of a `STREAMING-AWS4-HMAC-SHA256-PAYLOAD` body."""
    return f"{ALGORITHM}-PAYLOAD\n{time}\n{scope}\n{previous}\n{EMPTY_SHA256}\n{content_sha256}"


def trailer_to_sign(time: str, scope: Scope, previous: str, trailers: bytes) -> str:
    """`trailers`: `name:value\\n` for each trailing header apart from the signature itself."""
    return f"{ALGORITHM}-TRAILER\n{time}\n{scope}\n{previous}\n{hashlib.sha256(trailers).hexdigest()}"


def equal(one: str, other: str) -> bool:
    """Whether two secrets are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(
        one.encode("utf-8", "surrogateescape"), other.encode("utf-8", "surrogateescape")
    )
