"""`dualtrack engine verify`: read every file again, or a sample, and hold it against its row; 0 only if all
is there and equal.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from dualtrack.cli.subparsers import Subparsers
from dualtrack.cli.tasks import add_task_arguments, run_task
from dualtrack.engine.against_snapshot import verify_against_snapshot
from dualtrack.engine.sampled import SampledVerification, next_sample
from dualtrack.engine.sets import across
from dualtrack.engine.task import Task
from dualtrack.engine.verify import Verification
from dualtrack.errors import UsageError

_ID = re.compile(r"[0-9a-f]{32}")


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    summary = (
        "read every file again and compare it with the store; ends with 0 only if all is there and equal"
    )
    parser = subparsers.add_parser("verify", help=summary, description=summary)
    add_task_arguments(parser)
    parser.add_argument(
        "--final", action="store_true", help="the drive is at KvOnly: rows may be newer than files"
    )
    parser.add_argument(
        "--waivers",
        type=_ids,
        default=frozenset(),
        metavar="ID,…",
        help="ids of quarantined objects that may stay in their files, beside those of quarantine waive",
    )
    parser.add_argument(
        "--sample-ppm",
        type=int,
        metavar="N",
        help="look at N objects in a million only, drawn by a keyed hash",
    )
    parser.add_argument("--seed", default="", help="key of the sample; by default the store's own id")
    parser.add_argument(
        "--round", type=int, metavar="R", help="which slice of the sample; by default the next one"
    )
    parser.add_argument(
        "--against-snapshot",
        metavar="DIR",
        help="hold the store against its last snapshot, not against files",
    )
    parser.add_argument(
        "--accept-deviations",
        action="store_true",
        help="of several drives: those that missed writes, or have more than their set, may stay as they are",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Compare. DifferenceError, or IncompleteError where something could not be compared."""
    if arguments.sample_ppm is None and (arguments.seed or arguments.round is not None):
        raise UsageError("--seed and --round belong to a sample: give --sample-ppm, too")

    def work(task: Task) -> None:
        if arguments.against_snapshot:
            verify_against_snapshot(task, task.own(arguments.against_snapshot))
            return
        if arguments.sample_ppm is not None:
            sample = next_sample(task.owner, arguments.sample_ppm, arguments.seed, arguments.round)
            SampledVerification(task, sample, arguments.final).run()
            return
        # In the cluster the waivers are the operator's, and it reads from the result whether they suffice.
        strict = not arguments.client_only
        with task.recorded("verify", "", required=False):
            Verification(task, arguments.final, arguments.waivers, strict).run()
        task.notes["message"] = (
            f"files and rows of {task.drive.path} are equal: {task.counts['objects']} objects"
        )

    partial = arguments.sample_ppm is not None or arguments.against_snapshot
    whole = not partial and len(arguments.drive) > 1

    def across_drives(tasks: Sequence[Task]) -> None:
        across.compare(tasks, accept=arguments.accept_deviations)

    return run_task(arguments, work, locked=False, together=across_drives if whole else None)


def _ids(text: str) -> frozenset[str]:
    ids = frozenset(filter(None, text.split(",")))
    if wrong := [each for each in ids if not _ID.fullmatch(each)]:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r} is no id of a waiver")
    return ids
