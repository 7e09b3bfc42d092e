"""From a verb's command line to its task, and from what the task found to the result and the exit code.

Every verb that works on a store runs the same way: open the drive, come by the store (as its owner, or over
the owner's socket), raise the fence, take the drive's lock where files change, work, leave the result last.
SIGTERM ends the work at its next checkpoint.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from dualtrack.cli.jobresult import Outcome, add_job_arguments, write_result
from dualtrack.engine.drive import Drive
from dualtrack.engine.lock import DriveLock, known_fence
from dualtrack.engine.owner import OwnerSettings
from dualtrack.engine.owner_api import OwnerApi
from dualtrack.engine.progress import ProgressReport
from dualtrack.engine.session import connect
from dualtrack.engine.stores.location import locate
from dualtrack.engine.task import Task
from dualtrack.errors import DriveError, DualTrackError, UsageError

Work = Callable[[Task], None]
STORE_HELP = "the drive's key-value store: DIR, rocksdb:DIR or postgresql://…"


def add_task_arguments(parser: argparse.ArgumentParser, *, stopped: bool = False) -> None:
    """`stopped`: the verb takes files away, so somebody must say that no server runs."""
    parser.add_argument("--drive", action="append", required=True, metavar="DIR", help="a server's drive")
    parser.add_argument("--store", required=True, metavar="DIR", help=STORE_HELP)
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--client-only", action="store_true", help="never own the store, only ask its owner")
    if stopped:
        who.add_argument(
            "--server-stopped", action="store_true", help="I say that no server runs on this drive"
        )
    parser.add_argument("--dry-run", action="store_true", help="change nothing, tell what would be done")
    add_job_arguments(parser)


def run_task(
    arguments: argparse.Namespace, work: Work, *, locked: bool, creates: bool = False, announced: bool = True
) -> int:
    """Do the work and leave its result. The error that ended it is raised again for the exit code.

    `creates`: the verb may begin with a store that is not there yet. Not `announced`: it changes nothing, so
    it raises no fence and ends no run that is at work.
    """
    arguments.announced = announced
    if len(arguments.drive) > 1:
        raise UsageError("--drive: this release works on one drive at a time; call it once per drive")
    drive = Drive.open(arguments.drive[0])
    found: list[Task] = []
    try:
        with _task(arguments, drive, locked=locked, creates=creates) as task:
            found.append(task)
            work(task)
            task.report(task.scanned, task.committed, task.total)
    except DualTrackError as error:
        _leave(arguments, drive, found, str(error), error.exit_code)
        raise
    except OSError as error:
        message = f"{drive.path}: {error}"
        _leave(arguments, drive, found, message, DriveError.exit_code)
        raise DriveError(message) from error
    _leave(arguments, drive, found, "", 0)
    return 0


@contextmanager
def _task(arguments: argparse.Namespace, drive: Drive, *, locked: bool, creates: bool) -> Iterator[Task]:
    stopped = bool(getattr(arguments, "server_stopped", False))
    location = locate(arguments.store, drive.path)
    if not (arguments.client_only or creates or location.exists()):
        raise UsageError(f"--store {location}: there is no store; migrate makes one")
    with ExitStack() as stack:
        stop = stack.enter_context(_stopping())
        owner = stack.enter_context(
            connect(
                drive.path,
                arguments.store,
                OwnerSettings(drive_id=drive.drive_id),
                client_only=arguments.client_only,
                server_stopped=stopped,
                stop=stop.is_set,
            )
        )
        run_id = arguments.run_id or f"cli-{uuid.uuid4()}"
        fence = _begin(owner, drive, run_id, arguments.fence) if arguments.announced else 0
        lock = stack.enter_context(DriveLock.acquire(drive.path, fence, run_id)) if locked else None
        progress = stack.enter_context(ProgressReport(arguments.verb, arguments.progress))
        yield Task(
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
            stop=stop.is_set,
            report=progress.report,
            extra=progress.extra,
        )


def _begin(owner: OwnerApi, drive: Drive, run_id: str, fence: int) -> int:
    """The fence that was ordered; without one, the next that neither store nor drive has seen."""
    if fence:
        return owner.begin(run_id, fence)
    free = owner.begin(run_id, 0)
    known = known_fence(drive.path)
    return free if free > known else owner.begin(run_id, known + 1)


@contextmanager
def _stopping() -> Iterator[threading.Event]:
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


def _leave(arguments: argparse.Namespace, drive: Drive, found: list[Task], message: str, code: int) -> None:
    """The result for the operator, and a line for whoever reads along."""
    task = found[0] if found else None
    notes = dict(task.notes) if task else {}
    counts = {str(name): count for name, count in task.counts.items()} if task else {}
    told = message or str(notes.pop("message", "complete"))
    if warning := notes.get("warning"):
        print(f"dualtrack: warning: {warning}", file=sys.stderr)
    if code == 0 and arguments.progress != "json":
        figures = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        print(f"{arguments.verb}: {told}" + (f" ({figures})" if figures else ""))
    outcome = Outcome(
        ok=code == 0,
        message=told,
        exit_code=code,
        counts=counts,
        unreadable=task.names if task else (),
        extra=notes,
    )
    write_result(arguments, drive, outcome)
