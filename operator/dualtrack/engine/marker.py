"""The drive's own durable record of how far its migration is: `<drive>/.dualtrack/marker.json`.

It is written before the first server starts in the mode it names, and moved back only after the step back has
been verified. Whoever serves or changes a drive reads it first. A missing marker means that nothing has
happened to the drive (`FsAuthoritative`); one that cannot be read means that nobody may guess, so it is an
error.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum

from dualtrack.engine import checked, files
from dualtrack.engine.places import file_exists
from dualtrack.errors import MarkerError

SCHEMA = 1
CONTROL = ".dualtrack"


class MarkerState(StrEnum):
    FS_AUTHORITATIVE = "FsAuthoritative"
    DUAL_WRITE = "DualWrite"
    KV_PRIMARY = "KvPrimary"
    KV_ONLY = "KvOnly"
    PURGED = "Purged"

    @property
    def rank(self) -> int:
        return tuple(MarkerState).index(self)

    def reached(self, other: MarkerState) -> bool:
        """Whether the drive has come at least as far as `other`."""
        return self.rank >= other.rank


@dataclass(frozen=True, slots=True)
class Marker:
    state: MarkerState = MarkerState.FS_AUTHORITATIVE
    store_uuid: str = ""
    epoch: int = 0
    migration_uid: str = ""
    changed: str = ""
    schema: int = SCHEMA

    def moved(
        self, state: MarkerState, *, store_uuid: str, epoch: int, migration_uid: str, now: datetime
    ) -> Marker:
        return replace(
            self,
            state=state,
            store_uuid=store_uuid,
            epoch=epoch,
            migration_uid=migration_uid,
            changed=now.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        )


_NAMES = {"store_uuid": "storeUUID", "migration_uid": "migrationUID"}
_FIELDS = frozenset({"schema", "state", "storeUUID", "epoch", "migrationUID", "changed"})


def control_directory(drive: str) -> str:
    """`<drive>/.dualtrack`: everything of ours on a drive lies in it; stock servers leave it alone."""
    return os.path.join(drive, CONTROL)


def path_of(drive: str) -> str:
    return os.path.join(control_directory(drive), "marker.json")


def exists(drive: str) -> bool:
    """OSError where that cannot be told: a drive without a marker is one to which nothing has happened."""
    return file_exists(os.fsencode(path_of(drive)))


def read(drive: str) -> Marker:
    """The marker of a drive. Raises `MarkerError` if there is one that cannot be understood."""
    path = path_of(drive)
    try:
        data, _ = files.read_regular(path, 1 << 16)
    except FileNotFoundError:
        return Marker()
    try:
        fields = json.loads(data)
        if fields["schema"] > SCHEMA:
            raise MarkerError(
                f"{path} has schema {fields['schema']}, this build knows {SCHEMA}; use a newer one"
            )
        fields = checked.unpack(fields, _FIELDS)
        return Marker(
            MarkerState(fields["state"]),
            str(fields["storeUUID"]),
            int(fields["epoch"]),
            str(fields["migrationUID"]),
            str(fields["changed"]),
            int(fields["schema"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise MarkerError(
            f"{path} cannot be read ({error}); restore it from a backup, or ask what state the drive is in "
            "before anything is started on it"
        ) from error


def write(drive: str, marker: Marker) -> None:
    """Replace the marker durably. Whoever calls this holds the drive's lock and has verified the step."""
    files.ensure_directory(control_directory(drive))
    fields = {_NAMES.get(name, name): value for name, value in asdict(marker).items()}
    files.write_atomic(path_of(drive), checked.pack(fields) + b"\n")
