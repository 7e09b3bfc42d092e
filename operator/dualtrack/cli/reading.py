"""What verbs that change nothing need: a drive and its store, without raising anybody's fence.

`run_task` announces a run, which ends whichever run came before it. A look must not stop a sweep.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dualtrack.engine.drive import STORE_DIRECTORY, Drive
from dualtrack.engine.owner import OwnerSettings
from dualtrack.engine.owner_api import OwnerApi
from dualtrack.engine.session import connect
from dualtrack.engine.stores.location import locate, require_store


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """The drive and its store."""
    parser.add_argument("--drive", required=True, metavar="DIR", help="a server's drive")
    parser.add_argument(
        "--store",
        metavar="STORE",
        help=f"the drive's store; by default {STORE_DIRECTORY} on the drive",
    )
    parser.add_argument("--client-only", action="store_true", help="never own the store, only ask its owner")


@contextmanager
def reading(arguments: argparse.Namespace) -> Iterator[tuple[Drive, OwnerApi]]:
    """The drive and the store's owner, closed at the end."""
    drive = Drive.open(arguments.drive)
    store = str(arguments.store or Path(drive.path, STORE_DIRECTORY))
    location = locate(store, drive.path)
    if not arguments.client_only:
        require_store(location)
    settings = OwnerSettings(drive_id=drive.drive_id)
    with connect(drive.path, store, settings, client_only=arguments.client_only) as owner:
        yield drive, owner
