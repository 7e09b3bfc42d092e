"""Which objects a sampled check looks at: a keyed hash of the name, a pure function.

Not the first keys of a listing, which never see the tail: BLAKE2b of (bucket, key), keyed with the seed,
spreads the names evenly over 2**64, and a round looks at those that fall into its slice. The slices of one
seed are disjoint and cover everything, so that as many rounds as there are slices look at every object once;
after that the seed is changed and other objects meet in a round. No state, no order, no list: the same seed
and round name the same objects on every machine.

A clean sample is a statement with a bound, not a proof: of `n` objects without a difference, the share of
objects that differ is at most `upper_bound(0, n)`, about 3/n at 95 %. It never replaces a full verification.
"""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass

from dualtrack.errors import UsageError
from dualtrack.proportions import upper_bound

MILLION = 1_000_000
CONFIDENCE = 0.95
_SPAN = 2**64


@dataclass(frozen=True, slots=True)
class Sample:
    """Round `number` (from 0) of those that look at `ppm` objects in a million each."""

    ppm: int
    seed: str
    number: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.ppm <= MILLION:
            raise UsageError(f"a sample of {self.ppm} in a million: use 1 to {MILLION}")
        if self.number < 0:
            raise UsageError(f"round {self.number}: rounds are counted from 0")

    @property
    def rounds(self) -> int:
        """After so many rounds every object has been looked at."""
        return -(-MILLION // self.ppm)

    def chooser(self) -> Chooser:
        cycle, turn = divmod(self.number, self.rounds)
        first = turn * self.ppm
        last = min(first + self.ppm, MILLION)
        return Chooser(_key(self.seed, cycle), first * _SPAN // MILLION, last * _SPAN // MILLION)


@dataclass(frozen=True, slots=True)
class Chooser:
    """A slice of the hashes."""

    key: bytes
    first: int
    end: int

    def __call__(self, bucket: str, key: str) -> bool:
        return self.first <= place_hash(self.key, bucket, key) < self.end


def place_hash(key: bytes, bucket: str, name: str) -> int:
    """64 bits of an object's name."""
    data = os.fsencode(bucket) + b"\0" + os.fsencode(name)
    return int.from_bytes(hashlib.blake2b(data, digest_size=8, key=key).digest(), "big")


def seed_key(seed: str) -> bytes:
    """A seed of any length as the key of the hash."""
    return hashlib.blake2b(os.fsencode(seed), digest_size=32).digest()


def bound_ppm(differences: int, looked_at: int) -> int:
    """At most so many objects in a million differ, at 95 % confidence, rounded up."""
    return math.ceil(upper_bound(differences, looked_at, CONFIDENCE) * MILLION) if looked_at else MILLION


def _key(seed: str, cycle: int) -> bytes:
    return seed_key(f"{seed}/{cycle}")
