"""`dualtrack engine export`: every version that a store holds, from the store alone, as `inventory` prints
it; of the stores of several drives what their sets hold, as `inventory` of all these drives.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from dualtrack.cli import cycles, streams
from dualtrack.cli.subparsers import Subparsers
from dualtrack.cli.versions_out import TABULAR, add_out_argument, write_versions
from dualtrack.engine.entries import Entry, json_text
from dualtrack.engine.export import LeftOut, exported, exported_lines
from dualtrack.engine.inventory import Tally
from dualtrack.engine.jsonlines import json_lines
from dualtrack.engine.owner import OwnerSettings
from dualtrack.engine.owner_api import OwnerApi
from dualtrack.engine.session import connect
from dualtrack.engine.sets import layout
from dualtrack.engine.sets.rows import RowSource
from dualtrack.engine.sets.topology import group
from dualtrack.engine.sets.view import SetView
from dualtrack.engine.stores.location import locate, require_store
from dualtrack.errors import IncompleteError, StoreCorruptError


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    summary = "list every version that a store holds; reads no file of the drive"
    parser = subparsers.add_parser("export", help=summary, description=summary)
    parser.add_argument(
        "--store",
        action="append",
        required=True,
        metavar="DIR",
        help="the store; repeat it for every drive of the server",
    )
    parser.add_argument(
        "--format",
        choices=("jsonl", *TABULAR),
        default="jsonl",
        help="in listing order; jsonl: one object per version; csv, parquet: the same fields as columns",
    )
    add_out_argument(parser)
    parser.add_argument("--client-only", action="store_true", help="never own the store")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the versions. `StoreCorruptError` where rows are damaged, `IncompleteError` where objects are
    left in their files because nobody can read them: everything else was written.
    """
    left_out = LeftOut()
    cycles.look_rarely()
    if not arguments.client_only:
        for store in arguments.store:
            require_store(locate(store))

    @contextmanager
    def connected() -> Iterator[list[OwnerApi]]:
        with ExitStack() as stack:
            yield [
                stack.enter_context(connect(None, store, OwnerSettings(), client_only=arguments.client_only))
                for store in arguments.store
            ]

    def versions() -> Iterator[Entry]:
        with connected() as owners:
            if len(owners) == 1:
                yield from exported(owners[0], left_out)
            else:
                yield from _of_sets(owners, arguments.store, left_out.resident)

    def lines() -> Iterator[bytes]:
        if len(arguments.store) > 1:
            yield from json_lines(versions())
            return
        with connected() as owners:
            yield from exported_lines(owners[0], left_out)

    write_versions(arguments, versions(), lines())
    return _told(arguments.store, left_out)


def _told(given: Sequence[str], left_out: LeftOut) -> int:
    """0 where nothing was left out; every name on standard error before the error that counts them."""
    resident, stores = left_out.resident, ", ".join(str(locate(store)) for store in given)
    what = "not in the store" if len(given) == 1 else "undecided"
    for kind, names in ((what, resident), ("damaged", left_out.damaged)):
        for name in names:
            streams.say(f"{kind}: {json.dumps(json_text(name))}")
    if left_out.damaged:
        raise StoreCorruptError(
            f"{len(left_out.damaged)} rows of {stores} are damaged and were left out; scrub names all "
            "damage, restore-store makes the store anew from a snapshot and the row log"
        )
    if resident and len(given) > 1:
        raise IncompleteError(f"{len(resident)} things cannot be decided: {resident[0]}")
    if resident:
        raise IncompleteError(f"{len(resident)} objects of {stores} are quarantined, in their files")
    return 0


def _of_sets(owners: Sequence[OwnerApi], stores: Sequence[str], resident: list[str]) -> Iterator[Entry]:
    drives = [layout.drive_of(owner, store) for owner, store in zip(owners, stores, strict=True)]
    sources = [RowSource.of(drive, owner) for drive, owner in zip(drives, owners, strict=True)]
    view, tally = SetView(group(drives), sources), Tally()
    for bucket in view.buckets():
        yield from view.entries(bucket, tally)
    resident += [problem.message for problem in tally.problems]
    resident += view.deployment.blind()
    for note in view.notes():
        streams.say(json.dumps(json_text(note), ensure_ascii=False).strip('"'))
