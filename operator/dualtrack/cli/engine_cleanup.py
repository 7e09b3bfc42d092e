"""`dualtrack engine cleanup hold|purge|directories`: take files away once the store is the only truth."""

from __future__ import annotations

import argparse

from dualtrack.cli.named import stores
from dualtrack.cli.subparsers import Subparsers
from dualtrack.cli.tasks import Work, add_task_arguments, run_task
from dualtrack.engine.cleanup import directories, hold, purge
from dualtrack.engine.cleanup.preconditions import refuse_running_server
from dualtrack.engine.drive import STORE_DIRECTORY
from dualtrack.engine.orphans.routine import collect_beside
from dualtrack.engine.task import Task

_STEPS = {
    "hold": "move each xl.meta that its row makes superfluous to .dualtrack/hold/; undo: engine restore",
    "purge": "remove what is held; from then on the store is the only copy; undo: engine restore",
    "directories": "remove the directories that are empty because of that; undo: engine restore. Data that "
    "nothing names is moved aside first; undo: engine orphans undo RUN",
}


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb and its three steps."""
    summary = "take metadata files away from a drive, in three steps that can be restored from the store"
    parser = subparsers.add_parser("cleanup", help=summary, description=summary)
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    for name, text in _STEPS.items():
        step = steps.add_parser(name, help=text, description=text)
        add_task_arguments(step, stopped=True)
        step.add_argument("--limit", type=_positive, default=0, metavar="N", help="stop after N of them")
        if name == "purge":
            step.add_argument(
                "--snapshot",
                metavar="DIR",
                help="a verified snapshot on another disk; of several drives the folder of theirs",
            )
            step.add_argument(
                "--accept-same-device",
                action="store_true",
                help="the snapshot may lie on a disk of the drive, and be lost with it",
            )
        step.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do one step. `RefusedError` says which precondition does not hold."""
    if arguments.server_stopped:
        for store in (*stores(arguments), *(f"{drive}/{STORE_DIRECTORY}" for drive in arguments.drive)):
            refuse_running_server(store)

    def prove_snapshot(task: Task) -> None:
        where = task.own(arguments.snapshot) if arguments.snapshot else None
        purge.prepare(task, where, same_device=arguments.accept_same_device)

    works: dict[str, tuple[Work, ...]] = {
        "hold": (hold.prepare, hold.seal, hold.take),
        "purge": (prove_snapshot, purge.remove),
        "directories": (directories.prepare, collect_beside, directories.take),
    }
    arguments.verb = f"cleanup {arguments.step}"
    return run_task(arguments, *works[arguments.step], locked=True)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("use 1 or more")
    return value
