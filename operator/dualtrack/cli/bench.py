"""`dualtrack bench`: measure the engine's modes and S3 servers side by side (docs/bench.md).

Results go to standard output, the bar and what went wrong to standard error. SIGTERM and Ctrl-C end the run
after the operation in hand, and what was written is removed; a second Ctrl-C ends that, too.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Final

from dualtrack.bench import report
from dualtrack.bench.engine import SETUPS, EngineSystem, check_room
from dualtrack.bench.machine import machine
from dualtrack.bench.measuring import Bench
from dualtrack.bench.report import Report
from dualtrack.bench.s3 import S3System
from dualtrack.bench.s3client import Endpoint
from dualtrack.bench.system import System
from dualtrack.bench.workloads import QUICK, Sizes, Workload
from dualtrack.errors import IncompleteError, UsageError
from dualtrack.gateway.auth import Credentials

SUMMARY: Final = "measure the engine's modes and S3 servers side by side, in interleaved rounds"
_USUAL: Final = Sizes()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--work-dir", metavar="DIR", help="where the engine's scratch drives go, and leave again"
    )
    parser.add_argument(
        "--systems",
        metavar="NAME,…",
        help=f"modes of the engine, the first the yardstick: {','.join(SETUPS)} [all, with --work-dir]",
    )
    parser.add_argument(
        "--endpoint",
        action="append",
        default=[],
        metavar="[NAME=]URL",
        help="an S3 server; may be repeated. Writes only below dualtrack-bench-ID/, and removes that",
    )
    parser.add_argument("--bucket", help="on every endpoint; has to be there")
    parser.add_argument(
        "--access-key", help="[AWS_ACCESS_KEY_ID]; the secret comes from AWS_SECRET_ACCESS_KEY alone"
    )
    parser.add_argument("--region", default="us-east-1", help="of the endpoints' signatures [us-east-1]")
    parser.add_argument("--ca-file", default="", metavar="FILE", help="whom to trust for https")
    parser.add_argument(
        "--workloads", default=",".join(Workload), metavar="NAME,…", help=f"of {','.join(Workload)} [all]"
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK.objects} objects, a few seconds")
    _add_size(parser, "--objects", "small objects, and keys that are listed", _USUAL.objects)
    _add_size(parser, "--size", "bytes of a small object", _USUAL.size)
    _add_size(parser, "--large-objects", "large objects, and uploads of known content", _USUAL.large_objects)
    _add_size(parser, "--large-size", "bytes of a large object", _USUAL.large_size)
    _add_size(parser, "--listings", "listings of each depth, a round", _USUAL.listings)
    _add_size(parser, "--rounds", "turns that each system's work is spread over", _USUAL.rounds)
    parser.add_argument("--clients", type=_count, default=1, metavar="N", help="at the same time [1]")
    parser.add_argument("--seed", type=int, metavar="N", help="of contents and order [random, and printed]")
    parser.add_argument("--id", metavar="TEXT", help="names what is written [random]")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--chart", metavar="FILE", help="an SVG as well")


def _add_size(parser: argparse.ArgumentParser, name: str, told: str, usual: int) -> None:
    parser.add_argument(name, type=_count, metavar="N", help=f"{told} [{usual:,}]")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of 1 or more")
    return int(text)


def execute(arguments: argparse.Namespace) -> int:
    """0; 50 where operations failed, the run was ended, or something could not be removed; 51 where a system
    answered with what was never written; 40 where the place to write to is not empty."""
    sizes, workloads = _sizes(arguments), _workloads(arguments)
    run_id = arguments.id or secrets.token_hex(6)
    if not run_id.replace("-", "").isalnum() or not run_id.isascii():
        raise UsageError(f"--id {run_id!r}: letters, digits and dashes only")
    if arguments.chart and not Path(arguments.chart).absolute().parent.is_dir():
        raise UsageError(f"--chart {arguments.chart}: its directory is not there")
    systems = _systems(arguments, run_id, sizes)
    seed = secrets.randbelow(2**31) if arguments.seed is None else arguments.seed
    date = datetime.now(UTC).isoformat(timespec="seconds")
    with _ending() as ended, _bar() as told:
        bench = Bench(systems, sizes, seed, arguments.clients, lambda: ended.by is not None, told)
        try:
            bench.run(workloads)
        except IncompleteError:
            if ended.by is not signal.SIGINT:
                raise
            raise KeyboardInterrupt from None
        finally:
            for name in bench.left:
                print(f"dualtrack: not removed: {name}", file=sys.stderr)
    _tell(arguments, _found(bench, run_id, date))
    if bench.left:
        raise IncompleteError(f"{len(bench.left)} things could not be removed: {bench.left[0]}")
    if bench.failures:
        raise IncompleteError(f"{len(bench.failures)} operations failed: {bench.failures[0]}")
    return 0


def _found(bench: Bench, run_id: str, date: str) -> Report:
    return Report(
        run_id=run_id,
        date=date,
        machine=machine(),
        seed=bench.seed,
        clients=bench.clients,
        sizes=bench.sizes,
        systems={system.name: system.told for system in bench.systems},
        lines=report.lines(bench.measured, bench.clients, bench.systems[0].name),
        failures=bench.failures,
        left=bench.left,
    )


def _sizes(arguments: argparse.Namespace) -> Sizes:
    usual = QUICK if arguments.quick else _USUAL
    names = ("objects", "size", "large_objects", "large_size", "listings", "rounds")
    given = {name: value for name in names if (value := getattr(arguments, name)) is not None}
    return replace(usual, **given)


def _workloads(arguments: argparse.Namespace) -> list[Workload]:
    return [Workload(name) for name in _names("--workloads", arguments.workloads, tuple(Workload))]


def _names(option: str, text: str, known: Sequence[str]) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in known:
            raise UsageError(f"{option} {text}: {name!r} is none of {', '.join(known)}")
    return list(dict.fromkeys(names))


def _systems(arguments: argparse.Namespace, run_id: str, sizes: Sizes) -> list[System]:
    """In the order of the command line, the engine's first; the first of all is the yardstick."""
    if arguments.systems and not arguments.work_dir:
        raise UsageError("--systems are measured on scratch drives: say where, with --work-dir")
    systems: list[System] = []
    if arguments.work_dir:
        names = _names("--systems", arguments.systems or ",".join(SETUPS), tuple(SETUPS))
        check_room(arguments.work_dir, len(names), sizes)
        systems += [EngineSystem(name, arguments.work_dir, run_id) for name in names]
    systems += _servers(arguments, run_id)
    if not systems:
        raise UsageError(
            "nothing to measure: give --work-dir for the engine, --endpoint for a server, or both"
        )
    names = [system.name for system in systems]
    if len(set(names)) < len(names):
        raise UsageError(f"two systems have one name in {', '.join(names)}; write --endpoint NAME=URL")
    return systems


