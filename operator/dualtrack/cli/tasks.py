"""From a verb's command line to its task, and from what the task found to the result and the exit code.

Every verb that works on a store runs the same way: open the drive, come by the store (as its owner, or over
the owner's socket), raise the fence, take the drive's lock where files change, work, leave the result last.
SIGTERM ends the work at its next checkpoint.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FrameType

from dualtrack.cli import cycles, streams
from dualtrack.cli.jobresult import Outcome, add_job_arguments, write_result
from dualtrack.cli.named import add_place_arguments, places
from dualtrack.engine import client, trust
from dualtrack.engine.drive import JOURNAL_FILE, Drive
from dualtrack.engine.history import Step, head, interrupted
from dualtrack.engine.lock import DriveLock, known_fence
from dualtrack.engine.owner import OwnerSettings
from dualtrack.engine.owner_api import OwnerApi
from dualtrack.engine.progress import ProgressReport
from dualtrack.engine.session import connect
from dualtrack.engine.stand_in import is_there, stand_in
from dualtrack.engine.stores.location import locate, require_store
from dualtrack.engine.task import Task
from dualtrack.errors import DriveError, DualTrackError, IncompleteError, OutputError

Work = Callable[[Task], None]
SWITCH_SECONDS = 0.000_5
"""How long a thread that comes back from the native reader waits at most for one that compares or packs rows.
Python's default is 5 ms, in which the reader could take in hundreds of files.
"""


def add_task_arguments(parser: argparse.ArgumentParser, *, stopped: bool = False) -> None:
    """`stopped`: the verb takes files away, so somebody must say that no server runs."""
    add_place_arguments(parser)
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--client-only", action="store_true", help="never own the store, only ask its owner")
    if stopped:
        who.add_argument(
            "--server-stopped", action="store_true", help="I say that no server runs on this drive"
        )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="change nothing on the drive and leave nothing behind, tell what would be done",
    )
    add_job_arguments(parser)


@dataclass(frozen=True, slots=True)
class _Terms:
    """See `run_task`."""

    locked: bool
    creates: bool
    announced: bool
    needs_log: bool


def run_task(
    arguments: argparse.Namespace,
    *works: Work,
    locked: bool,
    creates: bool = False,
    announced: bool = True,
    needs_log: bool = True,
    together: Callable[[Sequence[Task]], None] | None = None,
) -> int:
    """Do the works and leave their result. The error that ended them is raised again for the exit code.

    Each work is done on every drive before the next one begins, so that what must hold for all drives of a
    set is asked of all before one is changed; `together` comes last and sees them all.

    A dry run raises no fence, so it ends no run that is at work, and where there is no store, or no journal,
    it makes none.

    `creates`: the verb may begin with a store that is not there yet. Not `announced`: it changes nothing, so
    it raises no fence and ends no run that is at work. Not `needs_log`: it ends the store's row log.
    """
    cycles.look_rarely()
    sys.setswitchinterval(SWITCH_SECONDS)
    named = places(arguments)
    tasks: list[Task] = []
    try:
        with _tasks(arguments, named, tasks, _Terms(locked, creates, announced, needs_log)):
            for work in works:
                for task in tasks:
                    work(task)
            if together is not None:
                together(tasks)
            for task in tasks:
                task.report(task.scanned, task.committed, task.total)
    except OutputError as error:
        # In the middle of the work, which is cut off by it: that nobody reads makes this no success.
        leave(arguments, named[0][0], tasks, str(error), error.exit_code)
        raise IncompleteError(str(error)) from error
    except DualTrackError as error:
        leave(arguments, named[0][0], tasks, str(error), error.exit_code)
        raise
    except OSError as error:
        message = f"{', '.join(arguments.drive)}: {error}"
        leave(arguments, named[0][0], tasks, message, DriveError.exit_code)
        raise DriveError(message) from error
    leave(arguments, named[0][0], tasks, "", 0)
    return 0


@contextmanager
def _tasks(
    arguments: argparse.Namespace, named: Sequence[tuple[Drive, str]], tasks: list[Task], terms: _Terms
) -> Iterator[None]:
    """Open every drive's store under one run, before any of them is worked on."""
    run_id = arguments.run_id or f"cli-{uuid.uuid4()}"
    peers = frozenset(drive.drive_id for drive, _ in named)
    with ExitStack() as stack:
        stop = stack.enter_context(stopping())
        progress = stack.enter_context(ProgressReport(arguments.verb, arguments.progress))
        reports = progress.shares(len(named))
        for (drive, store), report in zip(named, reports, strict=True):
            task = stack.enter_context(_task(arguments, drive, store, run_id, stop.is_set, terms))
            task.peers, task.report, task.extra = peers, report, progress.extra
            tasks.append(task)
        yield


