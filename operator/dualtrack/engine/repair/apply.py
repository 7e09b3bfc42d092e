"""A repair's changes, a batch at a time: write down, change files, commit rows.

A batch is done under its objects' stripe locks: they are read and judged afresh → what an undo needs is made
durable, files first, then the record in the store → files are moved, linked and written, each with its
directory flushed → all rows of the batch are committed in one transaction with the count of repairs. Cut off
anywhere, the next run finds what still differs and repairs that; what is equal it leaves alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from dualtrack.engine import files, naming, renaming
from dualtrack.engine.confirming import Confirmation
from dualtrack.engine.drafts import settle_journal
from dualtrack.engine.formats import xlmeta
from dualtrack.engine.judging import Evidence, judge
from dualtrack.engine.listing import Found
from dualtrack.engine.marker import CONTROL
from dualtrack.engine.metafile import MetaFile, MetaReader
from dualtrack.engine.objects.kv_track import draft_of
from dualtrack.engine.pairing import read_many
from dualtrack.engine.put_back import Writer, kept_of_exchange
from dualtrack.engine.repair import plan, records
from dualtrack.engine.repair.outcome import (
    has_other_name,
    meta_name,
    needed_directories,
    row_after,
    sound_draft,
    versions_of,
)
from dualtrack.engine.repair.plan import Cap
from dualtrack.engine.repair.records import REPAIRS, Audit, Repaired
from dualtrack.engine.repair.strategies import Action, Choice, Setting, Strategy, choose
from dualtrack.engine.rows import Generation, Row
from dualtrack.engine.stores.protocol import Outcome, Place, Put
from dualtrack.engine.summary import summary
from dualtrack.engine.task import Task
from dualtrack.errors import DifferenceError, FormatError, IncompleteError

BATCH = 32
_BELIEVING_ROWS = (Action.WRITE_FILE, Action.HOLD_FILE, Action.KEEP_ROW)


@dataclass(frozen=True, slots=True)
class _Change:
    record: Repaired
    action: Action
    seen: Evidence


def repair(
    task: Task,
    strategy: Strategy,
    named: Sequence[Place] = (),
    cap: Cap | None = None,
    *,
    accept_newer: bool = False,
) -> None:
    """Repair what differs, of the named objects or of all. `DifferenceError` names what was refused."""
    plan.require(task, strategy)
    settle_journal(task)
    info = task.owner.info()
    confirmation = Confirmation(task, info.trust_floor, final=strategy is Strategy.USE_KV)
    places = plan.differing(task, confirmation, cap or Cap(), named)
    setting = Setting(strategy, info.trust_floor, info.engine in ("", "fs"), accept_newer)
    task.total = len(places)
    began = task.now().isoformat(timespec="seconds")
    audit = Audit(task.fence, task.run_id, f"repair {strategy}", began, len(places))
    records.require_free(task.owner, audit)
    with task.recorded(audit.verb, f"dualtrack engine repair undo {task.run_id}", objects=_names(places)):
        _repair(task, audit, places, confirmation, setting)


def _repair(
    task: Task, audit: Audit, places: Sequence[Place], confirmation: Confirmation, setting: Setting
) -> None:
    task.commit(meta={audit.meta_name: audit.pack()})
    run = _Run(task, confirmation, setting)
    for start in range(0, len(places), BATCH):
        task.checkpoint()
        run.batch(places[start : start + BATCH])
    now = task.now().isoformat(timespec="seconds")
    ended = replace(audit, objects=task.committed, state="done", ended=now)
    task.commit(meta={ended.meta_name: ended.pack()})
    if left := task.counts[Action.REFUSE] + task.counts["dirty"]:
        raise DifferenceError(
            f"{left} of {len(places)} objects were left as they are: {'; '.join(task.names[:3])}"
        )


def _names(places: Sequence[Place]) -> list[str]:
    return ["/".join(place) for place in places]


class _Run:
    def __init__(self, task: Task, confirmation: Confirmation, setting: Setting) -> None:
        self._task = task
        self._root = task.drive.path
        self._confirmation = confirmation
        self._setting = setting
        self._final = setting.strategy is Strategy.USE_KV
        if not task.dry_run and task.total:
            files.ensure_directory(records.folder(self._root, task.fence))
            self._writer = Writer(self._root, task.owner)
            if kept := self._writer.discard_staged():
                task.warn(kept_of_exchange(kept))

    def batch(self, places: Sequence[Place]) -> None:
        task = self._task
        with task.owner.locked(places):
            generation = task.owner.next_generation()
            dirty = task.owner.dirty(places)
            changes: list[_Change] = []
            clean = [place for place in places if place not in dirty]
            for place in dirty:
                task.counts["dirty"] += 1
                task.name(f"{place[0]}/{place[1]}: is being written")
            seen = read_many(task.owner, self._confirmation.reader, clean)
            for place, evidence in zip(clean, seen, strict=True):
                task.scanned += 1
                choice = self._choose(place, evidence)
                task.counts[choice.action] += 1
                if choice.action is Action.REFUSE:
                    task.name(f"{place[0]}/{place[1]}: {choice.why}")
                elif choice.action is not Action.NOTHING:
                    record = self._record(place, evidence, choice.action, generation)
                    changes.append(_Change(record, choice.action, evidence))
            self._require_renames(changes)
            if changes and not task.dry_run:
                self._change(changes)
            task.committed += len(changes)

    def _choose(self, place: Place, seen: Evidence) -> Choice:
        verdict = judge(seen, self._setting.floor, final=self._final)
        choice = choose(seen, verdict, self._setting)
        if choice.action not in _BELIEVING_ROWS or seen.row is None or not seen.row.present:
            return choice
        if has_other_name(seen):
            return Choice(Action.REFUSE, "its file has another name than its row's, which says nothing of it")
        if why := self._unreadable(place, seen.row):
            return Choice(Action.REFUSE, why)
        return choice

    def _unreadable(self, place: Place, row: Row) -> str:
        """A row must not become the truth that names parts which are not there."""
        try:
            meta = xlmeta.decode(row.data)
        except FormatError as error:
            return f"its row cannot be decoded ({error})"
        directory = os.fsencode(f"{self._root}/{naming.object_directory(*place)}")
        for name in needed_directories(meta):
            if not os.path.isdir(directory + b"/" + name):
                return f"its row names data that is not on the drive ({os.fsdecode(name)})"
        return ""

    def _record(self, place: Place, seen: Evidence, action: Action, generation: Generation) -> Repaired:
        row = seen.row
        before = records.file_digest(seen.file) if isinstance(seen.file, Found) else ""
        after = before
        if action is Action.HOLD_FILE:
            after = ""
        elif action is Action.WRITE_FILE and row is not None:
            after = records.written_digest(row)
        return Repaired(
            self._task.fence,
            *place,
            action.value,
            generation.term,
            generation.counter,
            row is not None,
            (seen.entry or b"").hex(),
            versions_of(row),
            before,
            after,
            int(meta_name(seen)),
            records.row_digest(row_after(place, seen, action, generation)),
        )

    def _require_renames(self, changes: list[_Change]) -> None:
        """Before anything of them is written down: what the file system must be able to do for them."""
        if any(change.action is Action.HOLD_FILE for change in changes):
            renaming.require_exclusive(self._root, "moving a file aside")
        if any(change.action is Action.WRITE_FILE and change.seen.file is not None for change in changes):
            renaming.require_exchange(self._root, "writing a row over its file")

    def _change(self, changes: list[_Change]) -> None:
        task = self._task
        for change in changes:
            if change.seen.row is not None:
                records.keep_row(self._root, change.record, change.seen.row)
        files.sync_directory(records.folder(self._root, task.fence))
        task.commit(meta={change.record.meta_name: change.record.pack() for change in changes})
        task.owner.require_locked()
        self._change_files(changes)
        puts = tuple(put for change in changes if (put := self._put(change)) is not None)
        total = int(task.owner.meta(REPAIRS) or b"0") + len(changes)
        outcomes = task.commit(puts, {REPAIRS: str(total).encode()})
        for put, outcome in zip(puts, outcomes, strict=True):
            if outcome not in (Outcome.APPLIED, Outcome.SAME):
                raise IncompleteError(
                    f"{put.row.bucket}/{put.row.key}: its row was changed by somebody else meanwhile "
                    f"({outcome.name}); repair again"
                )

    def _change_files(self, changes: list[_Change]) -> None:
        replacing: dict[str, Row] = {}
        new: list[Row] = []
        for change in changes:
            path = self._path(change.record)
            kept = change.record.kept(self._root, "meta")
            if change.action is Action.HOLD_FILE:
                files.rename_exclusive(path, kept)
            elif change.action is Action.WRITE_FILE and change.seen.row is not None:
                if change.seen.file is None:
                    new.append(change.seen.row)
                else:
                    files.link(path, kept)
                    replacing[kept] = change.seen.row
        files.sync_directory(records.folder(self._root, self._task.fence))
        for change in changes:
            self._check_kept(change)
            if change.action is Action.HOLD_FILE:
                files.sync_directory(os.path.dirname(self._path(change.record)))
        for staged, kept in zip(self._writer.stage(list(replacing.values())), replacing, strict=True):
            self._writer.replace(staged, kept)
        written = self._writer.stage(new)
        self._task.owner.require_locked()
        self._writer.place(written, over=False)

    def _check_kept(self, change: _Change) -> None:
        """What was put aside must be what was judged: somebody who asks nobody may have written meanwhile."""
        kept = change.record.kept(self._root, "meta")
        found = MetaReader().read(os.fsencode(kept))
        if found is None or (
            isinstance(found, MetaFile) and records.file_digest(found) == change.record.file_before
        ):
            return
        if change.action is Action.HOLD_FILE:
            with suppress(FileExistsError):
                files.rename_exclusive(kept, self._path(change.record))
        raise DifferenceError(
            f"{change.record.bucket}/{change.record.key}: its file was changed between the look at it and "
            "the repair, and was left; find out who changes files on this drive, then repair again"
        )

    def _put(self, change: _Change) -> Put | None:
        """The row that the store has to hold; None where it is right as it is."""
        place, generation, seen = change.record.place, change.record.generation, change.seen
        match change.action:
            case Action.PUT_ROW:
                draft = sound_draft(seen)
                return Put(Row.of(*place, generation, draft), draft.summary, "any", draft.versions)
            case Action.RETIRE_ROW | Action.BURY_ROW:
                return Put(row_after(place, seen, change.action, generation), b"", "any", 0)
            case Action.WRITE_FILE:
                return self._backed(change)
            case Action.HOLD_FILE | Action.KEEP_ROW if seen.row is not None and seen.row.present:
                meta = xlmeta.decode(seen.row.data)
                alone = row_after(place, seen, change.action, generation)
                return Put(alone, summary(meta).pack(), "any", len(meta.versions))
            case _:
                return None

    def _backed(self, change: _Change) -> Put:
        """The row again, with the fingerprint of the file that was written from it."""
        row = change.seen.row
        assert row is not None
        path = self._path(change.record)
        files.drop_cached(path)
        found = MetaReader().read(os.fsencode(path))
        if not isinstance(found, MetaFile) or found.data != row.data:
            raise DifferenceError(
                f"{row.bucket}/{row.key}: the file that was just written is another one; find out who "
                f"changes files on this drive; what was there is in {CONTROL}/undo"
            )
        self._task.counts["verified"] += 1
        draft = draft_of(row.bucket, xlmeta.decode(row.data), row.data, replace(found, name=row.name))
        return Put(
            Row.of(row.bucket, row.key, change.record.generation, draft), draft.summary, "any", draft.versions
        )

    def _path(self, record: Repaired) -> str:
        return f"{self._root}/{record.path}"
