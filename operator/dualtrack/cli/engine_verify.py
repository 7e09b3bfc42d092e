"""`dualtrack engine verify`: read every file again and hold it against its row; 0 only if all is there and
equal.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from dualtrack.cli.tasks import add_task_arguments, run_task
from dualtrack.engine.task import Task
from dualtrack.engine.verify import Verification

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    Subparsers = _SubParsersAction[argparse.ArgumentParser]


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    summary = (
        "read every file again and compare it with the store; ends with 0 only if all is there and equal"
    )
    parser = subparsers.add_parser("verify", help=summary, description=summary)
    add_task_arguments(parser)
    parser.add_argument(
        "--final", action="store_true", help="the drive is at KvOnly: rows may be newer than files"
    )
    parser.add_argument(
        "--waive",
        action="append",
        default=[],
        metavar="BUCKET/KEY",
        help="accept that this quarantined object stays in its file; may be repeated",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare. DifferenceError, or IncompleteError where something could not be compared."""

    def work(task: Task) -> None:
        # In the cluster the waivers are the operator's: it reads the count and the names from the result.
        strict = not arguments.client_only
        Verification(task, arguments.final, frozenset(arguments.waive), strict).run()
        task.notes["message"] = (
            f"files and rows of {task.drive.path} are equal: {task.counts['objects']} objects"
        )

    return run_task(arguments, work, locked=False)
