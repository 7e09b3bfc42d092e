"""Small JSON records on a drive (marker, lock) with a check of their own.

A flipped bit in JSON may leave JSON: an epoch of 1 becomes one of 3. So each record carries the XXH3-64 of
its other fields. One without a check is an older build's and is taken as it is; nothing else may be in it, or
a flip in the name of the check would pass for that.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import xxhash

_CHECK = "check"


def pack(fields: Mapping[str, Any]) -> bytes:
    return json.dumps({**fields, _CHECK: _check(fields)}, sort_keys=True).encode()


def unpack(fields: Any, names: Collection[str]) -> dict[str, Any]:
    """The fields, which have to be these. `ValueError` says what is wrong."""
    if not isinstance(fields, dict):
        raise ValueError("it is no JSON object")  # noqa: TRY004 - one class for whatever is wrong with it
    found = {name: value for name, value in fields.items() if name != _CHECK}
    if set(found) != set(names):
        raise ValueError(f"it has the fields {', '.join(sorted(found))}, not {', '.join(sorted(names))}")
    if _CHECK in fields and fields[_CHECK] != _check(found):
        raise ValueError("it does not match its check")
    return found


def _check(fields: Mapping[str, Any]) -> str:
    return xxhash.xxh3_64_hexdigest(json.dumps(fields, sort_keys=True).encode())
