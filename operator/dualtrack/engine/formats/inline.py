"""The inline section of an `xl.meta`: small objects' content, this drive's shard of it, in bitrot framing.

One byte `01`, then a map from version key to bytes; nothing at all where there is no entry. The section is
not covered by the file's CRC (each value's framing has its own hashes), so its structure is checked on
reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from dualtrack.engine.formats import packing, wire
from dualtrack.errors import CorruptError, UnsupportedFormatError

_BAD = "inline"
_VERSION = 1
MAX_ENTRIES = 100_000
"""Ten times the versions that servers keep: entries of removed ones may linger."""

EMPTY: Mapping[str, bytes] = MappingProxyType({})


def decode_inline(section: bytes) -> Mapping[str, bytes]:
    """The entries in file order. Of a key that stands twice the first counts, as in MinIO."""
    if not section:
        return EMPTY
    if section[0] != _VERSION:
        raise UnsupportedFormatError(
            "inline-version", f"the inline section has version {section[0]}, not {_VERSION}"
        )
    position, count = wire.read_map_header(section, 1, _BAD)
    if count > MAX_ENTRIES:
        raise CorruptError(_BAD, f"the inline section announces {count} entries, more than {MAX_ENTRIES}")
    entries: dict[str, bytes] = {}
    for _ in range(count):
        position, key = wire.read_str(section, position, _BAD)
        position, value = wire.read_bin(section, position, _BAD)
        entries.setdefault(key, value)
    if position != len(section):
        raise CorruptError(_BAD, f"{len(section) - position} bytes follow the inline section")
    return MappingProxyType(entries)


def encode_inline(entries: Mapping[str, bytes]) -> bytes:
    """The section; empty where there are no entries."""
    if not entries:
        return b""
    return bytes((_VERSION,)) + packing.join_map(
        {key: packing.pack_bin(value) for key, value in entries.items()}
    )
