"""A write on the way back from `kv_only` that was cut off: no verb takes the mark that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualtrack.cli.main import main
from dualtrack.engine import confirming
from dualtrack.engine.objects.errors import ObjectError, Unavailable
from dualtrack.engine.objects.fs_track import FsTrack
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.types import Attributes
from dualtrack.engine.rows import Row
from layers import Body, new_drive, opened, sweep

VERBS = [
    ("verify", "--final"),
    ("verify", "--sample-ppm", "1000000"),
    ("validate", "--bucket", "bucket"),
    ("scrub",),
    ("rehearse",),
]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirming, "LOOKS", 3)
    monkeypatch.setattr(confirming, "PAUSE_SECONDS", 0.0)


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    made = new_drive(tmp_path / "drive")
    with opened(made, "fs/1", drain=True) as layer:
        layer.create_bucket("bucket")
        layer.put("bucket", "key", Body(b"old"), Attributes())
        sweep(layer)
    return made


def cut_off(drive: Path, content: bytes) -> None:
    """The row is committed, and the process ends before the file is renamed."""

    def ending(*_: object) -> None:
        raise Unavailable("the process has ended", "bucket", "key")

    with opened(drive, "returning") as layer, pytest.MonkeyPatch.context() as patch:
        patch.setattr(FsTrack, "commit_meta", ending)
        with pytest.raises(ObjectError):
            layer.put("bucket", "key", Body(content), Attributes())


def row_of(layer: ObjectLayer) -> Row:
    owner = layer.opened.owner
    assert owner is not None
    row = owner.get("bucket", "key")
    assert row is not None
    return row


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_verb_without_a_server_leaves_the_key_to_the_server_whose_file_has_to_follow(
    drive: Path, verb: tuple[str, ...]
) -> None:
    """Taken for settled, the restore that has passed the key would not come again, and file and row would
    differ for good."""
    cut_off(drive, b"new")
    where = ("--drive", str(drive), "--store", str(drive / ".dualtrack/store"))
    main(["engine", *verb, *where])
    file = drive / "bucket/key/xl.meta"
    with opened(drive, "returning") as layer:
        owner = layer.opened.owner
        assert owner is not None
        assert file.read_bytes() == row_of(layer).data
        assert b"".join(layer.read("bucket", "key")[1]) == b"new"
        assert owner.info().journal_depth == 0


def test_a_verification_says_that_it_cannot_tell(drive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut_off(drive, b"new")
    where = ("--drive", str(drive), "--store", str(drive / ".dualtrack/store"))
    assert main(["engine", "verify", "--final", *where]) == 50
    assert "start the server, or restore, then verify again" in capsys.readouterr().err
    assert main(["engine", "restore", *where]) == 0
    assert main(["engine", "verify", *where]) == 0, "the restore has brought the file up to the row"
