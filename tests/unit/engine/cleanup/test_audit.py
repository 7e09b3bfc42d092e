"""Every verb that takes something away or moves a truth has entries before and after it in the audit.

One drive goes the whole way, at the real command line: each verb first without an audit that can be written,
then killed in the middle, then to its end.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dualtrack.cli.main import main
from dualtrack.engine import files, marker
from dualtrack.engine.history import State, history

Bench = Any

_KILLED = """
import importlib, os, signal, sys
from dualtrack.cli.main import main
module, _, name = sys.argv[1].rpartition(":")
owner = importlib.import_module(module)
*above, name = name.split(".")
for each in above:
    owner = getattr(owner, each)
setattr(owner, name, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
main(sys.argv[2:])
"""


@dataclass(frozen=True, slots=True)
class Verb:
    """`dies_at`: the function in the middle of it in which it is killed, and `cut` the entry that has then no
    end; `recorded`: all its entries.
    """

    words: str
    dies_at: str
    cut: str
    recorded: tuple[str, ...]
    undo: str


WAY = (
    Verb(
        "mark --state DualWrite",
        "dualtrack.engine.marker:write",
        "move marker",
        ("move marker",),
        "mark --state FsAuthoritative",
    ),
    Verb(
        "repair --strategy sync-to-kv",
        "dualtrack.engine.repair.apply:_Run.batch",
        "repair sync-to-kv",
        ("repair sync-to-kv",),
        "repair undo whole",
    ),
    Verb(
        "repair undo whole",
        "dualtrack.engine.repair.undo:_Undoing.batch",
        "repair undo",
        ("repair undo",),
        ".replaced",
    ),
    Verb("rebuild", "dualtrack.engine.replacing:swap", "rebuild", ("rebuild",), "store.replaced-"),
    Verb(
        "cleanup hold --server-stopped",
        "dualtrack.engine.cleanup.hold:_settle",
        "cleanup hold",
        ("move marker", "hold format.json", "cleanup hold"),
        "restore",
    ),
    Verb(
        "snapshot --to SNAPSHOT",
        "dualtrack.engine.snapshot:_swap",
        "snapshot",
        ("snapshot",),
        "none: the copy",
    ),
    Verb(
        "cleanup purge --server-stopped --accept-same-device --snapshot SNAPSHOT",
        "dualtrack.engine.cleanup.purge:_purge_batch",
        "cleanup purge",
        ("move marker", "cleanup purge"),
        "restore",
    ),
    Verb(
        "cleanup directories --server-stopped",
        "dualtrack.engine.cleanup.directories:_remove_batch",
        "cleanup directories",
        ("cleanup directories",),
        "restore",
    ),
    Verb(
        "restore",
        "dualtrack.engine.restore:_verify",
        "restore",
        ("restore", "give back format.json", "move marker"),
        ".dualtrack/undo/",
    ),
)


@contextmanager
def unwritable(code: int) -> Iterator[None]:
    def fail(descriptor: int, data: bytes) -> None:
        raise OSError(code, os.strerror(code))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(files, "append", fail)
        yield


@dataclass(slots=True)
class Watched:
    """A drive, the command line on it, and the entries of its audit that were not looked at yet."""

    bench: Bench
    folder: Path
    seen: int = 0

    @property
    def where(self) -> list[str]:
        return ["--drive", str(self.bench.drive), "--result-file", str(self.folder / "result.json")]

    def words(self, verb: str, run: str) -> list[str]:
        named = verb.replace("SNAPSHOT", str(self.folder / "snapshot")).split()
        return ["engine", *named, *self.where, "--run-id", run]

    def result(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads((self.folder / "result.json").read_bytes())
        return told

    def fresh(self) -> list[tuple[str, State]]:
        found = history(str(self.bench.drive))
        assert found.faults == ()
        steps = [(str(each.begun["verb"]), each.state) for each in found.steps[self.seen :]]
        self.seen = len(found.steps)
        return steps


def state(bench: Bench) -> tuple[object, ...]:
    """All that a verb might take away, and the marker."""
    control = bench.drive / ".dualtrack"
    stores = sorted(name for name in os.listdir(control) if name.startswith("store"))
    return bench.tree(), bench.held(), marker.read(str(bench.drive)), stores


def touch(bench: Bench) -> None:
    """From now on a repair has something to do."""
    os.utime(bench.drive / bench.metas()[0] / "xl.meta", ns=(1, 1))


def test_every_step_of_the_whole_way_is_in_the_audit(
    copies: Callable[[Path], Bench], migrated_tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drive = Watched(copies(migrated_tiny), tmp_path)
    touch(drive.bench)
    for verb in WAY:
        if verb.cut == "cleanup hold":
            assert main(drive.words("verify", "verify")) == 0
            assert drive.fresh() == [("verify", State.DONE)]
        refused_without_an_audit(drive, verb)
        killed = [sys.executable, "-c", _KILLED, verb.dies_at, *drive.words(verb.words, "killed")]
        assert subprocess.run(killed, capture_output=True).returncode == -signal.SIGKILL, verb
        cut = drive.fresh()
        assert cut[-1] == (verb.cut, State.INTERRUPTED)

        capsys.readouterr()
        assert main(drive.words(verb.words, "whole")) == 0, verb
        told = drive.result()
        assert "were cut off" in capsys.readouterr().err
        assert told["interrupted"][0].startswith(f"{verb.cut} of run killed")
        assert verb.undo in told["undo"]
        done = drive.fresh()
        assert {state for _, state in done} == {State.DONE}
        assert tuple(name for name, _ in cut[:-1] + done) == verb.recorded
        assert told["audit"] in history(str(drive.bench.drive)).anchors


def refused_without_an_audit(drive: Watched, verb: Verb) -> None:
    before = state(drive.bench)
    with unwritable(errno.ENOSPC):
        assert main(drive.words(verb.words, "refused")) == 40, verb
    assert "audit" in drive.result()["message"]
    assert state(drive.bench) == before
    assert drive.fresh() == []


def test_a_sweep_goes_on_without_an_audit_but_buries_nothing(
    copies: Callable[[Path], Bench], migrated_tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drive = Watched(copies(migrated_tiny), tmp_path)
    with unwritable(errno.ENOSPC):
        assert main(drive.words("migrate", "first")) == 0
    assert "goes on without an entry" in capsys.readouterr().err
    shutil.rmtree(drive.bench.drive / drive.bench.metas()[0])
    with unwritable(errno.ENOSPC):
        assert main(drive.words("migrate", "second")) == 40
    assert drive.fresh() == []
    assert main(drive.words("migrate", "third")) == 0
    assert drive.fresh() == [("migrate", State.DONE), ("tombstone", State.DONE)]
    assert drive.result()["counts"]["tombstones"] == 1


def test_waivers_and_retries_are_in_the_audit(
    copies: Callable[[Path], Bench], migrated_tiny: Path, tmp_path: Path
) -> None:
    drive = Watched(copies(migrated_tiny), tmp_path)
    name = drive.bench.metas()[0]
    (drive.bench.drive / name / "xl.meta").write_bytes(b"XL2 nothing")
    sha = hashlib.sha256(b"XL2 nothing").hexdigest()
    main(drive.words("migrate", "sweep"))
    drive.fresh()
    waive = f"quarantine waive --object {name} --sha256 {sha} --reason known"
    with unwritable(errno.ENOSPC):
        assert main(drive.words(waive, "refused")) == 40
        assert main(drive.words("quarantine retry", "refused")) == 40
    assert main(drive.words(waive, "r1")) == 0
    assert drive.result()["undo"].endswith("waive --withdraw")
    assert main(drive.words(f"quarantine waive --withdraw --object {name}", "r2")) == 0
    assert main(drive.words("quarantine retry", "r3")) == 50
    assert drive.fresh() == [
        ("quarantine waive", State.DONE),
        ("withdraw waivers", State.DONE),
        ("quarantine retry", State.FAILED),
    ]
    waived = history(str(drive.bench.drive)).steps[-3].begun["arguments"]
    assert (waived["object"], waived["sha256"], waived["reason"]) == ([name], sha, "known")


def test_a_dry_run_leaves_no_entry(
    copies: Callable[[Path], Bench], migrated_tiny: Path, tmp_path: Path
) -> None:
    drive = Watched(copies(migrated_tiny), tmp_path)
    for words in (
        "migrate",
        "mark --state DualWrite",
        "repair --strategy use-fs",
        "rebuild",
        "snapshot --to SNAPSHOT",
        "cleanup hold --server-stopped",
    ):
        assert main([*drive.words(words, "dry"), "--dry-run"]) == 0, words
    assert drive.fresh() == []
    assert not (tmp_path / "snapshot").exists()


def test_history_is_a_table_of_who_did_what(
    copies: Callable[[Path], Bench], migrated_tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drive = Watched(copies(migrated_tiny), tmp_path)
    assert main(drive.words("mark --state DualWrite", "the-run")) == 0
    shutil.rmtree(drive.bench.drive / ".minio.sys")  # a disaster: the drive itself cannot be opened
    capsys.readouterr()
    assert main(["engine", "history", "--drive", str(drive.bench.drive)]) == 0
    (row,) = capsys.readouterr().out.splitlines()
    number, began, ended, how, verb, run, by, told = row.split("\t")
    assert (number, how, verb, run) == ("1", "done", "move marker", "the-run")
    assert began <= ended
    assert by.endswith("@" + os.uname().nodename)
    assert told == "undo: dualtrack engine mark --state FsAuthoritative"
    assert main(["engine", "history", "--drive", str(drive.bench.drive), "--format", "jsonl"]) == 0
    step = json.loads(capsys.readouterr().out)
    assert (step["state"], step["arguments"]) == (
        "done",
        {"old": "FsAuthoritative", "new": "DualWrite"},
    )
    assert main(["engine", "history", "--drive", str(tmp_path / "typo")]) == 20
