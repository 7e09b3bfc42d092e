"""Stores of older builds are brought up to date when opened, whole; newer ones are refused, untouched.

The store of schema 1 was written by the code of commit 223c5e3 and is never edited.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

from dualtrack.engine.journal import Journal
from dualtrack.engine.owner import Owner, OwnerSettings
from dualtrack.engine.stores.location import locate
from dualtrack.engine.stores.opening import open_store
from dualtrack.engine.stores.protocol import Batch
from dualtrack.errors import StoreVersionError

STORES = Path(__file__).parents[2] / "data" / "stores"
MAP = 1 << 24


@pytest.fixture
def old(tmp_path: Path) -> Path:
    packed = (STORES / "lmdb-schema-1.mdb.zst").read_bytes()
    (tmp_path / "data.mdb").write_bytes(zstandard.ZstdDecompressor().decompress(packed))
    return tmp_path


@pytest.fixture
def expected() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((STORES / "lmdb-schema-1.json").read_text())
    return found


def test_a_store_of_schema_1_is_counted_and_kept_as_it_was(old: Path, expected: dict[str, Any]) -> None:
    for _ in range(2):
        store = open_store(locate(str(old)), expected["driveID"], map_size=MAP)
        assert [[row.bucket, row.key] for row in store.scan(None, 100)] == expected["keys"]
        assert [key for key, _ in store.scan_index("bucket", "", None, 100)] == expected["listed"]
        assert str(store.digest()) == expected["digest"]
        assert dict(store.stats().objects) == expected["objects"]
        assert dict(store.stats().versions) == expected["versions"]
        assert store.meta("store_uuid") == expected["storeUUID"].encode()
        assert (store.meta("waiver/x"), store.meta("cursor/sweep")) == (b"kept", b"there")
        assert store.meta("schema") == b"2"
        page = store.scrub(b"")
        assert (page.entries.rows, page.entries.index) == (len(expected["keys"]), len(expected["listed"]))
        store.close()


def test_an_owner_goes_on_from_the_terms_and_fences_of_schema_1(old: Path, expected: dict[str, Any]) -> None:
    owner = Owner.open(None, str(old), OwnerSettings(drive_id=expected["driveID"], map_size=MAP))
    assert owner.begin("next", 0) == 2
    assert owner.next_generation().term == 2
    assert owner.commit(Batch(2, meta={"x": b"y"})).outcomes == ()
    owner.close()


@pytest.mark.parametrize("kind", ["lmdb", "rocksdb"])
def test_a_store_of_a_newer_schema_is_refused_and_not_touched(kind: str, tmp_path: Path) -> None:
    where = f"rocksdb:{tmp_path}/s" if kind == "rocksdb" else f"{tmp_path}/s"
    store = open_store(locate(where), "drive-1", map_size=MAP)
    term = store.open_term()
    store.commit(Batch(meta={"schema": b"3"}))
    store.close()
    for _ in range(2):
        with pytest.raises(StoreVersionError, match="has schema 3, this build knows 2; use a newer one"):
            Owner.open(None, where, OwnerSettings(drive_id="drive-1", map_size=MAP))
    assert term == 1


def test_a_journal_of_a_newer_build_is_refused_and_not_touched(tmp_path: Path) -> None:
    Journal.open(str(tmp_path)).close()
    path = tmp_path / "journal"
    head = path.read_bytes()
    path.write_bytes(head[:7] + b"\x02" + head[8:])
    before = path.read_bytes()
    with pytest.raises(StoreVersionError, match="version 2"):
        Journal.open(str(tmp_path))
    assert path.read_bytes() == before
