"""What the verbs have in common when a Job runs them: who ordered the run, and the result that it leaves.

The result is one JSON object, written by a single write after everything else, so that half a result cannot
be taken for one. It goes to the container's termination message, which Kubernetes cuts at 4 KiB: names are
listed and warnings told only as far as they fit. Ordered by: `rollout/jobmanifest.py`; read by:
`rollout/results.py`.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

from dualtrack.cli import streams
from dualtrack.cli.numbers import whole
from dualtrack.engine import marker
from dualtrack.engine.drive import Drive
from dualtrack.engine.entries import json_text
from dualtrack.errors import DualTrackError, IncompleteError, UsageError

MAX_RESULT = 3 * 1024
MAX_NAMES = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a verb found. `scanned` is what its progress counts, `unreadable` are names, and `extra` holds
    fields of one verb alone."""

    ok: bool
    message: str
    exit_code: int = 0
    scanned: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    unreadable: Sequence[str] = ()
    extra: Mapping[str, object] = field(default_factory=dict)


def add_job_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that the operator gives to every Job, of which a verb may need none."""
    parser.add_argument("--run-id", default="", help="name of the run; stands in the result")
    parser.add_argument(
        "--fence", type=whole(), default=0, help="number that rises with every run of a migration"
    )
    parser.add_argument("--migration-uid", default="", help="UID of the migration that ordered the run")
    parser.add_argument("--epoch", type=whole(), default=0, help="epoch of the modes that the servers run in")
    parser.add_argument("--result-file", metavar="FILE", help="where the result goes, one JSON object")
    parser.add_argument(
        "--progress", choices=("none", "json"), default="none", help="report on standard output"
    )


def write_result(arguments: argparse.Namespace, drive: Drive | None, outcome: Outcome) -> None:
    """Leave the result where `--result-file` says; without it, nowhere.

    IncompleteError where a success cannot be told. A failure is told by the exit code, too, which stays.
    """
    if not arguments.result_file:
        return
    names = [json_text(name) for name in outcome.unreadable[:MAX_NAMES]]
    result: dict[str, object] = {
        "verb": arguments.verb,
        "runID": arguments.run_id,
        "fence": arguments.fence,
        "ok": outcome.ok,
        "exitCode": outcome.exit_code,
        "message": outcome.message[:512],
        "scanned": outcome.scanned,
        "counts": dict(outcome.counts),
        "drive": _identity(drive) if drive else {},
        **outcome.extra,
        "unreadable": names,
    }
    while len(data := json.dumps(result, separators=(",", ":")).encode()) > MAX_RESULT:
        warning = result.get("warning")
        if names:
            names.pop()
        elif isinstance(warning, str) and warning:
            result["warning"] = warning[: len(warning) // 2]  # all that a run warned of, one after the other
        else:
            break
    # In place, not by a rename: the termination message is a file that is mounted into the container.
    try:
        with _opened(arguments.result_file) as file:
            file.write(data)
    except OSError as error:
        message = (
            f"--result-file {arguments.result_file} cannot be written ({error.strerror}); "
            f"the run ended with {outcome.exit_code}: {outcome.message}"
        )
        arguments.result_file = None  # told once is enough
        if outcome.ok:
            raise IncompleteError(message) from error
        streams.say(f"dualtrack: {message}")


def _opened(path: str) -> FileIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    return FileIO(os.open(path, flags, 0o644), "w")


def clear_result(arguments: argparse.Namespace) -> None:
    """Empty the result of an earlier run, so that it cannot pass for this one's."""
    if not getattr(arguments, "result_file", None):
        return
    try:
        _opened(arguments.result_file).close()
    except OSError as error:
        path, arguments.result_file = arguments.result_file, None
        raise UsageError(
            f"--result-file {path}: {error.strerror}; name a file in a directory that is there and writable"
        ) from error


def write_failure(arguments: argparse.Namespace, error: DualTrackError) -> None:
    """Leave the error as the result, unless the verb has left one with more to it."""
    if getattr(arguments, "result_file", None) and not Path(arguments.result_file).stat().st_size:
        write_result(arguments, None, Outcome(ok=False, message=str(error), exit_code=error.exit_code))


def _identity(drive: Drive) -> dict[str, str]:
    found = marker.read(drive.path)
    return {
        "deploymentID": drive.deployment_id,
        "driveID": drive.drive_id,
        "storeUUID": found.store_uuid,
        "marker": str(found.state),
    }
