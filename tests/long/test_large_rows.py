"""A row of 64 MB, which an `xl.meta` with many inline versions may come to, in each store."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from dualtrack.engine.rows import NO_FILE, Generation, Row, RowOrigin, RowState
from dualtrack.engine.stores.location import locate
from dualtrack.engine.stores.opening import open_store
from dualtrack.engine.stores.protocol import Batch, Put

MAP = 512 * 1024 * 1024


def row(key: str, data: bytes) -> Row:
    return Row("b", key, Generation(1, 1), RowState.PRESENT, RowOrigin.FS, NO_FILE, 0, 0, 0, 0, data)


@pytest.mark.parametrize("kind", ["lmdb", "rocksdb", "postgresql"])
def test_a_row_of_64_megabytes_comes_back(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    where = {"lmdb": f"{tmp_path}/store", "rocksdb": f"rocksdb:{tmp_path}/store"}.get(kind)
    where = where or f"{request.getfixturevalue('postgresql').url}&schema=s{uuid.uuid4().hex}"
    rows = [row("a", b"small"), row("large", os.urandom(1 << 20) * 64), row("z", b"small")]
    store = open_store(locate(where), "drive-1", map_size=MAP)
    try:
        store.open_term()
        store.commit(Batch(puts=tuple(Put(each, b"s") for each in rows)))
        assert [store.get("b", each.key) for each in rows] == rows
        assert store.digest().count == 3
    finally:
        store.close()
