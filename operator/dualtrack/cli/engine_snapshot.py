"""`dualtrack engine snapshot`: copy the whole store to another directory, and prove the copy."""

from __future__ import annotations

import argparse

from dualtrack.cli.subparsers import Subparsers
from dualtrack.cli.tasks import add_task_arguments, run_task
from dualtrack.engine.snapshot import snapshot
from dualtrack.engine.task import Task


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    summary = "copy the whole store to another directory, and prove the copy"
    parser = subparsers.add_parser("snapshot", help=summary, description=summary)
    add_task_arguments(parser)
    parser.add_argument(
        "--to",
        required=True,
        metavar="DIR",
        help="where the copy goes, best another device; of several drives a folder for each in it",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Ends well only when the copy was opened again and is the same."""

    def work(task: Task) -> None:
        snapshot(task, task.own(arguments.to))

    return run_task(arguments, work, locked=False)
