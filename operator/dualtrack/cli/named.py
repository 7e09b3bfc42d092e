"""Which drives and stores a command line names: `--drive` once for each, `--store` as often or not at all."""

from __future__ import annotations

import argparse

from dualtrack.engine.drive import STORE_DIRECTORY, Drive
from dualtrack.engine.sets.topology import group
from dualtrack.errors import UsageError


def add_place_arguments(parser: argparse.ArgumentParser) -> None:
    """The two options; both may be repeated."""
    parser.add_argument(
        "--drive",
        action="append",
        required=True,
        metavar="DIR",
        help="a server's drive; repeat it for every drive of the server",
    )
    parser.add_argument(
        "--store",
        action="append",
        metavar="STORE",
        help="the drive's key-value store (DIR, rocksdb:DIR or postgresql://…), one for each --drive in "
        f"their order; by default {STORE_DIRECTORY} on the drive",
    )


def stores(arguments: argparse.Namespace) -> list[str]:
    """The store of each drive that was named. UsageError where their numbers differ or one stands twice."""
    if not arguments.store:
        return [f"{drive}/{STORE_DIRECTORY}" for drive in arguments.drive]
    if len(arguments.store) != len(arguments.drive):
        raise UsageError(
            f"--store was given {len(arguments.store)} times and --drive {len(arguments.drive)} times: each "
            f"drive has a store of its own; name them in the same order, or none for {STORE_DIRECTORY} there"
        )
    folders = [store for store in arguments.store if "://" not in store]  # a database has a schema a drive
    if len(set(folders)) != len(folders):
        raise UsageError("--store: two drives cannot share a store; name another for each")
    return list(arguments.store)


def places(arguments: argparse.Namespace) -> list[tuple[Drive, str]]:
    """Each drive with its store. DriveError where the drives are not of one server."""
    drives = [Drive.open(path) for path in arguments.drive]
    group(drives)
    return list(zip(drives, stores(arguments), strict=True))
