"""Repair beside a data plane that owns the store: over its socket, under its locks, while it serves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dualtrack.cli.main import main
from dualtrack.engine import confirming, server
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.types import Attributes
from dualtrack.engine.owner import Owner
from dualtrack.engine.repair import undo
from dualtrack.errors import OwnerError
from layers import Body, new_drive, opened, sweep
from planting import PLANTS

KEYS = [f"k{number}" for number in range(12)]
CHANGED = ("bucket", "k3")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirming, "PAUSE_SECONDS", 0.001)


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Path]:
    """A drive whose objects are on both tracks."""
    path = new_drive(tmp_path / "drive")
    with opened(path, "fs/1", drain=True) as layer:
        layer.create_bucket("bucket")
        for key in KEYS:
            layer.put("bucket", key, Body(key.encode() * 5), Attributes())
        sweep(layer)
    return path


def engine(drive: Path, *words: str) -> int:
    where = ("--drive", str(drive), "--store", str(drive / ".dualtrack/store"), "--client-only")
    return main(["engine", *words, *where])


def owner_of(layer: ObjectLayer) -> Owner:
    assert layer.opened.owner is not None
    return layer.opened.owner


def content(layer: ObjectLayer, key: str) -> bytes:
    return b"".join(layer.read("bucket", key)[1])


@pytest.mark.parametrize("mode", ["fs/1", "kv_primary/1/true"])
def test_a_row_is_mended_and_taken_back_while_the_server_writes(drive: Path, mode: str) -> None:
    with opened(drive, mode, drain=True, socket=True) as layer:
        assert engine(drive, "verify") == 0
        PLANTS["flipped byte"][0](drive, owner_of(layer), CHANGED)
        assert engine(drive, "verify") == 51
        assert engine(drive, "repair", "--strategy", "sync-to-kv", "--run-id", "r1") == 0
        layer.put("bucket", "k4", Body(b"meanwhile"), Attributes())
        assert engine(drive, "verify") == 0
        assert engine(drive, "repair", "undo", "r1") == 0
        assert engine(drive, "verify") == 51
        assert engine(drive, "repair", "--strategy", "sync-to-kv") == 0
        assert content(layer, "k3") == b"k3" * 5


def test_a_file_is_written_from_its_row_and_the_server_serves_it(drive: Path) -> None:
    """What a power cut took from the files and the store still has (H8)."""
    with opened(drive, "fs/1", drain=True, socket=True) as layer:
        assert engine(drive, "verify") == 0
        (drive / "bucket" / "k3" / "xl.meta").unlink()
        assert engine(drive, "repair", "--strategy", "sync-to-fs", "--run-id", "r1") == 0
        assert content(layer, "k3") == b"k3" * 5
        assert engine(drive, "verify") == 0
        assert engine(drive, "repair", "undo", "r1") == 0
        assert not (drive / "bucket" / "k3" / "xl.meta").exists()


def test_in_kv_only_a_foreign_file_is_moved_aside_and_the_row_goes_on_answering(drive: Path) -> None:
    with opened(drive, "kv_only", drain=True, socket=True) as layer:
        assert engine(drive, "verify", "--final") == 0
        PLANTS["stale row"][0](drive, owner_of(layer), CHANGED)
        changed = (drive / "bucket" / "k3" / "xl.meta").read_bytes()
        assert engine(drive, "verify", "--final") == 51
        assert engine(drive, "repair", "--strategy", "sync-to-kv") == 41
        assert engine(drive, "repair", "--strategy", "use-kv", "--run-id", "r1") == 0
        assert not (drive / "bucket" / "k3" / "xl.meta").exists()
        assert content(layer, "k3") == b"k3" * 5
        assert engine(drive, "verify", "--final") == 0
        assert engine(drive, "repair", "undo", "r1") == 0
        assert (drive / "bucket" / "k3" / "xl.meta").read_bytes() == changed


def test_use_kv_is_refused_where_the_server_still_reads_files(drive: Path) -> None:
    with opened(drive, "kv_primary/1/true", drain=True, socket=True) as layer:
        assert engine(drive, "verify") == 0
        PLANTS["stale row"][0](drive, owner_of(layer), CHANGED)
        assert engine(drive, "repair", "--strategy", "use-kv") == 41
        assert (drive / "bucket" / "k3" / "xl.meta").exists()
        assert engine(drive, "repair", "--strategy", "use-fs") == 51, "a retired row would hide the object"


def test_quarantine_and_validate_ask_the_server(drive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--drive", str(drive), "--store", str(drive / ".dualtrack/store"), "--client-only")
    with opened(drive, "fs/1", drain=True, socket=True):
        assert engine(drive, "validate", "--bucket", "bucket") == 0
        (drive / "bucket" / "k3" / "xl.meta").write_bytes(b"XL2 nothing")
        assert engine(drive, "migrate") == 0
        assert main(["engine", "quarantine", "list", *where]) == 0
        assert "bucket/k3" in capsys.readouterr().out
        assert engine(drive, "quarantine", "retry") == 50
        assert engine(drive, "verify") == 0, "whether it is waived is the operator's to judge"
        assert engine(drive, "validate", "--bucket", "bucket", "--key", "k3") == 51


def test_an_undo_whose_lease_ran_out_leaves_what_was_written_since(
    drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at an object and the change of its file the locks may have gone to somebody else."""
    path = drive / "bucket" / "k3" / "xl.meta"
    with opened(drive, "fs/1", drain=True, socket=True) as layer:
        before = path.read_bytes()
        layer.put("bucket", "k3", Body(b"the row has this"), Attributes())
        assert engine(drive, "verify") == 0
        path.write_bytes(before)
        assert engine(drive, "verify") == 51
        repair = "repair", "--strategy", "sync-to-fs", "--accept-newer", "--run-id", "r1"
        assert engine(drive, *repair) == 0
        assert content(layer, "k3") == b"the row has this"

        judged = undo._way

        def slow(*asked: Any) -> Any:
            found = judged(*asked)
            layer.put("bucket", "k3", Body(b"written since"), Attributes())  # once the lease has run out
            return found

        monkeypatch.setattr(undo, "_way", slow)
        monkeypatch.setattr(server, "LEASE_SECONDS", 0.3)
        assert engine(drive, "repair", "undo", "r1") == OwnerError.exit_code
        assert content(layer, "k3") == b"written since"
