"""An empty store for a dry run where there is none yet: the run takes the same path and leaves nothing.

It lies in a temporary directory, because the drive may be mounted read-only and a killed run must not leave a
store there that the next one takes for a migrated drive's. What the real place would refuse is asked of the
real place.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from dualtrack.engine.stores.location import Driver, Location
from dualtrack.engine.stores.opening import postgresql_schemas
from dualtrack.engine.stores.place import refuse_unsound


def is_there(location: Location, drive_id: str) -> bool:
    """As `location.exists()`, but a database is asked, too: opening the store would make it."""
    if location.driver is Driver.POSTGRESQL:
        return bool(postgresql_schemas(location).exists(location, location.schema_of(drive_id)))
    return location.exists()


@contextmanager
def stand_in(location: Location) -> Iterator[str]:
    """What `--store` is to say instead. `StoreError` where no store may be in `location`."""
    if location.driver is Driver.LMDB:
        refuse_unsound(_there(os.path.abspath(location.directory)))
    with TemporaryDirectory(prefix="dualtrack-dry-run-") as directory:
        yield f"rocksdb:{directory}" if location.driver is Driver.ROCKSDB else directory


def _there(path: str) -> str:
    """The nearest directory above that exists, where the others would be made."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path
