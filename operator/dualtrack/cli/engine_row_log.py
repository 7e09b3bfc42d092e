"""`dualtrack engine row-log start|stop|status`: every commit of a store, on another device."""

from __future__ import annotations

import argparse
from pathlib import Path

from dualtrack.cli.subparsers import Subparsers
from dualtrack.cli.tasks import Work, add_task_arguments, run_task
from dualtrack.engine.rowlog.opening import SETTING, Setting
from dualtrack.engine.task import Task


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb and its steps."""
    summary = "log every commit of a store on another device, so that its loss loses nothing acknowledged"
    parser = subparsers.add_parser("row-log", help=summary, description=summary)
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    start = _step(steps, "start", "begin a log; take a snapshot next: the two together give the store")
    start.add_argument("--to", required=True, type=_path, metavar="DIR", help="a directory on another disk")
    start.add_argument(
        "--flush-seconds",
        type=_whole,
        default=0,
        metavar="N",
        help="flush that often instead of before each commit: a power cut may lose the log that much",
    )
    start.add_argument(
        "--accept-same-device", action="store_true", help="it may lie on a disk of the drive, or of its store"
    )
    _step(steps, "stop", "end the log, also where its device is gone; its files stay")
    _step(steps, "status", "where the log lies, and whether snapshot and log together give the store")


def _step(steps: Subparsers, name: str, text: str) -> argparse.ArgumentParser:
    step = steps.add_parser(name, help=text, description=text)
    add_task_arguments(step)
    step.set_defaults(run=run)
    return step


def run(arguments: argparse.Namespace) -> int:
    """Do one step. `RefusedError` where a disk would hold both store and log."""
    step = arguments.step
    arguments.verb = f"row-log {step}"
    works: dict[str, Work] = {
        "start": lambda task: _start(task, arguments),
        "stop": _stop,
        "status": _tell,
    }
    changes = step != "status"
    # Whoever ends a log must get in without it; a dry run ends none.
    needs_log = step != "stop" or arguments.dry_run
    return run_task(arguments, works[step], locked=changes, announced=changes, needs_log=needs_log)


def _start(task: Task, arguments: argparse.Namespace) -> None:
    if task.dry_run:
        task.owner.log.start(
            arguments.to,
            arguments.flush_seconds,
            accept_same_device=arguments.accept_same_device,
            dry_run=True,
        )
        task.notes["message"] = f"a log could be begun in {arguments.to} (dry run)"
        return
    with task.recorded("row-log start", "dualtrack engine row-log stop", directory=arguments.to):
        task.owner.log.start(
            arguments.to, arguments.flush_seconds, accept_same_device=arguments.accept_same_device
        )
    task.notes["message"] = f"every commit goes to {arguments.to} from now on; " + (
        "the last snapshot and it give the store"
        if task.owner.log.status().covers
        else "take a snapshot (dualtrack engine snapshot --to DIR): the two together give the store"
    )


def _stop(task: Task) -> None:
    setting = Setting.of(task.owner.meta(SETTING))
    if setting is None:
        task.notes["message"] = "there is no row log"
        return
    known = setting.directory
    if task.dry_run:
        task.notes["message"] = f"the log in {known} could be ended (dry run)"
        return
    with task.recorded("row-log stop", f"dualtrack engine row-log start --to {known}, and a snapshot"):
        task.owner.log.stop()
    task.notes["message"] = f"the log in {known} has ended; its files stay, for the last snapshot's sake"


def _tell(task: Task) -> None:
    found = task.owner.log.status()
    task.notes |= {"rowLog": found.directory, "covers": found.covers, "record": found.seq}
    if not found.directory:
        task.notes["message"] = "there is no row log"
    elif found.failure:
        task.notes["message"] = f"the log in {found.directory} fails: {found.failure}"
    else:
        task.notes["message"] = f"the log in {found.directory} is at record {found.seq}; " + (
            "the last snapshot and it give the store"
            if found.covers
            else "no snapshot goes with it yet: take one"
        )


def _path(text: str) -> str:
    """Resolved here: the owner that is to write there may be a server with another working directory."""
    if not text:
        raise argparse.ArgumentTypeError("name a directory")
    return str(Path(text).absolute())


def _whole(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("use 0 or more")
    return value
