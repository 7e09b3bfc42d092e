"""`dualtrack engine report check`: prove or refute a report, from what it is about.

It needs FILE and the drive, the store, or a snapshot of it; of a report of several drives these for each. A
drive of which nothing was named is unproven.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from dualtrack.cli.subparsers import Subparsers
from dualtrack.engine.drive import Drive
from dualtrack.engine.look import look
from dualtrack.engine.proof import signing
from dualtrack.engine.proof.check import Check, require_root
from dualtrack.engine.proof.deployment import DeploymentReport, decode
from dualtrack.engine.proof.document import Report
from dualtrack.engine.sets.topology import group
from dualtrack.errors import DifferenceError, DriveError, IncompleteError, UsageError

SHOWN = 20


def add_parser(steps: Subparsers) -> None:
    """Declare the step of `report`."""
    summary = "prove or refute a report, from the drives, the stores or snapshots of them"
    description = f"{summary}: exit 0 proven, 51 refuted (with the range and the object), 50 neither"
    parser = steps.add_parser("check", help=summary, description=description)
    parser.add_argument("report", metavar="FILE", help="what `report --out` has written")
    parser.add_argument("--drive", action="append", metavar="DIR", help="read every file of this drive")
    parser.add_argument(
        "--store",
        action="append",
        metavar="DIR",
        help="read every row of this store or snapshot; of several drives one for each --drive, or without "
        "any the store of each drive in the report's order",
    )
    parser.add_argument("--public-key", metavar="PEM", help="the signature must be this key's")
    parser.add_argument("--root", metavar="DIGEST", help="the root that was published with the report")
    parser.add_argument("--client-only", action="store_true", help="never open the store, only ask its owner")
    parser.set_defaults(run=run, result_file=None)


def run(arguments: argparse.Namespace) -> int:
    """Hold the report against what is there. `DifferenceError`: refuted; `IncompleteError`: not proven."""
    if not (arguments.drive or arguments.store):
        raise UsageError("give --drive, --store or both: a report is checked against what it is about")
    try:
        data = Path(arguments.report).read_bytes()
    except OSError as error:
        raise UsageError(f"{arguments.report}: {error.strerror}") from error
    report = decode(data, arguments.report)
    require_root(report, arguments.root)
    checks = [Check(part) for part in parts_of(report)]
    for check in checks:
        check.itself()
    _signature(report, arguments.public_key)
    for check, drive, store in _sides(checks, arguments.drive or [], arguments.store or []):
        if store is not None:
            path = drive.path if drive else None
            with look(
                store, drive=path, client_only=arguments.client_only, drive_id=check.report.drive_id
            ) as opened:
                check.store(opened)
        if drive is not None:
            check.drive(drive, store_given=store is not None)
    return _conclude(report, checks, arguments.report)


def parts_of(report: Report | DeploymentReport) -> tuple[Report, ...]:
    return report.parts if isinstance(report, DeploymentReport) else (report,)


def _sides(
    checks: Sequence[Check], drives: Sequence[str], stores: Sequence[str]
) -> Iterator[tuple[Check, Drive | None, str | None]]:
    """Each part with what it is to be held against."""
    if not drives:
        if len(stores) != len(checks):
            raise UsageError(
                f"--store was given {len(stores)} times, and the report is of {len(checks)} drives: give the "
                "store of each in the report's order, or --drive beside each"
            )
        yield from ((check, None, store) for check, store in zip(checks, stores, strict=True))
        return
    if stores and len(stores) != len(drives):
        raise UsageError(
            f"--store was given {len(stores)} times and --drive {len(drives)} times: name them in the same "
            "order, one for each"
        )
    opened = [Drive.open(path) for path in drives]
    group(opened)
    known = {check.report.drive_id: check for check in checks}
    for number, drive in enumerate(opened):
        if drive.drive_id not in known:
            raise DriveError(
                f"{drive.path} is drive {drive.drive_id}, the report is of {', '.join(known)}; name "
                f"{'that drive' if len(known) == 1 else 'one of these drives'}"
            )
        yield known[drive.drive_id], drive, stores[number] if stores else None


def _signature(report: Report | DeploymentReport, public_key: str | None) -> None:
    if public_key:
        print(f"signed by {signing.require_valid(report.root, report.signature, public_key)}")
    elif report.signature:
        print("signature: not checked, no --public-key was given", file=sys.stderr)


def _conclude(report: Report | DeploymentReport, checks: Sequence[Check], name: str) -> int:
    several = isinstance(report, DeploymentReport)
    for check in checks:
        if not check.looked_at:
            check.unproven.append("neither the drive nor its store was named")
        _tell(check, f"{check.report.of_drive}: " if several else "")
    sys.stdout.flush()
    if refuted := [check for check in checks if check.refuted]:
        count = sum(len(check.refuted) for check in refuted)
        raise DifferenceError(f"{name} is refuted: {count} findings{_on(refuted, several=several)}")
    if unproven := [check for check in checks if check.unproven]:
        count = sum(len(check.unproven) for check in unproven)
        raise IncompleteError(
            f"{name} is not proven: {count} findings left open{_on(unproven, several=several)}"
        )
    print(f"proven: {name}, root {report.root}, of {report.head['time']}")
    return 0


def _tell(check: Check, whose: str) -> None:
    for line in check.proven:
        print(_printable(whose + line))
    for title, lines in (("REFUTED", check.refuted), ("unproven", check.unproven)):
        for line in lines[:SHOWN]:
            print(f"{title}: {_printable(whose + line)}")
        if (left := len(lines) - SHOWN) > 0:
            print(f"{title}: {whose}and {left} more")


def _on(checks: Sequence[Check], *, several: bool) -> str:
    return f", on {'; '.join(check.report.of_drive for check in checks)}" if several else ""


def _printable(text: str) -> str:
    return os.fsencode(text).decode("utf-8", "backslashreplace")
