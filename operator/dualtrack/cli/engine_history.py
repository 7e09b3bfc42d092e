"""`dualtrack engine history`: who did what to a drive, when, with what outcome, and how it is taken back."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from dualtrack.cli.looking import columns, printable
from dualtrack.cli.subparsers import Subparsers
from dualtrack.engine.history import History, Step, history
from dualtrack.errors import CorruptError, DriveError

_HEAD = ("entry", "began", "ended", "state", "verb", "run", "by", "told")


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    summary = "every step that changed what a drive may be trusted for: who, when, outcome, undo"
    parser = subparsers.add_parser("history", help=summary, description=summary)
    parser.add_argument("--drive", required=True, metavar="DIR", help="a server's drive; no store is needed")
    parser.add_argument("--format", choices=("table", "jsonl"), default="table", help="jsonl: a step a line")
    parser.add_argument(
        "--expect",
        action="append",
        default=[],
        metavar="N:SHA256",
        help="an anchor that a result gave (`audit`): fail unless that entry is there, unchanged",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print it. `CorruptError` where the chain of entries does not hold, after all that can be read."""
    if not Path(arguments.drive).is_dir():
        raise DriveError(f"--drive {arguments.drive}: there is no such directory")
    try:
        found = history(arguments.drive)
    except OSError as error:
        raise DriveError(f"--drive {arguments.drive}: its audit cannot be read ({error})") from error
    if arguments.format == "jsonl":
        for step in found.steps:
            sys.stdout.write(json.dumps(step.to_json(), separators=(",", ":")) + "\n")
    else:
        columns((_row(step) for step in found.steps), _HEAD, frozenset({"entry"}))
    sys.stdout.flush()
    _judge(arguments, found)
    return 0


def _row(step: Step) -> tuple[str, ...]:
    begun, who = step.begun, step.begun.get("who", {})
    counts = ", ".join(f"{name} {count}" for name, count in step.ended.get("counts", {}).items())
    told = [str(step.ended.get("error", "")), counts, f"undo: {step.undo}" if step.undo else ""]
    return (
        str(step.number),
        str(begun.get("time", "")),
        str(step.ended.get("time", "")),
        str(step.state),
        printable(str(begun.get("verb", ""))),
        printable(str(begun.get("run", ""))),
        printable(f"{who.get('user') or who.get('uid', '')}@{who.get('host', '')}") if who else "",
        printable("; ".join(filter(None, told))),
    )


def _judge(arguments: argparse.Namespace, found: History) -> None:
    faults = list(found.faults)
    faults += [f"entry {each} is not there" for each in arguments.expect if each not in found.anchors]
    if faults:
        raise CorruptError(
            "audit",
            f"the audit of {arguments.drive} is not what was written: {'; '.join(faults[:5])}; compare it "
            "with the results that its Jobs left (`audit`) and with a copy from a backup",
        )
