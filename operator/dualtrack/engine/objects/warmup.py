"""The keys that a data plane used last, kept over its restart, so that its cache does not begin empty.

A hint and nothing more: the rows are read from the store. A list that is missing or damaged is no error.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Sequence

from dualtrack.engine import files
from dualtrack.engine.marker import control_directory
from dualtrack.engine.objects.kv_track import KV_ERRORS, KvTrack
from dualtrack.engine.stores.protocol import Place

_log = logging.getLogger(__name__)
_MAX_BYTES = 64 * 1024 * 1024


def path_of(drive: str) -> str:
    return os.path.join(control_directory(drive), "warm.json")


def save(drive: str, places: Sequence[Place]) -> None:
    try:
        files.write_atomic(path_of(drive), json.dumps(places).encode(), mode=0o640)
    except OSError as error:
        _log.warning("the keys used last are not kept drive=%s error=%s", drive, error)


def load(drive: str, limit: int) -> list[Place]:
    """The latest first."""
    try:
        found = json.loads(files.read_regular(path_of(drive), _MAX_BYTES)[0])
        return [(str(bucket), str(key)) for bucket, key in found[:limit]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        _log.warning("the keys used last are not known drive=%s error=%s", drive, error)
        return []


def warm(kv: KvTrack, places: Sequence[Place], ended: Callable[[], bool]) -> int:
    """Read the rows of these keys, the latest used last; how many there are."""
    count = 0
    for place in reversed(places):
        if ended():
            break
        try:
            count += kv.get(*place) is not None
        except KV_ERRORS as error:
            _log.warning("warming up ends error=%s", error)
            break
    return count
