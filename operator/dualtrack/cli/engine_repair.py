"""`dualtrack engine repair --strategy …`, and `repair undo RUN`: one side is right, by a person's word."""

from __future__ import annotations

import argparse

from dualtrack.cli.named import stores
from dualtrack.cli.places import add_object_argument, places_of
from dualtrack.cli.subparsers import Subparsers
from dualtrack.cli.tasks import add_task_arguments, run_task
from dualtrack.engine.cleanup.preconditions import refuse_running_server
from dualtrack.engine.drive import STORE_DIRECTORY
from dualtrack.engine.repair.apply import repair
from dualtrack.engine.repair.plan import LIMIT, PERCENT, Cap, require
from dualtrack.engine.repair.strategies import Strategy
from dualtrack.engine.repair.undo import undo
from dualtrack.engine.task import Task
from dualtrack.errors import UsageError

_STRATEGIES = """strategies:
  sync-to-kv  the file is right: its row is made from it
  use-fs      the file is right: the row is retired or buried, and the next sweep makes it anew
  sync-to-fs  the row is right: the file is written from it; the old one is kept
  use-kv      the row is right, and rows alone are served (kv_only): the file is moved aside"""


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    summary = "make files and rows that differ agree again; all of it can be undone by its run id"
    parser = subparsers.add_parser(
        "repair",
        help=summary,
        description=summary,
        epilog=_STRATEGIES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "undo",
        nargs="*",
        metavar="undo RUN",
        help="take back the run with this id; ID@FENCE where several had it",
    )
    add_task_arguments(parser, stopped=True)
    parser.add_argument("--strategy", type=Strategy, choices=list(Strategy), help="which side is right")
    add_object_argument(parser)
    parser.add_argument(
        "--limit", type=_positive, default=LIMIT, metavar="N", help=f"refuse to repair more (default {LIMIT})"
    )
    parser.add_argument(
        "--max-percent",
        type=_percent,
        default=PERCENT,
        metavar="P",
        help=f"refuse to repair more of the store's objects (default {PERCENT:g})",
    )
    parser.add_argument(
        "--accept-newer", action="store_true", help="sync-to-fs: the row is right although the file is newer"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Repair or undo. `RefusedError` says what forbids it, `DifferenceError` what was left."""
    taken_back = _run_to_undo(arguments)
    places = places_of(arguments)
    if arguments.server_stopped:
        for store in (*stores(arguments), *(f"{drive}/{STORE_DIRECTORY}" for drive in arguments.drive)):
            refuse_running_server(store)

    def allowed(task: Task) -> None:
        """Of every drive before one is changed: a set of which a part was repaired would be a surprise."""
        if not taken_back:
            require(task, arguments.strategy)

    def work(task: Task) -> None:
        # A limit of a repair refuses the whole of it; it does not end it in the middle.
        task.limit = 0
        if taken_back:
            undo(task, taken_back)
        else:
            cap = Cap(arguments.limit, arguments.max_percent)
            repair(task, arguments.strategy, places, cap, accept_newer=arguments.accept_newer)

    arguments.verb = "repair undo" if taken_back else "repair"
    return run_task(arguments, allowed, work, locked=True)


def _run_to_undo(arguments: argparse.Namespace) -> str:
    match arguments.undo:
        case [] if arguments.strategy is not None:
            return ""
        case ["undo", str(run_id)] if arguments.strategy is None:
            return run_id
        case _:
            raise UsageError("say either --strategy STRATEGY or: repair undo RUN")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("use 1 or more")
    return value


def _percent(text: str) -> float:
    value = float(text)
    if not 0 < value <= 100:
        raise argparse.ArgumentTypeError("use more than 0 and at most 100")
    return value
