"""`dualtrack engine inventory`: what a drive holds, or what several drives of one server hold together.

It reads files, needs no store and writes nothing. One drive gives its own view; several give the view that
their sets' quorum gives, and drives that deviate from it are named.

What cannot be read is named on standard error, each with its class, and a listing then ends with the exit
code of IncompleteError: a list with silent gaps would be worse than none. A summary counts what is damaged or
in a form that is not read (it will be quarantined by name), and fails only where another try may tell more.

Progress is told where standard output is not the list itself.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, fields

from dualtrack.cli import streams
from dualtrack.cli.jobresult import Outcome, add_job_arguments, write_result
from dualtrack.cli.subparsers import Subparsers
from dualtrack.cli.versions_out import TABULAR, add_out_argument, write_versions
from dualtrack.engine.drive import Drive
from dualtrack.engine.entries import Entry, json_text
from dualtrack.engine.inventory import TELL_EVERY, Counts, Tally, count_inodes, inventory
from dualtrack.engine.jsonlines import json_lines
from dualtrack.engine.progress import ProgressReport
from dualtrack.engine.sets.topology import group
from dualtrack.engine.sets.view import DriveSource, SetView
from dualtrack.errors import IncompleteError, UsageError


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    summary = "list every version on a drive, or count them by bucket"
    parser = subparsers.add_parser("inventory", help=summary, description=summary)
    parser.add_argument(
        "--drive",
        action="append",
        required=True,
        metavar="DIR",
        help="a server's drive; all drives of the server together give what its S3 API lists",
    )
    parser.add_argument("--bucket", action="append", metavar="NAME", help="only this bucket; may be repeated")
    parser.add_argument(
        "--format",
        choices=("table", "jsonl", *TABULAR, "summary"),
        default="table",
        help="jsonl, csv, parquet: every version, in listing order; summary: one object with the counts",
    )
    add_out_argument(parser)
    parser.add_argument("--store", metavar="DIR", help="accepted like by every verb; not read")
    parser.add_argument(
        "--client-only", action="store_true", help="accepted like by every verb; no store is opened"
    )
    add_job_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the inventory. IncompleteError where something could not be read."""
    drives = [Drive.open(path) for path in arguments.drive]
    view = SetView(group(drives), [DriveSource.of(drive) for drive in drives])
    buckets = view.buckets()
    wanted = buckets if arguments.bucket is None else arguments.bucket
    if missing := sorted(set(wanted) - set(buckets)):
        raise UsageError(f"--bucket {missing[0]}: there is no such bucket on {', '.join(arguments.drive)}")
    tally = Tally()
    if len(drives) == 1:
        found = inventory(drives[0], tally, buckets=wanted)
    else:
        found = (entry for bucket in wanted for entry in view.entries(bucket, tally))
    listing = arguments.format in ("jsonl", *TABULAR)
    told = not listing or bool(arguments.out)
    with ProgressReport(arguments.verb, arguments.progress) if told else nullcontext() as progress:

        def tell() -> None:
            if progress:
                progress.report(tally.total().objects, 0, None)

        found = _watched(found, tell)
        if listing:
            write_versions(arguments, found, json_lines(found))
        else:
            for _ in found:
                pass
            for bucket in wanted:
                on = [source.drive for source in view.sources if bucket in source.buckets]
                tally.counts(bucket).inodes = sum(count_inodes(drive, bucket, tell) for drive in on)
    if not listing:
        sys.stdout.write(summary_json(tally) if arguments.format == "summary" else table(tally))
    sys.stdout.flush()
    return _report(arguments, view, tally)


def _watched(found: Iterable[Entry], tell: Callable[[], None]) -> Iterator[Entry]:
    for number, entry in enumerate(found):
        if number % TELL_EVERY == 0:
            tell()
        yield entry


def summary_json(tally: Tally) -> str:
    buckets = {bucket: asdict(counts) for bucket, counts in tally.buckets.items()}
    return json.dumps({"buckets": buckets, "total": asdict(tally.total())}, separators=(",", ":")) + "\n"


def table(tally: Tally) -> str:
    """Counts by bucket, with a total, in columns."""
    names = [field.name for field in fields(Counts)]
    rows = [["bucket", *(name.replace("_", " ") for name in names)]]
    for bucket, counts in (*tally.buckets.items(), ("total", tally.total())):
        rows.append([bucket, *(str(getattr(counts, name)) for name in names)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() + "\n"
        for row in rows
    )


def _report(arguments: argparse.Namespace, view: SetView, tally: Tally) -> int:
    drives = view.deployment.drives
    for stranger in sorted({name for drive in drives for name in drive.strangers()}):
        streams.say(f"not a bucket: {json.dumps(json_text(stranger))}")
    for line in view.notes() if len(drives) > 1 else ():
        streams.say(json.dumps(json_text(line), ensure_ascii=False).strip('"'))
    for problem in tally.problems:
        streams.say(f"unreadable: {problem.reason}: {json.dumps(json_text(problem.message))}")
    counted_only = arguments.format == "summary"
    failing = [problem for problem in tally.problems if problem.transient or not counted_only]
    message = "complete"
    if failing:
        message = f"{len(failing)} files or directories of {', '.join(arguments.drive)} could not be read"
    elif blind := list(view.deployment.blind()) if len(drives) > 1 else []:
        message = "; ".join(blind)
    elif not counted_only and (held := [drive.path for drive in drives if drive.held]):
        message = (
            f"{', '.join(held)}: cleanup has taken the metadata files, so the store alone knows the objects; "
            "see dualtrack engine ls and export"
        )
    code = 0 if message == "complete" else IncompleteError.exit_code
    write_result(arguments, drives[0], _outcome(drives[0], tally, message, code))
    if code:
        raise IncompleteError(message)
    return 0


def _outcome(drive: Drive, tally: Tally, message: str, code: int) -> Outcome:
    system = os.statvfs(drive.path)
    return Outcome(
        ok=code == 0,
        message=message,
        exit_code=code,
        scanned=tally.total().objects,
        counts={**asdict(tally.total()), "buckets": len(tally.buckets), "setDrives": drive.drive_count},
        unreadable=[f"{problem.path}: {problem.reason}" for problem in tally.problems],
        extra={"inodesUsed": system.f_files - system.f_ffree},
    )
