"""`dualtrack engine migrate`: bring every object's metadata from the drive's files into its store."""

from __future__ import annotations

import argparse

from dualtrack.cli.numbers import whole
from dualtrack.cli.subparsers import Subparsers
from dualtrack.cli.tasks import add_task_arguments, run_task
from dualtrack.engine import departed, preflight
from dualtrack.engine.departed import Accepted
from dualtrack.engine.migrate import Sweep
from dualtrack.engine.pace import META, Pace
from dualtrack.engine.pacefile import CONCURRENCY_MOST
from dualtrack.engine.sets import layout
from dualtrack.engine.sweepstate import last_count
from dualtrack.engine.task import Task
from dualtrack.errors import UsageError


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    summary = "bring every object's metadata from the drive's files into its store; goes on where it stopped"
    parser = subparsers.add_parser("migrate", help=summary, description=summary)
    add_task_arguments(parser)
    parser.add_argument(
        "--pace-file",
        metavar="FILE",
        help="JSON: quotas, order of buckets, what to give way to (docs/internals/pace.md); read again each "
        "minute; without it as fast as it goes",
    )
    parser.add_argument(
        "--concurrency",
        type=whole(1, CONCURRENCY_MOST),
        metavar="N",
        help="read at most N objects at a time; of this and the pace file's the lower counts. By default one "
        "beside a server or with a pace file, else as many as there are processors, four at most",
    )
    parser.add_argument(
        "--accept-deletions",
        action="store_true",
        help="delete rows without files even where a bucket loses more than 1 %% or 10,000 of them, or half "
        "of a small one; undo, for 30 days: engine deleted give-back",
    )
    parser.add_argument(
        "--accept-deletions-of",
        action="append",
        default=[],
        type=_bucket_and_count,
        metavar="BUCKET=N",
        help="the same for one bucket and at most N rows; may be repeated",
    )
    parser.set_defaults(run=run)


def _bucket_and_count(word: str) -> tuple[str, int]:
    bucket, _, count = word.rpartition("=")
    if not bucket or not count.isdecimal():
        raise argparse.ArgumentTypeError(f"{word!r} is not BUCKET=N, as in photos=12000")
    return bucket, int(count)


def run(arguments: argparse.Namespace) -> int:
    """Sweep the drive. IncompleteError where something could not be read."""

    numbers: dict[str, int] = {}
    for bucket, number in arguments.accept_deletions_of:
        if numbers.setdefault(bucket, number) != number:
            raise UsageError(f"--accept-deletions-of {bucket}: {numbers[bucket]} or {number}? say it once")
    accepted = Accepted(arguments.accept_deletions, numbers)

    def work(task: Task) -> None:
        preflight.check(task)
        layout.record(task)
        for bucket in departed.unknown(task, accepted):
            task.warn(
                f"--accept-deletions-of {bucket}=…: {task.drive.path} has no bucket of that name, and never "
                "had; nothing was accepted by it: see that it is spelled as the bucket is"
            )
        pace = Pace(arguments.pace_file, task.owner.meta(META), counted=last_count(task.owner))
        with task.recorded("migrate", "", required=False):
            Sweep(task, pace, accepted, arguments.concurrency).run()
        done = f"swept {task.drive.path}: {task.counts['applied']} rows written"
        read = f"{task.drive.path} has {task.counts['scanned']} objects to bring into {task.store_dir}"
        task.notes["message"] = read if task.dry_run else done

    return run_task(arguments, work, locked=False, creates=True)
