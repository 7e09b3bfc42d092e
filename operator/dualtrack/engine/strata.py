"""Objects that deserve a closer look than others: where metadata go wrong, it is with these first.

A uniform sample of one in a hundred meets a rare kind of object rarely. So a sampled check looks at ten times
as many of these, and tells their counts apart: the bound that it states rests on the uniform sample alone.
What kind an object is says its index entry, without its row or file; which were repaired, the records of the
repairs, and those are looked at every time.
"""

from __future__ import annotations

from enum import StrEnum

from dualtrack.engine.formats.versions import Kind
from dualtrack.engine.summary import Summary

CLOSER = 10
RECENT_NS = 24 * 3600 * 1_000_000_000
LARGE_BYTES = 64 * 1024 * 1024


class Stratum(StrEnum):
    """An object belongs to the first of these that fits."""

    REPAIRED = "repaired"
    DELETE_MARKER = "deleteMarker"
    MANY_VERSIONS = "manyVersions"
    LARGE = "large"
    RECENT = "recent"
    #: An index entry that cannot be read.
    UNREADABLE = "unreadable"


def stratum_of(entry: Summary, now_ns: int) -> Stratum | None:
    """The stratum of an object by its index entry; None for one like most others."""
    if entry.kind is not Kind.OBJECT:
        return Stratum.DELETE_MARKER
    if entry.version_count > 1:
        return Stratum.MANY_VERSIONS
    if entry.size >= LARGE_BYTES:
        return Stratum.LARGE
    if entry.mod_time_ns > now_ns - RECENT_NS:
        return Stratum.RECENT
    return None
