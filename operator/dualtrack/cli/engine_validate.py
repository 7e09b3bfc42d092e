"""`dualtrack engine validate --bucket B [--key K | --sample N]`: is an object, or a bucket, the same on both
tracks?
"""

from __future__ import annotations

import argparse
from dataclasses import asdict

from dualtrack.cli.subparsers import Subparsers
from dualtrack.cli.tasks import add_task_arguments, run_task
from dualtrack.engine import marker
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.task import Task
from dualtrack.engine.validation import Finding, InSync, KvOnly, Missing, Validator
from dualtrack.errors import DifferenceError, IncompleteError, UsageError

SAMPLE = 1_000


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    summary = "say whether an object, or a sample of a bucket, is the same in its files and in the store"
    parser = subparsers.add_parser("validate", help=summary, description=summary)
    add_task_arguments(parser)
    parser.add_argument("--bucket", required=True, metavar="B", help="the bucket")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--key", metavar="K", help="one object")
    which.add_argument(
        "--sample",
        type=_positive,
        default=SAMPLE,
        metavar="N",
        help=f"so many objects, drawn from both tracks by a keyed hash (default {SAMPLE})",
    )
    parser.add_argument("--seed", default="", help="key of the sample; another one draws other objects")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare. `DifferenceError` where the tracks disagree, `IncompleteError` where that is not known,
    `UsageError` for a bucket that neither track has.
    """

    def work(task: Task) -> None:
        _require_bucket(task, arguments.bucket)
        validator = Validator(task)
        if arguments.key is not None:
            _tell_object(task, arguments, validator.validate_object(arguments.bucket, arguments.key))
        else:
            _tell_bucket(task, arguments, validator)

    return run_task(arguments, work, locked=False, announced=False)


def _require_bucket(task: Task, bucket: str) -> None:
    """Of a bucket whose name was mistyped nothing may be called in sync."""
    if bucket not in task.drive.buckets() and bucket not in task.owner.stats().objects:
        raise UsageError(
            f"--bucket {bucket}: there is no such bucket on {task.drive.path}, nor in its store; `dualtrack "
            "engine inventory` lists them"
        )


def _tell_object(task: Task, arguments: argparse.Namespace, found: Finding) -> None:
    name = f"{arguments.bucket}/{arguments.key}"
    word = type(found).__name__
    task.notes["finding"] = {"kind": word, **asdict(found)}
    task.notes["message"] = f"{name}: {word}"
    if isinstance(found, InSync | Missing) or (isinstance(found, KvOnly) and _rows_alone(task)):
        return
    details = ", ".join(f"{field} {value}" for field, value in asdict(found).items())
    raise DifferenceError(f"{name}: {word}" + (f" ({details})" if details else ""))


def _tell_bucket(task: Task, arguments: argparse.Namespace, validator: Validator) -> None:
    stats = validator.validate_bucket_sample(arguments.bucket, arguments.sample, arguments.seed)
    task.counts.update(asdict(stats))
    apart = stats.diverged + stats.fs_only + (0 if _rows_alone(task) else stats.kv_only)
    if apart:
        raise DifferenceError(
            f"{apart} of {stats.checked} objects of bucket {arguments.bucket} are not the same on both "
            f"tracks: {'; '.join(task.names[:3])}"
        )
    if stats.errors:
        raise IncompleteError(f"{stats.errors} objects could not be compared: {'; '.join(task.names[:3])}")
    task.notes["message"] = f"{stats.checked} objects of bucket {arguments.bucket} are in sync"


def _rows_alone(task: Task) -> bool:
    """Whether rows without files are as they should be."""
    return marker.read(task.drive.path).state.reached(MarkerState.KV_ONLY)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("use 1 or more")
    return value
