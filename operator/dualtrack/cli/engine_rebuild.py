"""`dualtrack engine rebuild`: a new store from the drive's files, verified, in the place of a lost one."""

from __future__ import annotations

import argparse
import uuid
from contextlib import ExitStack

from dualtrack.cli.named import places
from dualtrack.cli.subparsers import Subparsers
from dualtrack.cli.tasks import add_task_arguments, cut_off, leave, old_store, stopping, tell_interrupted
from dualtrack.engine.drive import Drive
from dualtrack.engine.lock import DriveLock, known_fence
from dualtrack.engine.owner_api import OwnerApi
from dualtrack.engine.progress import ProgressReport
from dualtrack.engine.rebuild import rebuild
from dualtrack.engine.stores.location import Location, locate
from dualtrack.engine.task import Task
from dualtrack.errors import DriveError, DualTrackError, UsageError


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    summary = (
        "make the store anew from the drive's files, verify it, and put it in the old one's place; "
        "undo: the old one is kept"
    )
    parser = subparsers.add_parser("rebuild", help=summary, description=summary)
    add_task_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Rebuild. `RefusedError` where rows may be the only copy; then nothing was changed."""
    if arguments.client_only:
        raise UsageError("--client-only: nobody owns a lost store; rebuild works on its directory")
    named = places(arguments)
    tasks: list[Task] = []
    try:
        for drive, store in named:
            _rebuild(arguments, drive, locate(store, drive.path), tasks)
    except (DualTrackError, OSError) as caught:
        error = caught if isinstance(caught, DualTrackError) else DriveError(str(caught))
        leave(arguments, named[0][0], tasks, str(error), error.exit_code)
        raise error from caught
    leave(arguments, named[0][0], tasks, "", 0)
    return 0


def _rebuild(arguments: argparse.Namespace, drive: Drive, location: Location, tasks: list[Task]) -> None:
    run_id = arguments.run_id or f"cli-{uuid.uuid4()}"
    with ExitStack() as stack:
        stop = stack.enter_context(stopping())
        fence = arguments.fence or known_fence(drive.path) + 1
        lock = stack.enter_context(
            DriveLock.look(drive.path, run_id)
            if arguments.dry_run
            else DriveLock.acquire(drive.path, fence, run_id)
        )
        cut = cut_off(drive)
        progress = stack.enter_context(ProgressReport(arguments.verb, arguments.progress))

        def task_of(owner: OwnerApi) -> Task:
            task = Task(
                drive,
                str(location),
                owner,
                owner.begin(run_id, 0),
                run_id,
                migration_uid=arguments.migration_uid,
                lock=lock,
                stop=stop.is_set,
                report=progress.report,
            )
            tasks.append(task)
            tell_interrupted(task, cut)
            return task

        done = rebuild(drive, location, lock, task_of, dry_run=arguments.dry_run)
    rows = done.task.counts["objects"]
    done.task.notes["lost"] = list(done.lost[:10])
    done.task.notes["kept"] = done.kept
    done.task.notes["message"] = (
        f"nothing was changed (dry run): {location} could be made anew from {drive.path}: {rows} objects"
        if arguments.dry_run
        else f"{location} was made anew from {drive.path}: {rows} objects; {old_store(done.kept)}"
    )
    if done.log:
        done.task.warn(
            f"its row log in {done.log} begins anew when the store is opened, and the last snapshot does not "
            "go with that: take another (dualtrack engine snapshot)"
        )
    if done.lost:
        done.task.warn(
            f"of the old store these were lost: {'; '.join(done.lost[:3])}; if it had a row log, look "
            "whether the new one has (dualtrack engine row-log status)"
        )
