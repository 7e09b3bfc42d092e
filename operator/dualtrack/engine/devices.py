"""On which disks a path lies: a copy beside the original is none for the day on which the disk fails.

Two file systems may share a disk (two partitions, two logical volumes, two subvolumes), so numbers of devices
alone do not tell. `/sys/dev/block` says what a device is made of. Where it says nothing (network, memory, a
container that hides it) the file system itself counts as the disk. What is behind a volume of a SAN or a
cloud, nobody here can see.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

_SYS = "/sys/dev/block"


def shared(one: str, other: str) -> frozenset[str]:
    """The disks that both paths lie on, by name; empty where they have none in common."""
    return disks(one) & disks(other)


def disks(path: str) -> frozenset[str]:
    """Of a path or, where it is not there yet, of the directory that it would be made in."""
    while not os.path.exists(path) and os.path.dirname(path) != path:
        path = os.path.dirname(os.path.abspath(path))
    number = os.stat(path).st_dev
    if os.major(number) == 0 and (source := _source(path)) is not None:
        number = source
    below = _below(f"{_SYS}/{os.major(number)}:{os.minor(number)}")
    return below or frozenset({f"{os.major(number)}:{os.minor(number)}"})


def _below(link: str) -> frozenset[str]:
    """The whole disks of a block device: a partition's disk, and those that a mapped device is made of."""
    device = os.path.realpath(link)
    if not os.path.isdir(device):
        return frozenset()
    if os.path.exists(f"{device}/partition"):
        device = os.path.dirname(device)
    try:
        parts = os.listdir(f"{device}/slaves")
    except FileNotFoundError:
        parts = []
    found = frozenset(name for part in parts for name in _below(f"{device}/slaves/{part}"))
    return found or frozenset({os.path.basename(device)})


def mounts() -> Iterator[tuple[str, str]]:
    """(place, source) of each mount that we see. The kernel writes blanks and the like as octal numbers."""
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            before, _, after = line.partition(b" - ")
            place = re.sub(rb"\\([0-7]{3})", lambda found: bytes((int(found[1], 8),)), before.split(b" ")[4])
            yield os.fsdecode(place), os.fsdecode(after.split(b" ")[1])


def _source(path: str) -> int | None:
    """The block device behind a file system that numbers its own (btrfs); None where there is none."""
    real, best, found = os.path.realpath(path), "", None
    for place, source in mounts():
        if len(place) >= len(best) and os.path.commonpath([real, place]) == place:
            best, found = place, source
    if found is None or not found.startswith("/dev/"):
        return None
    try:
        return os.stat(found).st_rdev
    except OSError:
        return None
