"""`dualtrack engine ledger`: count inodes, rows and versions, and leave the figures on the drive."""

from __future__ import annotations

import argparse

from dualtrack.cli.subparsers import Subparsers
from dualtrack.cli.tasks import add_task_arguments, run_task
from dualtrack.engine.ledger import ledger


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    summary = "count inodes, rows and versions, and leave the figures on the drive"
    parser = subparsers.add_parser("ledger", help=summary, description=summary)
    add_task_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it."""
    return run_task(arguments, ledger, locked=False)
