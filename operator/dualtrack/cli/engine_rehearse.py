"""`dualtrack engine rehearse`: restore a sample of rows into a folder of its own, compare, and remove it."""

from __future__ import annotations

import argparse

from dualtrack.cli.subparsers import Subparsers
from dualtrack.cli.tasks import add_task_arguments, run_task
from dualtrack.engine.rehearse import SAMPLE, rehearse


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    summary = "restore a sample of rows into a folder of its own, compare, and remove it"
    parser = subparsers.add_parser("rehearse", help=summary, description=summary)
    add_task_arguments(parser)
    parser.add_argument(
        "--sample", type=int, default=SAMPLE, metavar="N", help=f"rows to try; default {SAMPLE}"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it. DifferenceError where a row would not come back as it was."""
    return run_task(arguments, lambda task: rehearse(task, max(1, arguments.sample)), locked=True)
