"""A data plane's writes, recorded, and what a restart finds after a power cut at any place.

`recorded` runs writes of every kind on a real layer and gives the log; `restarted` lays a state out as the
drive and the store were, opens the layer again as a restart does, and says what is wrong: an answered write
that is not there, one that was not answered and is there in part, two tracks that differ.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from crashsim import Log, Recorder, State
from dualtrack.engine import journal
from dualtrack.engine.objects import buckets, staging, trash
from dualtrack.engine.objects.errors import NoSuchKey, ObjectError
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.levels import Level
from dualtrack.engine.objects.types import Attributes
from dualtrack.engine.stores.writing import Writing
from dualtrack.errors import DualTrackError
from layers import STATES, Body, mark, new_drive, opened, sweep

MODULES = (journal, staging, trash, buckets)
STORE = ".dualtrack/store"
SMALL_BLOCK = 4
"""Slots that the journal is allocated by here, so that a state of it is small."""
Contents = dict[str, bytes]
LARGE = 200_000
WRITES: tuple[tuple[str, bytes | None], ...] = (
    ("deep/a", b"small"),
    ("deep/a", b"L" * LARGE),
    ("b", b"M" * LARGE),
    ("b", b"less"),
    ("deep/a", None),
    ("deep/c", b"last"),
)
"""Key and content; None deletes. Between them they create and remove directories and data directories."""
BEFORE: Contents = {"b": b"before", "kept": b"K" * LARGE}


@dataclass(frozen=True, slots=True)
class File:
    """The store as it is durably."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Begun:
    number: int


@dataclass(frozen=True, slots=True)
class Answered:
    number: int


@dataclass(frozen=True, slots=True)
class Written:
    mode: str
    level: Level
    log: Log


@contextmanager
def _running(drive: Path, mode: str, level: Level) -> Iterator[ObjectLayer]:
    with patch.object(journal, "BLOCK_SLOTS", SMALL_BLOCK), opened(drive, mode, level=level) as layer:
        yield layer


def filled(path: Path) -> Path:
    drive = new_drive(path)
    with _running(drive, "fs/1", Level.EVENTUAL) as layer:
        layer.create_bucket("bucket")
        for key, content in BEFORE.items():
            layer.put("bucket", key, Body(content), Attributes())
        layer.drain()
        sweep(layer)
    return drive


def recorded(drive: Path, mode: str, level: Level) -> Written:
    """Open the layer in this mode, write, drain now and then; the end is as abrupt as a power cut."""
    mark(drive, STATES[mode])
    store = drive / STORE
    recorder = Recorder(str(drive), str(store))
    change = Writing._change

    def changing(self: Writing, work: Any) -> Any:
        result = change(self, work)
        recorder.mark(File((store / "data.mdb").read_bytes()))
        return result

    recorder.mark(File((store / "data.mdb").read_bytes()))
    with (
        patch.object(Writing, "_change", changing),
        recorder.watching(*MODULES),
        _running(drive, mode, level) as layer,
    ):
        for number, (key, content) in enumerate(WRITES):
            recorder.mark(Begun(number))
            if content is None:
                layer.delete("bucket", key)
            else:
                layer.put("bucket", key, Body(content), Attributes())
            recorder.mark(Answered(number))
            if number % 2:
                layer.drain()
        log = recorder.log()
    return Written(mode, level, log)


def restarted(written: Written, state: State, drive: Path) -> list[str]:
    """What is wrong with what a restart finds; empty if nothing is."""
    lay_out(state, drive)
    answered = max((each.number for each in state.marks if isinstance(each, Answered)), default=-1)
    begun = max((each.number for each in state.marks if isinstance(each, Begun)), default=-1)
    try:
        return _looked_at(written, drive, answered, [expected(answered), expected(begun)])
    except DualTrackError as error:
        return [f"after write {answered} of {begun}: {error}"]


def _looked_at(written: Written, drive: Path, answered: int, allowed: list[Contents]) -> list[str]:
    with _running(drive, written.mode, written.level) as layer:
        found = contents(layer)
        wrong = []
        if found not in allowed:
            wrong.append(f"after write {answered}: {_differing(found, allowed[0])}")
        layer.drain()
        if (again := contents(layer)) != found:
            wrong.append(f"the drain changed what is there: {_differing(again, found)}")
        return wrong + _unlike(layer, drive, written.mode)


def _unlike(layer: ObjectLayer, drive: Path, mode: str) -> list[str]:
    owner = layer.opened.owner
    assert owner is not None
    if mode == "kv_only":
        return []
    wrong = [f"{place} stays dirty" for place in owner.dirty_places(100)]
    for key in {*BEFORE, *(key for key, _ in WRITES)}:
        row = owner.get("bucket", key)
        path = drive / "bucket" / key / "xl.meta"
        file = path.read_bytes() if path.exists() else b""
        if (row.data if row is not None else b"") != file:
            wrong.append(f"file and row of {key} differ")
    return wrong


def expected(last: int) -> Contents:
    found = dict(BEFORE)
    for key, content in WRITES[: last + 1]:
        if content is None:
            found.pop(key, None)
        else:
            found[key] = content
    return found


def contents(layer: ObjectLayer) -> Contents:
    """Every key that may be there, by GET, and the listing has to say the same."""
    found: Contents = {}
    for key in {*BEFORE, *(key for key, _ in WRITES)}:
        try:
            found[key] = b"".join(layer.read("bucket", key)[1])
        except NoSuchKey:
            continue
    listed = {each.key for each in layer.list_objects("bucket", "", "", "", 100).objects}
    if listed != set(found):
        raise ObjectError(f"listed are {sorted(listed)}, read {sorted(found)}", "bucket")
    return found


def _differing(found: Contents, wanted: Contents) -> str:
    return ", ".join(sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key)))


def lay_out(state: State, drive: Path) -> None:
    """The drive and its store as they are after the power cut."""
    shutil.rmtree(drive, ignore_errors=True)
    drive.mkdir(parents=True)
    for path, data in sorted(state.tree.items()):
        target = drive / path
        if data is None:
            target.mkdir(exist_ok=True)
        else:
            target.write_bytes(data)
            os.utime(target, (1, 1))  # as before the power cut; laid out now, it would be later than its row
    store = drive / STORE
    store.mkdir(parents=True, exist_ok=True)
    file = next(mark for mark in reversed(state.marks) if isinstance(mark, File))
    (store / "data.mdb").write_bytes(file.data)
