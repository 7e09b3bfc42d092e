"""The look at every file before the first one is held: what no row covers, and what rows have that is gone.

The hold goes by rows, so on its own it would never meet a file without one, and would take a row whose file
somebody deleted for one that is done with. A server that ran after the verification leaves just these: it
wrote, overwrote and deleted, and nobody told the store. So all files are walked and held against their rows
once more, in the moment in which stock servers could still have run: before `format.json` is held. Whatever
is found is read again under its lock, named, and refuses the whole hold.
"""

from __future__ import annotations

from collections.abc import Sequence

from dualtrack.engine.cleanup import preconditions
from dualtrack.engine.cleanup.judge import Verdict as Fate
from dualtrack.engine.cleanup.judge import judge as judge_fate
from dualtrack.engine.drafts import file_of
from dualtrack.engine.judging import Evidence, Verdict, judge
from dualtrack.engine.listing import DirectoryReader, Found, Problem
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.metafile import MetaFile, Unreadable
from dualtrack.engine.pairing import pairs, read_many
from dualtrack.engine.rows import is_system
from dualtrack.engine.stores.protocol import Place
from dualtrack.engine.task import Task
from dualtrack.errors import DifferenceError, IncompleteError

CHECKPOINT = 1_000
_MISSING = {
    Verdict.MISSING_ROW: "its file has no row",
    Verdict.MISSING_FILE: "its file is gone, and no server of ours deleted it",
    Verdict.DAMAGED_ROW: "its row is damaged",
}


def require_covered(task: Task) -> None:
    """`DifferenceError` with names where a file is not what its row says, `IncompleteError` where that cannot
    be told. Done once: on a drive that stock servers refuse already, nobody can have written since.
    """
    if task.drive.held:
        return
    survey = _Survey(task)
    survey.run()


class _Survey:
    def __init__(self, task: Task) -> None:
        self._task = task
        self._floor = task.owner.info().trust_floor
        self._cut_over_ns = preconditions.cut_over_ns(task)
        self._suspects: set[Place] = set()
        self._unread: list[str] = []

    def run(self) -> None:
        task = self._task
        seen_places = 0
        for place, seen in pairs(task.drive, task.owner, self._failed):
            if is_system(place[0]):
                continue  # read from their files in every mode, never held
            seen_places += 1
            if self._trouble(seen, dirty=False):
                self._suspects.add(place)
            if seen_places % CHECKPOINT == 0:
                task.checkpoint()
        task.counts["surveyed"] = seen_places
        if self._unread:
            raise IncompleteError(
                f"{len(self._unread)} files or directories of {task.drive.path} could not be read, so nobody "
                f"can say that the store has them: {'; '.join(self._unread[:3])}; mend them, run migrate and "
                "verify, then this again"
            )
        self._conclude(self._confirmed(sorted(self._suspects)))

    def _failed(self, problem: Problem) -> None:
        if not problem.transient:
            self._suspects.add((problem.bucket, problem.key))
        elif not problem.vanished:
            self._unread.append(f"{problem.path}: {problem.reason}")

    def _trouble(self, seen: Evidence, *, dirty: bool) -> str:
        """Why the object is not covered; empty if it is."""
        verdict = judge(seen, self._floor, final=True)
        if verdict in _MISSING:
            return _MISSING[verdict]
        if seen.row is None:
            return ""
        fate = judge_fate(
            seen.row, _file(seen), dirty=dirty, trust_floor=self._floor, cut_over_ns=self._cut_over_ns
        )
        return _FATES[fate] if fate.is_trouble else ""

    def _confirmed(self, places: Sequence[Place]) -> list[str]:
        """The suspects under their stripe locks: a data plane may have been in the middle of one."""
        task, reader = self._task, DirectoryReader(self._task.drive.path)
        found: list[str] = []
        for start in range(0, len(places), CHECKPOINT):
            task.checkpoint()
            part = places[start : start + CHECKPOINT]
            with task.owner.locked(part):
                dirty = task.owner.dirty(part)
                for place, seen in zip(part, read_many(task.owner, reader, part), strict=True):
                    if why := self._trouble(seen, dirty=place in dirty):
                        found.append(f"{place[0]}/{place[1]}: {why}")
        return found

    def _conclude(self, found: list[str]) -> None:
        task = self._task
        if not found:
            return
        task.counts["uncovered"] = len(found)
        for what in found:
            task.name(what)
        raise DifferenceError(
            f"{len(found)} objects of {task.drive.path} are not what their rows say, so nothing was held: "
            f"{'; '.join(task.names)}; a server has written since the verification: run migrate and verify, "
            f"then this again (at {MarkerState.KV_ONLY}, where the row is right: repair --strategy use-kv "
            "--object NAME)"
        )


_FATES = {
    Fate.NEWER: "its file is newer than its row",
    Fate.UNTRUSTED: "its row is older than the trust floor",
    Fate.DIRTY: "it is still being written",
    Fate.UNREADABLE: "its file cannot be read",
}


def _file(seen: Evidence) -> MetaFile | Unreadable | None:
    match seen.file:
        case Found() as found:
            return file_of(found)
        case Problem() as problem:
            return Unreadable(problem.reason, problem.message, problem.transient)
        case None:
            return None
