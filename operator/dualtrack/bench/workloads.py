"""What is done to a system under measurement: which objects, of which content, in which order.

Pure. Everything follows from the sizes and the seed, so that each system is given the same work, a run can be
had again, and what a read ought to bring is known without being kept.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from dualtrack.engine import blake

FAN_OUT = 10
DEPTHS = (0, 1, 2, 3)


class Workload(StrEnum):
    SMALL = "small"
    LARGE = "large"
    LIST = "list"
    INSTANT = "instant"


class Kind(StrEnum):
    """What one operation of a phase does; `AGAIN` uploads content that the system has already."""

    WRITE = "write"
    READ = "read"
    LIST = "list"
    AGAIN = "again"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is done in all, to each system; `rounds` is how many turns it is spread over. `listings` is of
    each depth, a round."""

    objects: int = 10_000
    size: int = 1 << 10
    large_objects: int = 100
    large_size: int = 1 << 20
    listings: int = 5
    rounds: int = 5


QUICK = Sizes(objects=200, large_objects=10, listings=2, rounds=3)


@dataclass(frozen=True, slots=True)
class Phase:
    """Operations of one kind. `names` are keys, of a listing prefixes. `size` is the bytes of one object,
    `name` what the table calls it: a phase without one prepares or checks, and is not timed. `same` says
    that all its objects have one content."""

    kind: Kind
    names: tuple[str, ...]
    size: int = 0
    name: str = ""
    same: bool = False

    def content(self, seed: int, key: str) -> bytes:
        """What the object of that key holds."""
        return Random(f"{seed}/{'' if self.same else key}").randbytes(self.size)


@dataclass(frozen=True, slots=True)
class Payload:
    """Content with the names that protocols want of it, so that no clock runs while they are computed."""

    data: bytes
    sha256: str
    blake3: str

    @classmethod
    def of(cls, data: bytes) -> Payload:
        return cls(data, hashlib.sha256(data).hexdigest(), blake.digest(data).hex())


def phases(workload: Workload, sizes: Sizes, seed: int) -> list[Phase]:
    match workload:
        case Workload.SMALL:
            return _write_and_read(_keys("small", sizes.objects), sizes.size, seed)
        case Workload.LARGE:
            return _write_and_read(_keys("large", sizes.large_objects), sizes.large_size, seed)
        case Workload.LIST:
            return _listings(sizes)
        case Workload.INSTANT:
            return _instant(sizes)


def _write_and_read(keys: tuple[str, ...], size: int, seed: int) -> list[Phase]:
    shuffled = list(keys)
    Random(seed).shuffle(shuffled)
    told = human(size)
    return [
        Phase(Kind.WRITE, keys, size, f"write {told}"),
        Phase(Kind.READ, tuple(shuffled), size, f"read {told}"),
    ]


def _listings(sizes: Sizes) -> list[Phase]:
    """All keys below a prefix: none to three directories deep. Each level down holds a tenth."""
    keys = tuple(_in_tree(number) for number in range(sizes.objects))
    found = [Phase(Kind.WRITE, keys, 16)]
    for depth in DEPTHS:
        prefixes = sorted({_directory(key, depth) for key in keys})
        count = sizes.listings * sizes.rounds
        names = tuple(prefixes[number * len(prefixes) // count % len(prefixes)] for number in range(count))
        most = max(sum(key.startswith(prefix) for key in keys) for prefix in set(names))
        found.append(Phase(Kind.LIST, names, 0, f"list {most:,} key{'s' if most > 1 else ''}, depth {depth}"))
    return found


def _instant(sizes: Sizes) -> list[Phase]:
    """One object, then others of the same content; in the end all are read, for what came of them."""
    first, *others = _keys("instant", sizes.large_objects + 1)
    name = f"upload known {human(sizes.large_size)}"
    return [
        Phase(Kind.WRITE, (first,), sizes.large_size, same=True),
        Phase(Kind.AGAIN, tuple(others), sizes.large_size, name, same=True),
        Phase(Kind.READ, (first, *others), sizes.large_size, same=True),
    ]


def _keys(folder: str, count: int) -> tuple[str, ...]:
    return tuple(f"{folder}/{number:08d}" for number in range(count))


def _in_tree(number: int) -> str:
    one, two, three = (number // FAN_OUT**power % FAN_OUT for power in range(3))
    return f"tree/{one}/{two}/{three}/{number:08d}"


def _directory(key: str, depth: int) -> str:
    return "".join(f"{part}/" for part in key.split("/")[: depth + 1])


def human(size: int) -> str:
    """`1 KiB`; bytes where it is no whole number of a larger unit."""
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size and size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size} B"