def _servers(arguments: argparse.Namespace, run_id: str) -> Iterator[System]:
    if not arguments.endpoint:
        return
    access = arguments.access_key or os.environ.get("AWS_ACCESS_KEY_ID")
    secret = os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not access or not secret:
        raise UsageError("--endpoint: give --access-key or AWS_ACCESS_KEY_ID, and AWS_SECRET_ACCESS_KEY")
    if not arguments.bucket:
        raise UsageError("--endpoint: give --bucket, of a bucket that is there")
    credentials = Credentials(access, secret, arguments.region)
    for text in arguments.endpoint:
        name, equals, url = text.partition("=")
        if not equals:
            name, url = "", text
        endpoint = Endpoint.parse(url, arguments.ca_file)
        name = name or endpoint.host
        if not name.replace("-", "").replace(".", "").isalnum():
            raise UsageError(f"--endpoint {text}: a name has letters, digits, dots and dashes only")
        yield S3System(name, endpoint, credentials, arguments.bucket, run_id)


def _tell(arguments: argparse.Namespace, found: Report) -> None:
    if arguments.format == "json":
        print(json.dumps(report.document(found), indent=2))
    else:
        print(report.table(found), end="")
    if arguments.chart:
        try:
            Path(arguments.chart).write_text(report.drawn(found), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"--chart {arguments.chart}: {error.strerror}") from error


@dataclass(slots=True)
class _Ended:
    """Which signal asked for the end; None while nobody did."""

    by: signal.Signals | None = None


@contextmanager
def _ending() -> Iterator[_Ended]:
    ended = _Ended()

    def end(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and ended.by is not None:
            raise KeyboardInterrupt
        ended.by = signal.Signals(number)

    before = {each: signal.signal(each, end) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield ended
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal. It is painted between two turns only: a thread that paints would be measured."""
    if not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as progress:
        task = progress.add_task("bench")

        def told(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total, refresh=True)

        yield told
