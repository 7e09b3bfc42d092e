"""Objects that could not be made into rows, by name: what they are, since when, how often they were tried.

One meta value an object, so that the record changes in the transaction of the batch that met the object. An
object leaves the quarantine when its file is read again without trouble, or is gone.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import xxhash

from dualtrack.engine.listing import Problem
from dualtrack.engine.owner_api import OwnerApi

PREFIX = "quarantine/"
STORE = "store"
"""The reason of an object whose row is damaged, not its file."""
_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Quarantined:
    """`digest` is XXH3-128 of the bytes found, in hex; empty where there were none. Times are RFC 3339."""

    bucket: str
    key: str
    reason: str
    message: str
    digest: str
    attempts: int
    first_seen: str
    last_seen: str

    @property
    def name(self) -> str:
        return f"{self.bucket}/{self.key}"

    @property
    def meta_name(self) -> str:
        return meta_name(self.bucket, self.key)

    def pack(self) -> bytes:
        fields = {
            "bucket": base64.b64encode(os.fsencode(self.bucket)).decode(),
            "key": base64.b64encode(os.fsencode(self.key)).decode(),
            "reason": self.reason,
            "message": self.message,
            "digest": self.digest,
            "attempts": self.attempts,
            "firstSeen": self.first_seen,
            "lastSeen": self.last_seen,
        }
        return json.dumps(fields).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Quarantined:
        fields = json.loads(data)
        return cls(
            os.fsdecode(base64.b64decode(fields["bucket"])),
            os.fsdecode(base64.b64decode(fields["key"])),
            fields["reason"],
            fields["message"],
            fields["digest"],
            fields["attempts"],
            fields["firstSeen"],
            fields["lastSeen"],
        )

    def after(self, before: Quarantined) -> Quarantined:
        """This try as one more after those that `before` counts."""
        return replace(self, attempts=before.attempts + 1, first_seen=before.first_seen)


def quarantined(problem: Problem, data: bytes, now: datetime) -> Quarantined:
    """The record of a first try."""
    time = now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    digest = xxhash.xxh3_128_hexdigest(data) if data else ""
    message = problem.message[:512]
    return Quarantined(problem.bucket, problem.key, problem.reason, message, digest, 1, time, time)


def meta_name(bucket: str, key: str) -> str:
    return PREFIX + xxhash.xxh3_128_hexdigest(os.fsencode(bucket) + b"\0" + os.fsencode(key))


def all_quarantined(owner: OwnerApi) -> Iterator[Quarantined]:
    after = None
    while page := owner.meta_scan(PREFIX, after, _PAGE):
        yield from (Quarantined.unpack(value) for _, value in page)
        after = page[-1][0]
