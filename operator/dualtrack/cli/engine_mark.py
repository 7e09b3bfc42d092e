"""`dualtrack engine mark`: move the drive's marker by one state, on proof."""

from __future__ import annotations

import argparse

from dualtrack.cli.subparsers import Subparsers
from dualtrack.cli.tasks import add_task_arguments, run_task
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.marking import mark
from dualtrack.engine.task import Task


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    summary = (
        "move the drive's marker by one state, if the store's records prove that the step is due; "
        "undo: mark back"
    )
    parser = subparsers.add_parser("mark", help=summary, description=summary)
    add_task_arguments(parser)
    parser.add_argument("--state", required=True, choices=[state.value for state in MarkerState])
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Move the marker. MarkerError where the step is not proven."""

    def work(task: Task) -> None:
        moved = mark(task, task.held_lock(), MarkerState(arguments.state))
        task.notes["message"] = f"the marker of {task.drive.path} says {moved.state}, epoch {moved.epoch}"

    return run_task(arguments, work, locked=True, creates=True)
