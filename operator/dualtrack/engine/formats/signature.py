"""MinIO's signature of a version: four bytes in the header that change when the version does.

It is the same on all drives of a set, because what differs between them (the shard's index) and what has no
order (the metadata maps) is taken out of the hashed bytes; the maps are mixed in by sums that do not depend
on order. Source: MinIO, `xl-storage-format-v2.go`; checked against every version of a real drive in the
tests. RustFS computes other values in the same place, so a signature is written and compared, never
validated.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import xxhash

from dualtrack.engine.formats import packing
from dualtrack.engine.formats.bodies import Body, Form, ObjectBody, object_fields

_U64 = (1 << 64) - 1
_KEY_MIX, _VALUE_MIX = 0x4EE3BBAF7AB2506B, 0x8DA4C8DA66194257
_USER_SEED, _SYSTEM_SEED = 0xC2B40BBAC11A7295, 0x1BBC7E1DDE654743


def signature(body: Body) -> bytes:
    """The four bytes that MinIO would put into the header beside this body.

    Of an object from before versions it hashes the old document; such a header gets zeros here, which differ
    from any signature and so ask whoever compares drives to look at the bodies.
    """
    if isinstance(body, ObjectBody):
        if body.form is Form.V1:
            return bytes(4)
        fields = object_fields(replace(body, ec_index=0))
        fields["MetaSys"] = fields["MetaUsr"] = packing.NIL
        user = _digest(((k, _raw(v)) for k, v in body.meta_user.items()), _USER_SEED)
    else:
        fields = {"ID": packing.pack_bin(body.version_id), "MTime": packing.pack_int(body.mod_time_ns)}
        user = 0
    digest = xxhash.xxh64_intdigest(packing.join_map(fields), 0) ^ user
    digest ^= _digest(body.meta_sys.items(), _SYSTEM_SEED)
    return ((digest ^ (digest >> 32)) & 0xFFFFFFFF).to_bytes(4, "little")


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _digest(entries: Iterable[tuple[str, bytes]], seed: int) -> int:
    for key, value in entries:
        mixed_key = xxhash.xxh3_64_intdigest(_raw(key)) ^ _KEY_MIX
        mixed_value = xxhash.xxh3_64_intdigest(value) ^ _VALUE_MIX
        seed ^= (mixed_key + mixed_value) & _U64
    return seed
