"""What `--store` may say, what it must not, and what is never repeated of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualtrack.engine.stores.location import Driver, locate
from dualtrack.engine.stores.opening import open_store
from dualtrack.errors import StoreError, UsageError

URL = "postgresql://ada:hidden@db.example:5432/meta?sslmode=require&sslpassword=hidden&replicated=true&schema=s1"


def test_a_directory_is_lmdb_unless_a_rocksdb_store_lies_there(tmp_path: Path) -> None:
    assert locate(f"{tmp_path}/new").driver is Driver.LMDB
    assert not locate(f"{tmp_path}/new").exists()
    open_store(locate(f"rocksdb:{tmp_path}/rocks")).close()
    open_store(locate(f"{tmp_path}/plain"), map_size=1 << 24).close()
    assert locate(f"{tmp_path}/rocks").driver is Driver.ROCKSDB
    assert locate(f"{tmp_path}/plain").driver is Driver.LMDB
    assert locate(f"{tmp_path}/rocks").exists()
    assert locate(f"{tmp_path}/plain").exists()


def test_one_directory_never_holds_two_kinds_of_store(tmp_path: Path) -> None:
    open_store(locate(f"{tmp_path}/plain"), map_size=1 << 24).close()
    with pytest.raises(UsageError, match="holds an LMDB store"):
        locate(f"rocksdb:{tmp_path}/plain")
    open_store(locate(f"rocksdb:{tmp_path}/rocks")).close()
    (tmp_path / "rocks" / "data.mdb").touch()
    with pytest.raises(UsageError, match="an LMDB store and a RocksDB store"):
        locate(f"{tmp_path}/rocks")
    with pytest.raises(UsageError, match="no directory"):
        locate("rocksdb:")


def test_a_database_keeps_its_secrets(tmp_path: Path) -> None:
    location = locate(URL, str(tmp_path))
    assert (location.driver, location.schema, location.replicated) == (Driver.POSTGRESQL, "s1", True)
    assert location.url == "postgresql://ada:hidden@db.example:5432/meta?sslmode=require&sslpassword=hidden"
    assert location.directory == f"{tmp_path}/.dualtrack/store"
    assert "hidden" not in str(location)
    assert "hidden" not in repr(location)
    again = locate(str(location), str(tmp_path))
    assert (again.driver, again.schema, again.replicated) == (Driver.POSTGRESQL, "s1", True)


def test_replication_is_believed_only_where_it_is_declared() -> None:
    assert not locate("postgresql://db/meta").replicated
    with pytest.raises(UsageError, match="true or false"):
        locate("postgresql://db/meta?replicated=yes")


def test_a_database_that_is_not_there_is_an_error_without_its_password() -> None:
    with pytest.raises(StoreError, match=r"ada@127\.0\.0\.1") as caught:
        open_store(locate("postgresql://ada:hidden@127.0.0.1:1/meta"), "drive-1")
    assert "hidden" not in str(caught.value)
    assert caught.value.__cause__ is None
    with pytest.raises(UsageError, match="schema=NAME"):
        open_store(locate("postgresql://ada:hidden@127.0.0.1:1/meta"))
