"""`dualtrack engine export`: every version that a store holds, from the store alone, as `inventory` prints
it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dualtrack.cli.engine_inventory import json_lines
from dualtrack.engine.entries import Entry, json_text
from dualtrack.engine.export import exported
from dualtrack.engine.owner import OwnerSettings
from dualtrack.engine.session import connect
from dualtrack.errors import IncompleteError

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    Subparsers = _SubParsersAction[argparse.ArgumentParser]


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    summary = "list every version that a store holds; reads no file of the drive"
    parser = subparsers.add_parser("export", help=summary, description=summary)
    parser.add_argument("--store", required=True, metavar="DIR", help="the store")
    parser.add_argument(
        "--format", choices=("jsonl",), default="jsonl", help="one object per version, in listing order"
    )
    parser.add_argument("--client-only", action="store_true", help="never own the store")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the versions. IncompleteError where objects are left in their files because nobody can read
    them.
    """
    resident: list[str] = []

    def versions() -> Iterator[Entry]:
        with connect(None, arguments.store, OwnerSettings(), client_only=arguments.client_only) as owner:
            yield from exported(owner, resident)

    for line in json_lines(versions()):
        sys.stdout.write(line)
    sys.stdout.flush()
    for name in resident:
        print(f"not in the store: {json.dumps(json_text(name))}", file=sys.stderr)
    if resident:
        raise IncompleteError(f"{len(resident)} objects of {arguments.store} are quarantined, in their files")
    return 0
