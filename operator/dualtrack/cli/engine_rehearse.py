"""`dualtrack engine rehearse`: restore a sample of rows into a folder of its own, compare, and remove it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from dualtrack.cli.tasks import add_task_arguments, run_task
from dualtrack.engine.rehearse import SAMPLE, rehearse

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    Subparsers = _SubParsersAction[argparse.ArgumentParser]


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
