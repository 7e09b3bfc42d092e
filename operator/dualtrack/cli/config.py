"""`dualtrack config check FILE` and `config to-cr FILE`: the guide's `migration.yaml`, checked, or said again
as a MetadataMigration.

What is wrong with the file goes to standard error, a line each, as compilers write it (`FILE:LINE:COLUMN`);
the exit code is then UsageError's. What a MetadataMigration cannot say is a comment in it and a warning.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Final

import yaml

from dualtrack.config.document import Checked, check
from dualtrack.config.mapping import Surroundings, resource
from dualtrack.config.schema import SETTINGS
from dualtrack.errors import DualTrackError, UsageError

SUMMARY: Final = "check the guide's migration.yaml, or print the MetadataMigration that means the same"
_KIND = "deployment"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare both steps."""
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    summary = "name every unknown or wrong setting with its line and column; exit 2 if there is one"
    checking = steps.add_parser("check", help=summary, description=summary)
    summary = "print the MetadataMigration that means the same; what it cannot say is a comment and a warning"
    making = steps.add_parser("to-cr", help=summary, description=summary)
    for step in (checking, making):
        step.add_argument("file", metavar="FILE", help="a migration.yaml; - is standard input")
    making.add_argument("--name", required=True, help="name of the MetadataMigration")
    making.add_argument("--namespace", required=True, help="namespace of the target and of the migration")
    making.add_argument("--target", required=True, metavar="deployment/NAME", help="the workload to switch")
    making.add_argument("--container", metavar="NAME", help="its container that serves [the workload's name]")
    making.add_argument(
        "--mount-path", default="/data", metavar="DIR", help="where its drive is mounted [/data]"
    )
    making.add_argument("--drive-name", default="data", metavar="NAME", help="name for the drive [data]")
    making.add_argument(
        "--ack-secret", metavar="NAME", help="Secret with the token [the workload's name-ack]"
    )
    making.add_argument(
        "--prometheus",
        default="http://prometheus.monitoring:9090",
        metavar="URL",
        help="where the measurements come from [%(default)s]",
    )
    making.add_argument("--snapshot-claim", metavar="NAME", help="PersistentVolumeClaim for the snapshot")
    making.add_argument(
        "--skip-validation", metavar="REASON", help="why the S3 coverage of the server need not be shown"
    )


def execute(arguments: argparse.Namespace) -> int:
    """Do one step. The exit code is that of the error tree."""
    try:
        checked = _checked(arguments.file)
        if arguments.step == "to-cr":
            _print_resource(arguments, checked)
        else:
            print(f"{arguments.file}: {len(checked.said)} of {len(SETTINGS)} settings, all of them valid")
    except DualTrackError as error:
        print(f"dualtrack: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _checked(name: str) -> Checked:
    """The file's settings; `UsageError` once all that is wrong with them has been told."""
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{name}:{line}: is no UTF-8 text; save the file as UTF-8") from error
    checked = check(text)
    for problem in checked.problems:
        print(f"{name}:{problem}", file=sys.stderr)
    if checked.problems:
        many = len(checked.problems)
        raise UsageError(f"{name} has {many} problem{'s' if many > 1 else ''}; nothing was made of it")
    return checked


def _print_resource(arguments: argparse.Namespace, checked: Checked) -> None:
    kind, slash, target = arguments.target.partition("/")
    if kind.lower() not in (_KIND, _KIND + "s", "deploy") or not slash or not target:
        raise UsageError(
            f"--target {arguments.target}: write deployment/NAME; this version switches Deployments"
        )
    for option in ("name", "namespace"):
        if not _NAME.fullmatch(getattr(arguments, option)):
            raise UsageError(
                f"--{option} {getattr(arguments, option)!r}: write lower-case letters, digits and -"
            )
    around = Surroundings(
        name=arguments.name,
        namespace=arguments.namespace,
        target=target,
        container=arguments.container or target,
        drive_name=arguments.drive_name,
        mount_path=arguments.mount_path,
        acknowledgement_secret=arguments.ack_secret or f"{target}-ack",
        prometheus=arguments.prometheus,
        snapshot_claim=arguments.snapshot_claim,
        skip_validation=arguments.skip_validation,
    )
    made, notes = resource(checked.values, around)
    for note in notes:
        print(f"dualtrack: warning: {note}", file=sys.stderr)
    comments = [f"# Made from {Path(arguments.file).name} by `dualtrack config to-cr`."]
    if notes:
        comments.append("# Not said below, because a MetadataMigration has no words for it:")
        comments += [f"# - {note}" for note in notes]
    print("\n".join(comments))
    sys.stdout.write(yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=100))
    sys.stdout.flush()
