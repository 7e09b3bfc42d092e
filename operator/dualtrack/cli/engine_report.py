"""`dualtrack engine report` and `report check`: write down what a drive and its store hold, and prove it
later.

The report goes to FILE as JSON and, for people, to a page beside it. It is written whatever it has to say;
the exit code says whether that is good. A check needs FILE and the drive, the store, or a snapshot of it.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dualtrack.cli.jobresult import add_job_arguments
from dualtrack.cli.tasks import run_task
from dualtrack.engine import files
from dualtrack.engine.drive import Drive
from dualtrack.engine.look import look
from dualtrack.engine.proof import signing
from dualtrack.engine.proof.build import Builder
from dualtrack.engine.proof.check import Check
from dualtrack.engine.proof.document import RANGE_SIZE, Report, decode
from dualtrack.engine.proof.page import page
from dualtrack.engine.task import Task
from dualtrack.errors import DifferenceError, IncompleteError, UsageError

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    Subparsers = _SubParsersAction[argparse.ArgumentParser]

SHOWN = 20
_MORE = "see `dualtrack engine report check --help` for the check"


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb and its check."""
    summary = "write down what a drive and its store hold, so that anybody can check it later"
    parser = subparsers.add_parser("report", help=summary, description=f"{summary}; {_MORE}")
    parser.add_argument("--drive", action="append", metavar="DIR", help="a server's drive")
    parser.add_argument("--store", action="append", metavar="DIR", help="its store [DRIVE/.dualtrack/store]")
    parser.add_argument("--out", metavar="FILE", help="the report, JSON; FILE.html is the page for people")
    parser.add_argument("--sign-key", metavar="PEM", help="sign with this Ed25519 private key")
    parser.add_argument(
        "--detail",
        choices=("keys", "ranges"),
        default="keys",
        help="keys: 11 bytes more for each object, so that a check can name the one that differs",
    )
    parser.add_argument(
        "--range-size", type=_positive, default=RANGE_SIZE, metavar="N", help="objects in a range [1000]"
    )
    parser.add_argument("--client-only", action="store_true", help="never own the store, only ask its owner")
    add_job_arguments(parser)
    parser.set_defaults(run=run, dry_run=False)
    _add_check(parser.add_subparsers(dest="step", metavar="[check]"))


def _add_check(steps: Subparsers) -> None:
    summary = "prove or refute a report, from the drive, the store or a snapshot of it"
    description = f"{summary}: exit 0 proven, 51 refuted (with the range and the object), 50 neither"
    parser = steps.add_parser("check", help=summary, description=description)
    parser.add_argument("report", metavar="FILE", help="what `report --out` has written")
    parser.add_argument("--drive", metavar="DIR", help="read every file of this drive")
    parser.add_argument("--store", metavar="DIR", help="read every row of this store or snapshot")
    parser.add_argument("--public-key", metavar="PEM", help="the signature must be this key's")
    parser.add_argument("--root", metavar="DIGEST", help="the root that was published with the report")
    parser.add_argument("--client-only", action="store_true", help="never open the store, only ask its owner")
    parser.set_defaults(run=check, result_file=None)


def run(arguments: argparse.Namespace) -> int:
    """Make the report. `DifferenceError` or `IncompleteError` where it has to say so."""
    for name in ("drive", "out"):
        if not getattr(arguments, name):
            raise UsageError(f"--{name} is missing; {_MORE}")
    if len(arguments.drive) > 1:
        raise UsageError("--drive: a report is of one drive; the reports of its drives are a set's")
    made: list[Report] = []

    def work(task: Task) -> None:
        report = Builder(task, arguments.detail == "keys", arguments.range_size).run()
        if arguments.sign_key:
            report = replace(report, signature=signing.sign(report.root, arguments.sign_key))
        files.write_atomic(arguments.out, report.encode())
        files.write_atomic(page_name(arguments.out), page(report).encode())
        made.append(report)
        task.notes |= {"root": report.root, "message": f"{report.head['verdict']}, root {report.root}"}
        _require_equal(report, arguments.out)

    return run_task(arguments, work, locked=False, announced=False)


def page_name(out: str) -> str:
    """`report.json` → `report.html`."""
    return str(Path(out).with_suffix(".html")) if out.endswith(".json") else f"{out}.html"


def _require_equal(report: Report, out: str) -> None:
    match report.head["verdict"]:
        case "Equal":
            return
        case "Different":
            raise DifferenceError(
                f"{len(report.head['differences'])} objects differ between files and rows; {out} names them: "
                "run migrate, verify, then report again"
            )
        case _:
            raise IncompleteError(
                f"{len(report.head['unread'])} files or directories could not be read; {out} names them"
            )


def check(arguments: argparse.Namespace) -> int:
    """Hold the report against what is there. `DifferenceError`: refuted; `IncompleteError`: not proven."""
    if not (arguments.drive or arguments.store):
        raise UsageError("give --drive, --store or both: a report is checked against what it is about")
    try:
        data = Path(arguments.report).read_bytes()
    except OSError as error:
        raise UsageError(f"{arguments.report}: {error.strerror}") from error
    report = decode(data, arguments.report)
    checked = Check(report)
    checked.itself(arguments.root)
    _signature(report, arguments.public_key)
    if arguments.store:
        drive_id = report.head["drive"]["driveID"]
        with look(
            arguments.store, drive=arguments.drive, client_only=arguments.client_only, drive_id=drive_id
        ) as store:
            checked.store(store)
    if arguments.drive:
        checked.drive(Drive.open(arguments.drive), store_given=bool(arguments.store))
    return _conclude(checked, arguments.report)


def _signature(report: Report, public_key: str | None) -> None:
    if public_key:
        print(f"signed by {signing.require_valid(report.root, report.signature, public_key)}")
    elif report.signature:
        print("signature: not checked, no --public-key was given", file=sys.stderr)


def _conclude(checked: Check, name: str) -> int:
    for line in checked.proven:
        print(_printable(line))
    for title, lines in (("REFUTED", checked.refuted), ("unproven", checked.unproven)):
        for line in lines[:SHOWN]:
            print(f"{title}: {_printable(line)}")
        if (left := len(lines) - SHOWN) > 0:
            print(f"{title}: and {left} more")
    sys.stdout.flush()
    if checked.refuted:
        raise DifferenceError(f"{name} is refuted: {len(checked.refuted)} findings")
    if checked.unproven:
        raise IncompleteError(f"{name} is not proven: {len(checked.unproven)} findings left open")
    print(f"proven: {name}, root {checked.report.root}, of {checked.report.head['time']}")
    return 0


def _printable(text: str) -> str:
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("use 1 or more")
    return value
