"""A server that writes files with no marks: what it leaves alone, and what nobody may believe meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dualtrack.cli.main import main
from dualtrack.engine import files
from dualtrack.engine.journal import Journal
from dualtrack.engine.objects.intents import Intent, file_there
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.types import Attributes
from dualtrack.engine.owner import Owner, OwnerSettings
from layers import Body, new_drive, opened, sweep

FALLBACK = "kv_primary/1/true"


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    drive = new_drive(tmp_path / "drive")
    with opened(drive, "fs/1") as layer:
        layer.create_bucket("bucket")
        put(layer, b"first")
        layer.drain()
        sweep(layer)
    return drive


def put(layer: ObjectLayer, content: bytes) -> None:
    layer.put("bucket", "key", Body(content), Attributes())


def get(layer: ObjectLayer) -> bytes:
    return b"".join(layer.read("bucket", "key")[1])


def own(drive: Path) -> Owner:
    """As a verb does that is told of no server, or finds no socket of one."""
    return Owner.open(str(drive), str(drive / ".dualtrack/store"), OwnerSettings())


def test_the_intent_of_a_living_owner_is_left_to_it(drive: Path) -> None:
    """Carried out twice, a deletion could take the object that was written after it."""
    with opened(drive, FALLBACK) as layer:
        owner, fs = layer.opened.owner, layer.opened.fs
        assert owner is not None
        before = file_there(fs, "bucket", "key")
        owner.intend("bucket", "key", Intent("", before).pack())
        with opened(drive, "fs/1") as second:
            assert second.opened.owner is None
            assert file_there(fs, "bucket", "key") == before


def test_the_intent_of_an_owner_that_is_gone_is_carried_out_by_a_server_without_a_store(drive: Path) -> None:
    with opened(drive, FALLBACK) as layer:
        owner = layer.opened.owner
        assert owner is not None
        before = file_there(layer.opened.fs, "bucket", "key")
        owner.intend("bucket", "key", Intent("", before).pack())
    lock = files.lock_file(str(drive / ".dualtrack/store/owner.lock"))  # a rebuild that is under way
    assert lock is not None
    with opened(drive, "fs/1") as second:
        assert second.opened.owner is None
        assert file_there(second.opened.fs, "bucket", "key") is None
    os.close(lock)


def test_rows_are_not_believed_while_somebody_writes_files_without_marks(drive: Path) -> None:
    """`rebuild` and `migrate` beside a degraded server, which is started again only after both."""
    lock = files.lock_file(str(drive / ".dualtrack/store/owner.lock"))
    assert lock is not None
    with opened(drive, FALLBACK) as degraded:
        assert degraded.opened.owner is None
        os.close(lock)
        assert main(["engine", "migrate", "--drive", str(drive)]) == 0
        put(degraded, b"second, with no mark")
    with opened(drive, FALLBACK) as layer:
        assert get(layer) == b"second, with no mark"
        owner = layer.opened.owner
        assert owner is not None
        assert owner.info().degraded
        sweep(layer)
        assert not owner.info().degraded
        assert get(layer) == b"second, with no mark"


def test_an_epoch_that_breaks_twice_is_told_until_a_sweep(drive: Path) -> None:
    for _ in range(2):
        journal = Journal.open(str(drive / ".dualtrack"))
        journal.break_epoch()
        journal.close()
        owner = own(drive)
        assert owner.info().degraded
        owner.close()
    with opened(drive, FALLBACK) as layer:
        sweep(layer)
        assert layer.acknowledgement()["degraded"] is False


def test_a_server_beside_one_that_marks_nothing_answers_from_files(drive: Path) -> None:
    lock = files.lock_file(str(drive / ".dualtrack/store/owner.lock"))
    assert lock is not None
    with opened(drive, FALLBACK) as degraded:
        os.close(lock)
        with opened(drive, FALLBACK) as layer:
            assert layer.opened.owner is not None
            assert layer.opened.degraded
            sweep(layer)
            put(degraded, b"second, with no mark")
            assert get(layer) == b"second, with no mark"


def test_an_owner_tells_of_a_server_that_came_beside_it(drive: Path) -> None:
    owner = own(drive)
    assert not owner.info().degraded
    with opened(drive, "fs/1") as second:
        assert second.opened.owner is None
        assert owner.info().degraded
    owner.close()