@contextmanager
def _task(
    arguments: argparse.Namespace,
    drive: Drive,
    store: str,
    run_id: str,
    stop: Callable[[], bool],
    terms: _Terms,
) -> Iterator[Task]:
    stopped = bool(getattr(arguments, "server_stopped", False))
    location = locate(store, drive.path)
    if not arguments.client_only and not location.exists():
        trust.refuse_lost(drive.path, str(location))
    if not (arguments.client_only or terms.creates):
        require_store(location)
    if location.directory and not location.exists():
        drive.refuse_among_buckets(location.directory, "--store")
    owned = not (arguments.client_only or client.answers(location.directory))
    with ExitStack() as stack:
        marks = True
        if arguments.dry_run and owned:
            marks = os.path.lexists(f"{drive.path}/{JOURNAL_FILE}")
            if terms.creates and not is_there(location, drive.drive_id):
                store, marks = stack.enter_context(stand_in(location)), False
        owner = stack.enter_context(
            connect(
                drive.path,
                store,
                OwnerSettings(drive_id=drive.drive_id, needs_log=terms.needs_log, marks=marks),
                client_only=arguments.client_only,
                server_stopped=stopped,
                stop=stop,
            )
        )
        announced = terms.announced and not arguments.dry_run
        fence = _begin(owner, drive, run_id, arguments.fence) if announced else 0
        lock: DriveLock | None = None
        if terms.locked:
            lock = stack.enter_context(
                DriveLock.look(drive.path, run_id)
                if arguments.dry_run
                else DriveLock.acquire(drive.path, fence, run_id)
            )
        task = Task(
            drive=drive,
            store_dir=str(location),
            owner=owner,
            fence=fence,
            run_id=run_id,
            epoch=arguments.epoch,
            migration_uid=arguments.migration_uid,
            # A verb without --client-only also speaks to a server that answers.
            client_only=arguments.client_only or bool(owner.info().engine),
            server_stopped=stopped,
            dry_run=arguments.dry_run,
            limit=int(getattr(arguments, "limit", 0)),
            lock=lock,
            arguments=_said(arguments),
            stop=stop,
        )
        if terms.announced:
            tell_interrupted(task, cut_off(drive))
        yield task


def cut_off(drive: Drive) -> list[Step]:
    """Steps on this drive that an earlier run began and never ended, before this one begins its own."""
    try:
        return interrupted(drive.path)
    except OSError:
        return []  # whoever begins a step is told that the audit cannot be read


def tell_interrupted(task: Task, cut: Sequence[Step]) -> None:
    """They may be half done, so the result says so as well as the audit."""
    if cut:
        task.notes["interrupted"] = [each.told for each in cut[-3:]]
        task.warn(
            f"{len(cut)} earlier steps on {task.drive.path} were cut off: "
            f"{'; '.join(each.told for each in cut[-3:])}; run the same verb again to bring it to its end"
        )


_NOT_SAID = frozenset(
    {"command", "run", "verb", "step", "drive", "store", "run_id", "fence", "epoch", "migration_uid"}
    | {"result_file", "progress", "dry_run"}
)


def _said(arguments: argparse.Namespace) -> dict[str, object]:
    """The options of the verb itself, for the audit: the run's have fields of their own, and a store may be
    a URL with a password.
    """
    given = vars(arguments).items()
    return {
        name: value for name, value in given if name not in _NOT_SAID and value not in (None, False, "", [])
    }


def _begin(owner: OwnerApi, drive: Drive, run_id: str, fence: int) -> int:
    """The fence that was ordered; without one, the next that neither store nor drive has seen."""
    if fence:
        return owner.begin(run_id, fence)
    free = owner.begin(run_id, 0)
    known = known_fence(drive.path)
    return free if free > known else owner.begin(run_id, known + 1)


def _tell_anchor(task: Task) -> None:
    """Where the drive's audit stands: whoever keeps results can tell later that nothing was cut off it."""
    try:
        if anchor := head(task.drive.path):
            task.notes["audit"] = anchor
    except OSError as error:
        task.warn(f"the audit of {task.drive.path} cannot be read ({error})")


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that SIGTERM sets, for as long as the work lasts."""
    asked = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, before)


def _told(notes: Mapping[str, object], counts: Mapping[str, int], dry_run: bool) -> str:
    """What a verb said at its end, with its figures: "complete (held 2,781)"."""
    figures = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
    told = str(notes.get("message", "complete")) + (f" ({figures})" if figures else "")
    return f"dry run, nothing was changed: {told}" if dry_run else told


def old_store(kept: str) -> str:
    """Where it is, for whoever has put another in its place."""
    return f"the old one is {kept}" if kept else "there was none before"


def leave(
    arguments: argparse.Namespace, drive: Drive, tasks: Sequence[Task], message: str, code: int
) -> None:
    """The result for the operator, and a line a drive for whoever reads along."""
    counts: Counter[str] = Counter()
    dry_run = any(task.dry_run for task in tasks)
    lines: list[str] = []
    for task in tasks:
        counts.update(task.counts)
        _tell_anchor(task)
        if warning := task.notes.get("warning"):
            streams.say(f"dualtrack: warning: {warning}")
        if code == 0 and arguments.progress != "json":
            where = f" {task.drive.path}" if len(tasks) > 1 else ""
            lines.append(f"{arguments.verb}{where}: {_told(task.notes, task.counts, dry_run)}")
    notes = _alike(tasks)
    told = _told(notes, counts, dry_run)
    notes.pop("message", None)
    outcome = Outcome(
        ok=code == 0,
        message=message or (told if len(tasks) == 1 else f"{len(tasks)} drives: {told}"),
        exit_code=code,
        scanned=sum(task.scanned for task in tasks),
        counts={str(name): count for name, count in counts.items()},
        unreadable=[name for task in tasks for name in task.names],
        extra=notes,
    )
    write_result(arguments, drive, outcome)
    for line in lines:
        print(line)


def _alike(tasks: Sequence[Task]) -> dict[str, object]:
    """What is to be said of the one drive, or of all of them alike."""
    first = tasks[0].notes.items() if tasks else ()
    return {name: value for name, value in first if all(task.notes.get(name) == value for task in tasks[1:])}
