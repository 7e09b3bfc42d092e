"""Damaged rows, written anew from their files while files are the truth.

A row that does not match its check may have been newer than what a sweep has just read, so the sweep's batch
leaves it alone. Here the object's stripe is held, so that no write of it is under way; the file is read again
under a fresh generation, and only a file that decodes takes the row's place. It is never done silently: each
row is named, logged, counted with the repairs (`verify.py` tells of them) and in an audit record of the run,
all in the transaction that writes it.

Where there is no such file nothing is overwritten, because the damaged row may be all that is left of the
object: it is quarantined by name.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from dualtrack.engine.authority import require_files_lead
from dualtrack.engine.drafts import draft_of_found
from dualtrack.engine.listing import DirectoryReader, Found, Problem
from dualtrack.engine.places import object_path
from dualtrack.engine.quarantine import STORE, Quarantined, meta_name, quarantined
from dualtrack.engine.repair.records import REPAIRS, Audit, require_free
from dualtrack.engine.rows import Row
from dualtrack.engine.stores.protocol import Place, Put
from dualtrack.engine.task import Task

VERB = "mend damaged rows"
BATCH = 64
"""Objects under one lock; their writers wait for it."""
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Mending:
    """`known` is the quarantine by meta name, and is kept up. `unread` counts files that could not be read
    now, of which nothing is known."""

    task: Task
    known: dict[str, Quarantined]
    unread: int = 0
    first_unread: list[str] = field(default_factory=list)
    tried: set[Place] = field(default_factory=set)
    began: str = ""

    def mend(self, places: Collection[Place]) -> None:
        """Each place once a run."""
        wanted = sorted(set(places) - self.tried)
        self.tried.update(wanted)
        if not wanted:
            return
        require_files_lead(self.task, VERB)
        reader = DirectoryReader(self.task.drive.path)
        for start in range(0, len(wanted), BATCH):
            group = wanted[start : start + BATCH]
            with self.task.owner.locked(group):
                self._mend(reader, group)
            self.task.checkpoint()

    def _mend(self, reader: DirectoryReader, places: Sequence[Place]) -> None:
        task = self.task
        generation = task.owner.next_generation()
        puts: list[Put] = []
        meta: dict[str, bytes | None] = {}
        for place in places:
            found = reader.read(object_path(*place))
            draft = draft_of_found(found) if isinstance(found, Found) else found
            if draft is None or isinstance(draft, Problem):
                self._set_aside(place, draft, meta)
                continue
            puts.append(Put(Row.of(*place, generation, draft), draft.summary, "mend", draft.versions))
            task.name(f"{'/'.join(place)}: its row is damaged, its file sound: written anew from it")
            if self.known.pop(meta_name(*place), None) is not None:
                meta[meta_name(*place)] = None
        if puts:
            task.counts["mended"] += len(puts)
            meta |= self._told(len(puts))
        if meta:
            task.commit(tuple(puts), meta)
        for put in () if task.dry_run else puts:
            _log.warning("mended bucket=%s key=%r: damaged row, sound file", put.row.bucket, put.row.key)

    def _told(self, number: int) -> dict[str, bytes | None]:
        task = self.task
        now = task.now().isoformat(timespec="seconds")
        self.began = self.began or now
        total = int(task.owner.meta(REPAIRS) or b"0") + number
        audit = Audit(task.fence, task.run_id, VERB, self.began, task.counts["mended"], "done", now)
        require_free(task.owner, audit)
        task.notes["warning"] = (
            f"{task.counts['mended']} damaged rows were written anew from their files; know the cause: scrub "
            "the store and look at its disk"
        )
        return {REPAIRS: str(total).encode(), audit.meta_name: audit.pack()}

    def _set_aside(self, place: Place, problem: Problem | None, meta: dict[str, bytes | None]) -> None:
        name = "/".join(place)
        if problem is not None and problem.transient:
            self.unread += 1
            self.first_unread = [*self.first_unread, f"{name}: {problem.reason}"][:3]
            self.task.name(f"{name}: {problem.reason}")
            return
        told = "it has no file" if problem is None else f"its file cannot be used ({problem.message})"
        message = f"its row is damaged, and {told}: a snapshot may have it"
        record = quarantined(Problem(*place, name, STORE, message, False), b"", self.task.now())
        before = self.known.get(record.meta_name)
        record = record.after(before) if before else record
        self.known[record.meta_name] = record
        meta[record.meta_name] = record.pack()
        self.task.counts["damaged"] += 1
        self.task.name(f"{name}: {message}")
