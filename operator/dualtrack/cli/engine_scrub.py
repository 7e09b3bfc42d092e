"""`dualtrack engine scrub`: read every entry of a store and name each that is damaged."""

from __future__ import annotations

import argparse

from dualtrack.cli.named import places
from dualtrack.cli.subparsers import Subparsers
from dualtrack.cli.tasks import add_task_arguments, run_task
from dualtrack.engine import client
from dualtrack.engine.scrub import scrub
from dualtrack.engine.stores.location import Driver, locate
from dualtrack.engine.stores.place import refuse_unreadable


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    summary = "read every entry of a store; ends with 0 only if all are sound, and names those that are not"
    parser = subparsers.add_parser("scrub", help=summary, description=summary)
    add_task_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check. `StoreCorruptError` if anything is damaged."""
    for drive, store in places(arguments):
        location = locate(store, drive.path)
        owned = arguments.client_only or (location.directory and client.answers(location.directory))
        if location.driver is Driver.LMDB and location.exists() and not owned:
            refuse_unreadable(location.directory)
    return run_task(arguments, scrub, locked=False)
