"""What a PostgreSQL store promises beyond the contract, on a real server, stopped and misconfigured too."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from dualtrack.engine.rows import NO_FILE, Generation, Row, RowOrigin, RowState
from dualtrack.engine.stores.location import locate
from dualtrack.engine.stores.postgresql.store import PostgresStore
from dualtrack.engine.stores.postgresql.transaction import KEY_LIMIT
from dualtrack.engine.stores.protocol import Batch, Outcome, Put
from dualtrack.errors import (
    FencedError,
    StoreCorruptError,
    StoreError,
    StoreLockedError,
    StoreVersionError,
)
from postgres import Postgres, postgres


@pytest.fixture
def url(postgresql: Postgres) -> str:
    return f"{postgresql.url}&schema=s{uuid.uuid4().hex}"


@pytest.fixture(scope="module")
def own() -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="dtpg") as directory:
        Path(directory).chmod(0o755)
        with postgres(Path(directory) / "pg") as server:
            yield server


@pytest.fixture
def fresh(own: Postgres) -> Iterator[Postgres]:
    """A server that a test may stop and start otherwise."""
    yield own
    own.restart()


def opened(url: str, drive_id: str = "drive-1") -> PostgresStore:
    store = PostgresStore.open(locate(url), drive_id)
    store.open_term()
    return store


def put(key: str, counter: int = 1, data: bytes = b"xl") -> Put:
    generation = Generation(1, counter)
    return Put(
        Row("b", key, generation, RowState.PRESENT, RowOrigin.FS, NO_FILE, 0, 0, 0, 0, data), b"summary"
    )


def schema_of(url: str) -> str:
    return url.rpartition("=")[2]


def test_there_is_one_owner_at_a_time(url: str) -> None:
    store = opened(url)
    with pytest.raises(StoreLockedError, match="owned by another process"):
        opened(url)
    store.close()
    opened(url).close()


def test_each_drive_has_a_schema_of_its_own(postgresql: Postgres, url: str) -> None:
    opened(url).close()
    with pytest.raises(StoreVersionError, match="drive-1"):
        opened(url, "drive-2")
    one, two = (opened(postgresql.url, drive) for drive in ("a-1", "a-2"))
    one.commit(Batch(puts=(put("k"),)))
    assert two.get("b", "k") is None
    one.close()
    two.close()


@pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
def test_a_server_that_may_forget_what_it_acknowledged_is_refused(fresh: Postgres, setting: str) -> None:
    fresh.restart({setting: "off"})
    with pytest.raises(StoreError, match=f"{setting} is off"):
        opened(fresh.url)


def test_a_session_that_does_not_wait_for_the_disk_is_refused(postgresql: Postgres) -> None:
    with pytest.raises(StoreError, match="synchronous_commit is off"):
        opened(f"{postgresql.url}&options=-csynchronous_commit%3Doff")


def test_an_unlogged_table_is_refused(postgresql: Postgres, url: str) -> None:
    opened(url).close()
    with psycopg.connect(postgresql.url, autocommit=True) as connection:
        connection.execute(f"ALTER TABLE {schema_of(url)}.rows SET UNLOGGED")
    with pytest.raises(StoreError, match="rows is unlogged"):
        opened(url)


def test_an_owner_whose_term_has_passed_is_fenced_in_the_transaction(postgresql: Postgres, url: str) -> None:
    zombie = opened(url)
    with psycopg.connect(postgresql.url, autocommit=True) as connection:
        # Its session ends as it would with a lost network: the server forgets the lock, the zombie lives.
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks "
            "WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
        )
    heir = opened(url)
    with pytest.raises(StoreError, match="connection was lost"):
        zombie.commit(Batch(puts=(put("k"),)))
    with pytest.raises(StoreError):
        zombie.commit(Batch(puts=(put("k"),)))
    heir.commit(Batch(puts=(put("k", 2, b"heir"),)))
    with pytest.raises(FencedError, match="taken over"):
        heir.commit(Batch(meta={"term": b"9"})) and heir.commit(Batch(puts=(put("k", 3),)))
    row = heir.get("b", "k")
    assert row is not None
    assert row.data == b"heir"
    heir.close()
    zombie.close()


def test_a_stopped_server_is_an_honest_error_and_what_was_acknowledged_is_there_again(
    fresh: Postgres,
) -> None:
    store = opened(fresh.url)
    assert store.commit(Batch(puts=(put("k"),))).outcomes == (Outcome.APPLIED,)
    fresh.stop()
    for use in (lambda: store.get("b", "k"), lambda: store.commit(Batch(puts=(put("l"),)))):
        with pytest.raises(StoreError) as caught:
            use()
        assert "secret" not in str(caught.value)
    store.close()
    fresh.start()
    store = opened(fresh.url)
    assert [row.key for row in store.scan(None, 10)] == ["k"]
    store.close()


def test_a_wrong_password_is_refused_and_not_repeated(postgresql: Postgres) -> None:
    with pytest.raises(StoreError, match="no connection") as caught:
        opened(postgresql.url.replace("secret", "wrongpass"))
    assert "wrongpass" not in str(caught.value)


def test_the_column_of_generations_bars_a_lower_one_whatever_the_envelope_says(
    postgresql: Postgres, url: str
) -> None:
    store = opened(url)
    store.commit(Batch(puts=(put("k", 1),)))
    with psycopg.connect(postgresql.url, autocommit=True) as connection:
        connection.execute(f"UPDATE {schema_of(url)}.rows SET generation = %s", (Generation(9, 9).pack(),))
    with pytest.raises(StoreCorruptError, match="higher generation"):
        store.commit(Batch(puts=(put("k", 2, b"new"),), meta={"x": b"y"}))
    assert store.meta("x") is None
    store.close()


def test_a_flipped_byte_in_a_table_is_named(postgresql: Postgres, url: str) -> None:
    store = opened(url)
    store.commit(Batch(puts=(put("k", 1, b"xl" * 50),)))
    with psycopg.connect(postgresql.url, autocommit=True) as connection:
        connection.execute(f"UPDATE {schema_of(url)}.rows SET value = set_byte(value, 150, 7)")
    with pytest.raises(StoreCorruptError, match="b/k"):
        store.get("b", "k")
    store.close()


def test_a_key_beyond_the_limit_is_refused_and_nothing_of_its_batch_is_kept(url: str) -> None:
    store = opened(url)
    longest = "k" * (KEY_LIMIT - 2)
    store.commit(Batch(puts=(put(longest),)))
    with pytest.raises(StoreError, match="LMDB or RocksDB"):
        store.commit(Batch(puts=(put("k"), put(longest + "k"))))
    assert [row.key for row in store.scan(None, 10)] == [longest]
    store.close()
