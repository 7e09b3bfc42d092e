"""`dualtrack engine restore-store`: a lost store made anew from its snapshot and its row log."""

from __future__ import annotations

import argparse
import os
import uuid
from contextlib import ExitStack

from dualtrack.cli.jobresult import Outcome, write_result
from dualtrack.cli.named import places
from dualtrack.cli.subparsers import Subparsers
from dualtrack.cli.tasks import add_task_arguments, old_store, stopping
from dualtrack.engine.drive import Drive
from dualtrack.engine.lock import DriveLock, known_fence
from dualtrack.engine.restore_store import Restored, Sources, restore_store
from dualtrack.engine.stores.location import locate
from dualtrack.errors import DriveError, IncompleteError, UsageError

MAX_MISSING = 3
"""Drives of which the result says what is missing; standard error says it of all."""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    summary = (
        "make a lost store anew from its snapshot and its row log, and put it in the old one's place; undo: "
        "the old one is kept"
    )
    parser = subparsers.add_parser("restore-store", help=summary, description=summary)
    add_task_arguments(parser)
    parser.add_argument(
        "--snapshot", required=True, metavar="DIR", help="of several drives the folder of theirs"
    )
    log = parser.add_mutually_exclusive_group()
    log.add_argument("--row-log", metavar="DIR", help="where the store's row log lies")
    log.add_argument(
        "--without-log",
        action="store_true",
        help="what was written since the snapshot is lost, and that is accepted",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Restore. `RefusedError` where snapshot and log are not of one line; then nothing was changed.
    `IncompleteError` where the store was made and is not known to have all that was acknowledged.
    """
    if arguments.client_only:
        raise UsageError("--client-only: nobody owns a lost store; restore-store works on its directory")
    named = places(arguments)
    done: list[Restored] = []
    for drive, store in named:
        try:
            one = _restore(arguments, drive, store, several=len(named) > 1)
        except OSError as error:
            raise DriveError(f"{drive.path}: {error}") from error
        done.append(one)
        told = f" {drive.path}" if len(named) > 1 else ""
        print(f"restore-store{told}: {_message(arguments, one)}")
        for warning in one.warnings:
            print(f"dualtrack: warning: {warning}")
    missing = [
        f"{drive.path}: {each}" for (drive, _), one in zip(named, done, strict=True) for each in one.missing
    ]
    _leave(arguments, named[0][0], done, missing)
    if missing:
        raise IncompleteError(_not_whole(missing))
    return 0


def _restore(arguments: argparse.Namespace, drive: Drive, store: str, *, several: bool) -> Restored:
    run_id = arguments.run_id or f"cli-{uuid.uuid4()}"
    folder = os.path.join(arguments.snapshot, drive.drive_id) if several else arguments.snapshot
    with ExitStack() as stack:
        stop = stack.enter_context(stopping())
        fence = arguments.fence or known_fence(drive.path) + 1
        lock = stack.enter_context(
            DriveLock.look(drive.path, run_id)
            if arguments.dry_run
            else DriveLock.acquire(drive.path, fence, run_id)
        )
        return restore_store(
            drive,
            locate(store, drive.path),
            lock,
            Sources(folder, arguments.row_log, arguments.without_log),
            stop=stop.is_set,
            dry_run=arguments.dry_run,
        )


def _message(arguments: argparse.Namespace, done: Restored) -> str:
    until = f", the last of {done.until:%Y-%m-%d %H:%M:%S} UTC" if done.until else ""
    made = f"{done.digest.count} rows, {done.records} records of the log{until}"
    if arguments.dry_run:
        return f"the store could be made anew: {made}; nothing was swapped (dry run)"
    return f"the store was made anew: {made}; {old_store(done.kept)}"


def _not_whole(missing: list[str]) -> str:
    return (
        f"{'; '.join(missing)}. Bring back what the log lacks and run this again before a server starts: "
        "snapshot and log are as they were. Where it is gone for good, dualtrack engine orphans list names "
        "the data that no row knows any more"
    )


def _leave(arguments: argparse.Namespace, drive: Drive, done: list[Restored], missing: list[str]) -> None:
    counts = {"rows": sum(one.digest.count for one in done), "records": sum(one.records for one in done)}
    extra: dict[str, object] = {}
    if len(done) == 1:
        extra = {"digest": str(done[0].digest), "kept": done[0].kept}
        if done[0].warnings:
            extra["warning"] = "; ".join(done[0].warnings)
    message = _message(arguments, done[0]) if len(done) == 1 else f"complete on {len(done)} drives"
    code = IncompleteError.exit_code if missing else 0
    if missing:
        message, extra["missing"] = _not_whole(missing), missing[:MAX_MISSING]
    write_result(arguments, drive, Outcome(not missing, message, code, counts=counts, extra=extra))
