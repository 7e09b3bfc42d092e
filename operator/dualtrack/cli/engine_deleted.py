"""`dualtrack engine deleted list|give-back`: objects that a sweep took for deleted, kept for 30 days."""

from __future__ import annotations

import argparse
import json
import sys

from dualtrack.cli.looking import columns, printable
from dualtrack.cli.places import add_object_argument, places_of
from dualtrack.cli.subparsers import Subparsers
from dualtrack.cli.tasks import add_task_arguments, run_task
from dualtrack.engine.deleted import give_back
from dualtrack.engine.entries import json_text
from dualtrack.engine.kept_values import kept
from dualtrack.engine.task import Task
from dualtrack.errors import StoreCorruptError


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb and what can be done."""
    summary = "rows that a sweep buried, or whose files it could no longer read, kept for 30 days"
    parser = subparsers.add_parser("deleted", help=summary, description=summary)
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    text = (
        "each with the day on which it was replaced; changes nothing. From KvOnly on nothing can be given "
        "back and nothing expires; after a restore both go on"
    )
    listing = steps.add_parser("list", help=text, description=text)
    listing.add_argument("--drive", required=True, metavar="DIR", help="a server's drive; no store is needed")
    listing.add_argument("--format", choices=("text", "jsonl"), default="text", help="for people or programs")
    listing.set_defaults(run=_list)
    text = "write their files and rows again, where nothing took their place and their data is still there"
    giving = steps.add_parser("give-back", help=text, description=text)
    add_task_arguments(giving)
    add_object_argument(giving)
    giving.set_defaults(run=_give_back)


def _list(arguments: argparse.Namespace) -> int:
    damaged: list[str] = []
    found = kept(arguments.drive, damaged)
    if arguments.format == "jsonl":
        for day, row in found:
            told = {"day": day, "bucket": json_text(row.bucket), "key": json_text(row.key)}
            sys.stdout.write(json.dumps(told | {"bytes": len(row.data)}) + "\n")
    else:
        rows = ((day, str(len(row.data)), printable(f"{row.bucket}/{row.key}")) for day, row in found)
        columns(rows, ("day", "bytes", "object"), frozenset({"bytes"}))
    sys.stdout.flush()
    if damaged:
        raise StoreCorruptError(
            f"{len(damaged)} kept values are damaged and not listed, all others are: {'; '.join(damaged[:3])}"
        )
    return 0


def _give_back(arguments: argparse.Namespace) -> int:
    places = places_of(arguments)

    def work(task: Task) -> None:
        give_back(task, places)

    arguments.verb = "deleted give-back"
    return run_task(arguments, work, locked=True)
