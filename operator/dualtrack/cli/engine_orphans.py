"""`dualtrack engine orphans collect|list|undo|purge`: data directories that no row names, on a drive whose
rows are the truth.
"""

from __future__ import annotations

import argparse

from dualtrack.cli.named import stores
from dualtrack.cli.subparsers import Subparsers
from dualtrack.cli.tasks import Work, add_task_arguments, run_task
from dualtrack.engine.cleanup.preconditions import refuse_running_server
from dualtrack.engine.drive import STORE_DIRECTORY
from dualtrack.engine.orphans import collecting, keeping

_STEPS = {
    "collect": "move data directories that nothing has named for a day to .dualtrack/orphans/",
    "list": "tell what lies there, with the run that moved it",
    "undo": "give back what a run moved",
    "purge": "remove what has lain there for a week and is named by nothing",
}


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb and its steps."""
    summary = "find data directories that no row names, move them aside, and remove them a week later"
    parser = subparsers.add_parser("orphans", help=summary, description=summary)
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    for name, text in _STEPS.items():
        step = steps.add_parser(name, help=text, description=text)
        add_task_arguments(step, stopped=True)
        if name in ("collect", "purge"):
            step.add_argument("--limit", type=_positive, default=0, metavar="N", help="stop after N of them")
        if name == "collect":
            step.add_argument(
                "--accept-many",
                action="store_true",
                help="more than 1 %% of the drive's data directories may be orphans",
            )
        if name == "undo":
            step.add_argument("taken_back", metavar="RUN", help="the id of the run to take back")
        step.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do one step. `RefusedError` says what forbids it, `DifferenceError` what was left."""
    if arguments.server_stopped:
        for store in (*stores(arguments), *(f"{drive}/{STORE_DIRECTORY}" for drive in arguments.drive)):
            refuse_running_server(store)
    works: dict[str, Work] = {
        "collect": lambda task: collecting.collect(task, accept=arguments.accept_many),
        "list": keeping.tell_all,
        "undo": lambda task: keeping.undo(task, arguments.taken_back),
        "purge": keeping.purge,
    }
    step = arguments.step
    arguments.verb = f"orphans {step}"
    return run_task(arguments, works[step], locked=step != "list", announced=step != "list")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("use 1 or more")
    return value
