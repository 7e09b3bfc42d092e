"""`dualtrack engine restore`: the way back from a drive whose metadata is in the store."""

from __future__ import annotations

import argparse

from dualtrack.cli.subparsers import Subparsers
from dualtrack.cli.tasks import add_task_arguments, run_task
from dualtrack.engine.restore import give_back, rebuild


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    summary = (
        "rebuild every xl.meta from its row, and give the drive back to stock servers; undo: cleanup hold"
    )
    parser = subparsers.add_parser("restore", help=summary, description=summary)
    add_task_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it. Ends well only when every row equals the file that was written."""
    return run_task(arguments, rebuild, give_back, locked=True)
