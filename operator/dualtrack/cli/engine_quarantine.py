"""`dualtrack engine quarantine list|export|retry|waive`: the objects that could not be made into rows, by
name.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator

from dualtrack.cli.places import add_object_argument, places_of
from dualtrack.cli.reading import add_reading_arguments, reading
from dualtrack.cli.subparsers import Subparsers
from dualtrack.cli.tasks import add_task_arguments, run_task
from dualtrack.engine.quarantine_report import Report, export, report
from dualtrack.engine.retrying import retry
from dualtrack.engine.task import Task
from dualtrack.engine.waiving import Waiver, waive, withdraw
from dualtrack.errors import UsageError


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb and what can be done."""
    summary = "objects that are not in the store because their files cannot be read: list, retry, waive them"
    parser = subparsers.add_parser("quarantine", help=summary, description=summary)
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    _add_looks(steps)
    _add_changes(steps)


def _add_looks(steps: Subparsers) -> None:
    text = "each object with its class, hash, attempts, times and waiver; changes nothing"
    listing = steps.add_parser("list", help=text, description=text)
    add_reading_arguments(listing)
    listing.add_argument("--format", choices=("text", "jsonl"), default="text", help="for people or programs")
    listing.set_defaults(run=_list)
    text = "copy the files as they are, and what is known of them, to a directory"
    exporting = steps.add_parser("export", help=text, description=text)
    add_reading_arguments(exporting)
    exporting.add_argument("--to", required=True, metavar="DIR", help="a directory; made if it is not there")
    exporting.set_defaults(run=_export)


def _add_changes(steps: Subparsers) -> None:
    text = "read them again now; what reads well becomes a row and leaves the quarantine"
    retrying = steps.add_parser("retry", help=text, description=text)
    add_task_arguments(retrying)
    add_object_argument(retrying)
    retrying.set_defaults(run=_change)
    text = "accept that an object stays in its file as it is; a file that changes is not waived any more"
    waiving = steps.add_parser("waive", help=text, description=text)
    add_task_arguments(waiving)
    add_object_argument(waiving, required=True)
    waiving.add_argument("--sha256", metavar="HEX", help="of the file, as quarantine list shows it")
    waiving.add_argument("--reason", default="", help="why it may stay")
    waiving.add_argument("--withdraw", action="store_true", help="take the waivers of these objects back")
    waiving.set_defaults(run=_change)


def _list(arguments: argparse.Namespace) -> int:
    with reading(arguments) as (drive, owner):
        lines = _text(report(drive, owner)) if arguments.format == "text" else _json(report(drive, owner))
        for line in lines:
            sys.stdout.write(line + "\n")
    sys.stdout.flush()
    return 0


def _export(arguments: argparse.Namespace) -> int:
    with reading(arguments) as (drive, owner):
        count = export(drive, owner, arguments.to)
    print(f"quarantine export: {count} objects to {arguments.to}")
    return 0


def _change(arguments: argparse.Namespace) -> int:
    places = places_of(arguments)

    def work(task: Task) -> None:
        if arguments.step == "retry":
            retry(task, places)
        elif arguments.withdraw:
            withdraw(task, places)
        else:
            waive(task, [Waiver(*place, arguments.sha256, arguments.reason) for place in places])

    if arguments.step == "waive" and not arguments.withdraw:
        _require_answer(arguments)
    arguments.verb = f"quarantine {arguments.step}"
    return run_task(arguments, work, locked=False)


def _require_answer(arguments: argparse.Namespace) -> None:
    if not arguments.sha256 or not arguments.reason.strip():
        raise UsageError("a waiver says which content stays and why: give --sha256 and --reason")
    if len(arguments.drive) != 1:
        raise UsageError(
            "a waiver is of the file on one drive: name that --drive alone, and each in its turn"
        )
    if len(arguments.object) != 1:
        raise UsageError("a waiver is of one object, because --sha256 is: call it once per object")


def _json(found: Iterator[Report]) -> Iterator[str]:
    for each in found:
        yield json.dumps(each.to_json(), separators=(",", ":"), ensure_ascii=False)


def _text(found: Iterator[Report]) -> Iterator[str]:
    for each in found:
        record = each.record
        yield (
            (
                f"{record.name}  {record.reason}  sha256 {each.sha256}  {record.attempts} attempts, "
                f"{record.first_seen} to {record.last_seen}  {each.standing}"
            )
            .encode("utf-8", "backslashreplace")
            .decode()
        )
