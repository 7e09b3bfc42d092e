"""`kubectl mmig`: look at a MetadataMigration and tell it what to do.

Installed on the PATH as `kubectl-mmig`, kubectl finds it by itself. It reads and annotates the one object
and nothing else, so whoever may patch a MetadataMigration may use it. `status --watch` ends with 0 once the
migration has succeeded and with 1 when it has failed or was rolled back, so that a pipeline can use it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.live import Live

from dualtrack.adapters import kubernetes
from dualtrack.adapters.kinds import MIGRATION
from dualtrack.api import names
from dualtrack.cli import mmig_view
from dualtrack.errors import DualTrackError, UnavailableError, UsageError

COMMANDS = {
    "pause": "Stop before the next step; the data plane stays as it is",
    "resume": "Go on after a pause, with the failure counters and the window of the phase reset",
    "rollback": "Lead the target back to the file system",
    "abort": "End the attempt where it is safe to end",
    "force": "Pass a pod that cannot answer any more; needs a reason and never skips a critical gate",
}
ENDED = ("Complete", "Failed", "RolledBack")

Migration = Mapping[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    try:
        return asyncio.run(run(arguments))
    except DualTrackError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="kubectl mmig", description="Look at and steer a MetadataMigration")
    where = "kubeconfig file (default: $KUBECONFIG, ~/.kube/config)"
    top.add_argument("--kubeconfig", default=None, help=where)
    common = argparse.ArgumentParser(add_help=False)
    # Before or after the verb, as kubectl takes it; left out here it must not undo what stood before.
    common.add_argument("--kubeconfig", default=argparse.SUPPRESS, help=where)
    common.add_argument("name", help="name of the MetadataMigration")
    common.add_argument("-n", "--namespace", default=None, help="namespace (default: the context's)")
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    status = verbs.add_parser(
        "status", parents=[common], help="Show phase, evidence, Jobs and what is awaited"
    )
    status.add_argument("-w", "--watch", action="store_true", help="show it live until it ends")
    status.add_argument("--timeout", type=float, default=0, metavar="SECONDS", help="give up after this long")
    verbs.add_parser("history", parents=[common], help="Show who moved it, when, and why")
    verbs.add_parser("explain", parents=[common], help="Say in words what each gate waits for")
    approve = verbs.add_parser("approve", parents=[common], help="Approve the step that waits for it")
    approve.add_argument("--step", required=True, help="the step to approve, as shown (CutOver, Purge)")
    for verb, text in COMMANDS.items():
        one = verbs.add_parser(verb, parents=[common], help=text)
        one.add_argument("--reason", required=verb == "force", default="", help="kept in the history")
    return top


async def run(arguments: argparse.Namespace) -> int:
    namespace = arguments.namespace or context_namespace(arguments.kubeconfig)
    async with await kubernetes.connect(arguments.kubeconfig) as cluster:

        async def read() -> Migration:
            return await cluster.get(MIGRATION, namespace, arguments.name)

        async def annotate(migration: Migration, annotations: Mapping[str, str]) -> None:
            metadata = migration["metadata"]
            patch = {"metadata": {"annotations": dict(annotations)}}
            await cluster.merge_patch(MIGRATION, namespace, arguments.name, patch, uid=metadata["uid"])

        match arguments.verb:
            case "status":
                return await show(read, watch=arguments.watch, timeout=arguments.timeout)
            case "history":
                Console().print(mmig_view.history(await read()))
            case "explain":
                Console().print(mmig_view.explain(await read()))
            case "approve":
                migration = await read()
                value = approval_value(migration, arguments.step)
                who = await cluster.whoami()
                await annotate(
                    migration, {names.ANNOTATION_APPROVE: value, names.ANNOTATION_APPROVED_BY: who}
                )
                print(f"{arguments.step} of {namespace}/{arguments.name} approved by {who} ({value})")
            case verb:
                migration = await read()
                value = command_value(migration, verb, arguments.reason)
                await annotate(migration, {names.ANNOTATION_COMMAND: value})
                print(f"{verb} asked of {namespace}/{arguments.name} ({value})")
    return 0


async def show(read: Callable[[], Awaitable[Migration]], *, watch: bool, timeout: float) -> int:  # noqa: ASYNC109 - a limit of the picture, not of a call
    console = Console()
    migration = await read()
    if not watch:
        console.print(mmig_view.render(migration))
        sys.stdout.write(mmig_view.report(migration))
        return 0
    deadline = time.monotonic() + timeout if timeout else None
    with Live(mmig_view.render(migration), console=console, refresh_per_second=4) as live:
        while migration.get("status", {}).get("phase") not in ENDED:
            if deadline is not None and time.monotonic() > deadline:
                raise UnavailableError(f"not ended within {timeout:.0f} s; it goes on without this watch")
            await asyncio.sleep(1)
            migration = await read()
            live.update(mmig_view.render(migration))
    if not console.is_terminal:
        console.line()  # where nothing is live, the last picture comes without the end of its line
    sys.stdout.write(mmig_view.report(migration))
    return 0 if migration["status"]["phase"] == "Complete" else 1


def approval_value(migration: Migration, step: str) -> str:
    """`STEP.ATTEMPT.ID` of what waits. Raises `UsageError` where something else, or nothing, waits."""
    pending = migration.get("status", {}).get("pendingApproval")
    if not pending:
        raise UsageError("nothing waits for approval; `kubectl mmig status` says what is awaited")
    if pending["step"] != step:
        raise UsageError(f"{pending['step']} waits for approval, not {step}; approve what is shown")
    return f"{pending['step']}.{pending['attempt']}.{pending['id']}"


def command_value(migration: Migration, verb: str, reason: str) -> str:
    """`VERB.ATTEMPT.ID[.REASON]`. `resume` carries the id of the pause that it ends."""
    status = migration.get("status", {})
    attempt = status.get("attempt", migration["spec"].get("attempt", 1))
    if verb == "resume":
        pause = status.get("pause")
        if not pause:
            raise UsageError("it is not paused; `kubectl mmig status` says what is awaited")
        identity = pause["id"]
    else:
        identity = secrets.token_hex(4)
    return f"{verb}.{attempt}.{identity}" + (f".{reason}" if reason else "")


def context_namespace(kubeconfig: str | None) -> str:
    """The namespace of the current context, as kubectl takes it; `default` where none is set."""
    path = Path(
        kubeconfig or os.environ.get("KUBECONFIG", "").split(os.pathsep)[0] or Path.home() / ".kube/config"
    )
    try:
        document = yaml.safe_load(path.read_text()) or {}
    except (OSError, yaml.YAMLError):
        return "default"
    for context in document.get("contexts") or ():
        if context.get("name") == document.get("current-context"):
            return str((context.get("context") or {}).get("namespace") or "default")
    return "default"


if __name__ == "__main__":
    sys.exit(main())
