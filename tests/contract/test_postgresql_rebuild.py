"""A store in a database made anew from the drive: built in a second schema and swapped in one transaction."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import psycopg
import pytest

from dualtrack.cli.main import main
from dualtrack.engine import rebuild_schema
from dualtrack.engine.drive import Drive
from dualtrack.engine.owner import Owner, OwnerSettings
from dualtrack.engine.stores.protocol import Batch
from dualtrack.errors import StoreError, StoreLockedError, StoreVersionError, UsageError
from postgres import Postgres
from smalldrive import small_bench


class Site:
    """A drive and its schema."""

    def __init__(self, drive: Path, server: Postgres) -> None:
        self.drive = drive
        self.server = server
        self.schema = f"s{uuid.uuid4().hex[:12]}"
        self.url = f"{server.url}&schema={self.schema}"

    def run(self, verb: str, *more: str) -> int:
        return main(["engine", verb, "--drive", str(self.drive), "--store", self.url, *more])

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.server.url, autocommit=True, client_encoding="utf8") as connection:
            found = connection.execute(statement.format(schema=self.schema))  # type: ignore[arg-type]
            return found.fetchall() if found.description else []

    def schemas(self) -> list[str]:
        found = self.sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE '{schema}%'")
        return sorted(str(name) for (name,) in found)

    def owner(self) -> Owner:
        return Owner.open(str(self.drive), self.url, OwnerSettings(drive_id=Drive.open(self.drive).drive_id))

    def state(self) -> tuple[str, bytes | None]:
        owner = self.owner()
        try:
            return str(owner.digest()), owner.meta("store_uuid")
        finally:
            owner.close()


@pytest.fixture
def site(minio_drive: Path, postgresql: Postgres, tmp_path: Path) -> Site:
    made = Site(small_bench(minio_drive, tmp_path, 24).drive, postgresql)
    assert made.run("migrate") == 0
    owner = made.owner()
    owner.commit(Batch(meta={"mine/x": b"kept"}))
    owner.close()
    return made


def test_it_takes_the_place_of_a_damaged_one_which_is_kept_and_not_opened(site: Site, tmp_path: Path) -> None:
    before = site.state()
    site.sql("UPDATE {schema}.rows SET value = value || 'x'::bytea")
    with pytest.raises(StoreError):
        site.state()
    assert site.run("rebuild", "--result-file", str(tmp_path / "result")) == 0
    assert site.state() == before
    owner = site.owner()
    assert owner.meta("mine/x") == b"kept"
    owner.close()
    assert site.run("verify") == 0
    kept, current = sorted(site.schemas(), key=lambda name: name == site.schema)
    assert current == site.schema
    result = json.loads((tmp_path / "result").read_text())
    assert result["kept"] == f"schema {kept}"
    assert result["undo"].startswith(f"rename schema {kept} ")
    with pytest.raises(StoreVersionError, match="replaced"):
        Owner.open(None, f"{site.server.url}&schema={kept}", OwnerSettings())


def test_a_lost_schema_is_made_anew(site: Site) -> None:
    digest = site.state()[0]
    site.sql("DROP SCHEMA {schema} CASCADE")
    assert site.run("rebuild") == 0
    assert site.state()[0] == digest
    assert site.schemas() == [site.schema]


def test_a_dry_run_leaves_everything_as_it_was(site: Site) -> None:
    before = site.state()
    assert site.run("rebuild", "--dry-run") == 0
    assert site.state() == before
    assert site.schemas() == [site.schema]


def test_cut_off_before_the_swap_it_begins_anew(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    class Cut(BaseException):
        pass

    def cut(*_: object) -> None:
        raise Cut

    before = site.state()
    with monkeypatch.context() as patch:
        patch.setattr(rebuild_schema, "swap", cut)
        with pytest.raises(Cut):
            site.run("rebuild")
    assert site.schemas() == [site.schema, f"{site.schema}_rebuild"]
    assert site.state() == before
    assert site.run("rebuild") == 0
    assert site.state() == before
    assert len(site.schemas()) == 2
    assert f"{site.schema}_rebuild" not in site.schemas()


def test_it_is_all_or_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second rename fails: neither has happened."""
    before = site.state()
    monkeypatch.setattr(rebuild_schema, "_kept", lambda schema, now: f"{schema}_rebuild")
    assert site.run("rebuild") == StoreError.exit_code
    assert site.schemas() == [site.schema, f"{site.schema}_rebuild"]
    assert site.state() == before


def test_another_schema_of_that_name_and_an_owner_at_work_are_left_alone(site: Site) -> None:
    owner = site.owner()
    assert site.run("rebuild") == StoreLockedError.exit_code
    owner.close()
    site.sql("CREATE SCHEMA {schema}_rebuild")
    site.sql("CREATE TABLE {schema}_rebuild.rows ()")
    assert site.run("rebuild") == StoreError.exit_code
    assert site.schemas() == [site.schema, f"{site.schema}_rebuild"]


def test_a_name_that_leaves_no_room_is_refused(site: Site) -> None:
    site.url = f"{site.server.url}&schema={'s' * 50}"
    assert site.run("rebuild") == UsageError.exit_code


def test_a_dry_run_of_migrate_makes_no_schema(site: Site) -> None:
    before = site.schemas()
    other = Site(site.drive, site.server)
    assert other.run("migrate", "--dry-run") == 0
    assert other.schemas() == []
    assert site.run("migrate", "--dry-run") == 0
    assert site.schemas() == before
