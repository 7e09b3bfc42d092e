"""`dualtrack engine report`: write down what drives and their stores hold, for somebody to check later.

The report goes to FILE as JSON and, for people, to a page beside it. It is written whatever it has to say;
the exit code says whether that is good. Several drives make one report, with a part for each.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dualtrack.cli import report_check
from dualtrack.cli.jobresult import add_job_arguments
from dualtrack.cli.subparsers import Subparsers
from dualtrack.cli.tasks import run_task
from dualtrack.engine import files
from dualtrack.engine.proof import signing
from dualtrack.engine.proof.build import Builder
from dualtrack.engine.proof.deployment import DeploymentReport
from dualtrack.engine.proof.document import RANGE_SIZE, Report
from dualtrack.engine.proof.page import page
from dualtrack.engine.sets.topology import group
from dualtrack.engine.task import Task
from dualtrack.errors import DifferenceError, IncompleteError, UsageError

_MORE = "see `dualtrack engine report check --help` for the check"


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb and its check."""
    summary = "write down what a drive and its store hold, so that anybody can check it later"
    parser = subparsers.add_parser("report", help=summary, description=f"{summary}; {_MORE}")
    parser.add_argument("--drive", action="append", metavar="DIR", help="a server's drive; once for each")
    parser.add_argument(
        "--store", action="append", metavar="DIR", help="its store; once for each [DRIVE/.dualtrack/store]"
    )
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
    report_check.add_parser(parser.add_subparsers(dest="step", metavar="[check]"))


def run(arguments: argparse.Namespace) -> int:
    """Make the report. `DifferenceError` or `IncompleteError` where it has to say so."""
    for name in ("drive", "out"):
        if not getattr(arguments, name):
            raise UsageError(f"--{name} is missing; {_MORE}")
    _require_writable(arguments)
    parts: list[Report] = []
    made: list[str] = []

    def work(task: Task) -> None:
        part = Builder(task, arguments.detail == "keys", arguments.range_size).run()
        parts.append(part)
        task.notes["message"] = f"{part.verdict}, root {part.root}"

    def together(tasks: Sequence[Task]) -> None:
        report = _whole(tasks, parts)
        if arguments.sign_key:
            report = replace(report, signature=signing.sign(report.root, arguments.sign_key))
        try:
            files.write_atomic(arguments.out, report.encode())
            files.write_atomic(page_name(arguments.out), page(report).encode())
        except OSError as error:
            raise IncompleteError(
                f"--out {arguments.out}: {error.strerror}; the report is not there"
            ) from error
        for task in tasks:
            task.notes["root"] = report.root
        made.append(report.root)
        _require_equal(report.verdict, parts, arguments.out)

    code = run_task(arguments, work, locked=False, announced=False, together=together)
    if len(parts) > 1 and arguments.progress != "json":
        print(f"report: Equal on {len(parts)} drives, root {made[0]}")
    return code


def _require_writable(arguments: argparse.Namespace) -> None:
    """UsageError now, and not after hours of reading, where the report could not be signed or left."""
    folder = Path(arguments.out).absolute().parent
    if not os.access(folder, os.W_OK | os.X_OK) or Path(arguments.out).is_dir():
        raise UsageError(
            f"--out {arguments.out}: no file can be made there; name one in a writable directory"
        )
    if arguments.sign_key:
        signing.sign("", arguments.sign_key)


def _whole(tasks: Sequence[Task], parts: Sequence[Report]) -> Report | DeploymentReport:
    """One drive's report as it is; of several, each as a part of one."""
    if len(parts) == 1:
        return parts[0]
    missing = group([task.drive for task in tasks]).missing()
    return DeploymentReport.of(parts, list(missing), tasks[0].now())


def page_name(out: str) -> str:
    """`report.json` → `report.html`."""
    return str(Path(out).with_suffix(".html")) if out.endswith(".json") else f"{out}.html"


def _require_equal(verdict: str, parts: Sequence[Report], out: str) -> None:
    match verdict:
        case "Equal":
            return
        case "Different":
            raise DifferenceError(
                f"{_named(parts, 'differences')} objects differ between files and rows; {out} names them: "
                "run migrate, verify, then report again"
            )
        case _:
            raise IncompleteError(
                f"{_named(parts, 'unread')} files or directories could not be read; {out} names them"
            )


def _named(parts: Sequence[Report], field: str) -> int:
    return sum(len(part.head[field]) for part in parts)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("use 1 or more")
    return value
