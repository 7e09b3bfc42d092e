"""Repairs and waivers on a set: of the drive that differs, with all drives named, and back again.

A row is right for its own drive alone. What is mended on one drive changes no other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dualtrack.cli.main import main
from dualtrack.engine import confirming
from dualtrack.engine.drive import Drive
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.owner import Owner, OwnerSettings
from dualtrack.errors import DifferenceError, IncompleteError, RefusedError, UsageError
from layers import mark
from planting import PLANTS
from sets import State, engine, metas, state

PLACE = ("unv", "new")
DIFFERENT, REFUSED, USAGE = DifferenceError.exit_code, RefusedError.exit_code, UsageError.exit_code
WAYS = [
    ("sync-to-kv", "stale row", ()),
    ("sync-to-kv", "flipped byte", ()),
    ("use-fs", "stale row", ()),
    ("sync-to-fs", "stale row", ("--accept-newer", "--server-stopped")),
    ("sync-to-fs", "extra row", ("--server-stopped",)),
    ("use-kv", "stale row", ("--server-stopped",)),
]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirming, "PAUSE_SECONDS", 0.001)


@pytest.fixture
def stale(drives: Callable[[str], Path]) -> list[Path]:
    """Four drives, of which the last was away for a while."""
    return sorted(drives("minio-4d-stale").glob("d?"))


def owner_of(drive: Path) -> Owner:
    store = str(drive / ".dualtrack/store")
    return Owner.open(str(drive), store, OwnerSettings(drive_id=Drive.open(str(drive)).drive_id))


def plant(drive: Path, kind: str) -> None:
    owner = owner_of(drive)
    try:
        PLANTS[kind][0](drive, owner, PLACE)
    finally:
        owner.close()


def rows(drive: Path) -> dict[tuple[str, str], tuple[object, ...]]:
    owner = owner_of(drive)
    try:
        found = owner.scan(None, 1_000)
        return {(row.bucket, row.key): (row.state, row.data, row.mode, row.mtime_ns) for row in found}
    finally:
        owner.close()


def everything(drives: list[Path]) -> list[tuple[State, object]]:
    return [({name: what[0::4] for name, what in state(drive).items()}, rows(drive)) for drive in drives]


@pytest.mark.parametrize(("strategy", "kind", "words"), WAYS)
def test_the_drive_that_differs_is_mended_and_given_back(
    stale: list[Path], strategy: str, kind: str, words: tuple[str, ...]
) -> None:
    final = ("--final",) if strategy == "use-kv" else ()
    assert engine("migrate", stale) == 0
    assert engine("verify", stale, "--accept-deviations") == 0
    plant(stale[1], kind)
    for drive in stale if final else ():
        mark(drive, MarkerState.KV_ONLY, epoch=0)
    before = everything(stale)
    assert engine("verify", stale, "--accept-deviations", *final) == DIFFERENT
    assert engine("repair", stale, "--strategy", strategy, "--run-id", "r", *words) == 0
    after = everything(stale)
    assert [number for number in range(4) if after[number] != before[number]] == [1]
    if strategy == "use-kv":
        assert not stale[1].joinpath(*PLACE, "xl.meta").exists()
        assert engine("verify", stale, "--accept-deviations", *final) == 0
    elif strategy != "use-fs":
        assert engine("verify", stale, "--accept-deviations") == 0
    assert engine("repair undo r", stale, *(each for each in words if each == "--server-stopped")) == 0
    assert everything(stale) == before


def test_no_drive_is_repaired_where_one_of_them_refuses(
    stale: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The last drive was migrated and never verified: what differs from its store proves nothing."""
    assert engine("migrate", stale) == 0
    assert engine("verify", stale[:3], "--accept-deviations") == 0
    plant(stale[0], "stale row")
    before = everything(stale)
    assert engine("repair", stale, "--strategy", "sync-to-kv") == REFUSED
    assert "may be new, or rebuilt" in capsys.readouterr().err
    assert everything(stale) == before


def test_a_waived_file_of_one_drive_stays_and_the_others_go_all_the_way(
    stale: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    broken = stale[0].joinpath(*PLACE, "xl.meta")
    broken.write_bytes(b"XL2 damaged")
    digest = hashlib.sha256(b"XL2 damaged").hexdigest()
    before = [state(drive) for drive in stale]
    assert engine("migrate", stale) == 0
    assert engine("verify", stale, "--accept-deviations") == IncompleteError.exit_code
    assert engine("cleanup hold", stale, "--server-stopped") == REFUSED
    assert all(not Drive.open(str(drive)).held for drive in stale)
    waiver = ("--object", "/".join(PLACE), "--sha256", digest, "--reason", "the other drives have it")
    assert engine("quarantine waive", stale, *waiver) == USAGE
    assert "name that --drive alone" in capsys.readouterr().err
    assert engine("quarantine waive", stale[:1], *waiver) == 0
    assert engine("verify", stale, "--accept-deviations") == 0
    assert engine("cleanup hold", stale, "--server-stopped") == 0
    assert metas(stale) == [broken]
    capsys.readouterr()
    named = [word for drive in stale for word in ("--store", str(drive / ".dualtrack/store"))]
    assert main(["engine", "find", *named, "unv", "--name", PLACE[1], "--format", "jsonl"]) == 0
    assert [json.loads(line)["key"] for line in capsys.readouterr().out.splitlines()] == [PLACE[1]]
    assert engine("restore", stale) == 0
    assert [state(drive) for drive in stale] == before
