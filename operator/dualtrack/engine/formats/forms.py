"""Which form a version's body has, and its decoder: today's maps, or one of the older forms in `legacy/`.

A file is decoded with its bodies left alone; `refuse_unknown` looks at one byte of each, so that what cannot
be a body at all is told without decoding it.
"""

from __future__ import annotations

from collections.abc import Mapping

from dualtrack.engine.formats import bodies, typed, wire
from dualtrack.engine.formats.bodies import LEGACY_TYPE, Body
from dualtrack.engine.formats.legacy import rustfs, v1
from dualtrack.errors import CorruptError

_BAD = "body"
_MAPS = frozenset({*range(0x80, 0x90), 0xDE, 0xDF})
_FIRST_BYTES = _MAPS | rustfs.FIRST_BYTES


def refuse_unknown(raw: bytes) -> None:
    """CorruptError where the first byte begins no body of any form."""
    if not raw or raw[0] not in _FIRST_BYTES:
        raise CorruptError(_BAD, "a version's body is neither a map nor a structure of old RustFS releases")


def decode_body(raw: bytes) -> Body:
    """Decode one body of any form. Raises CorruptError, or UnsupportedFormatError for a later one."""
    usual = typed.decode(raw)
    return decode_exactly(raw) if usual is None else usual


def decode_exactly(raw: bytes) -> Body:
    """The same, by the decoder that knows every form and says what is wrong."""
    refuse_unknown(raw)
    value = wire.loads(raw, _BAD)
    if not isinstance(value, dict) or rustfs.is_named(value):
        return rustfs.from_value(value)
    if value.get("Type") == LEGACY_TYPE:
        return v1.from_value(value.get("V1Obj"))
    return bodies.from_map(value)


def replace_metadata(
    raw: bytes, meta_user: Mapping[str, str] | None, meta_sys: Mapping[str, bytes] | None
) -> bytes:
    """The same body, in its own form, with its metadata exchanged; `None` keeps a map, byte for byte."""
    if raw[0] in rustfs.FIRST_BYTES:
        return rustfs.replace_metadata(raw, meta_user, meta_sys)
    return bodies.replace_metadata(raw, meta_user, meta_sys)
