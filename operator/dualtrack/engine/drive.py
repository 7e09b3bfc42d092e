"""One drive: whose it is, which place it has in its deployment, and what lies at its root.

A drive belongs to a server by `format.json` in the server's system volume. A drive that RustFS adopted from
MinIO has two, with different deployment ids; the one of the server that writes now, RustFS, counts. While
cleanup holds a drive's files, `format` is `dualtrack-held`, which stock servers refuse; the original lies in
`.dualtrack/`, and what is asked here is answered from it. Nothing in this module writes.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from dualtrack.engine import naming
from dualtrack.engine.marker import CONTROL
from dualtrack.errors import DriveError, RefusedError

HELD_FORMAT = "dualtrack-held"
SYSTEM_VOLUMES = (".rustfs.sys", ".minio.sys")

ORIGINAL_FORMAT = f"{CONTROL}/format.json.orig"
STORE_DIRECTORY = f"{CONTROL}/store"
HOLD_DIRECTORY = f"{CONTROL}/hold"
LOCK_FILE = f"{CONTROL}/lock"
JOURNAL_FILE = f"{CONTROL}/journal"
MULTIPART_DIRECTORY = f"{CONTROL}/multipart"

_KNOWN_FORMATS = ("xl", "xl-single")
_NO_BUCKETS = frozenset({CONTROL, "lost+found"})
# MinIO's rule for names that exist already; new buckets have a narrower one.
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9.\-_:]{1,61}[A-Za-z0-9]")


@dataclass(frozen=True, slots=True)
class Drive:
    """What `format.json` says. `set_index` and `drive_index` count from 0; `sets` holds the drive ids of each
    set of this drive's pool, in their places.
    """

    path: str
    system_volume: str
    format: str
    held: bool
    deployment_id: str
    drive_id: str
    set_index: int
    drive_index: int
    drives_per_set: int
    drive_count: int
    distribution: str
    sets: tuple[tuple[str, ...], ...] = ()

    @property
    def set_members(self) -> tuple[str, ...]:
        """Ids of the drives that each object of this drive is striped over."""
        return self.sets[self.set_index]

    def refuse_among_buckets(self, path: str, what: str) -> None:
        """RefusedError where `path` lies on the drive and outside `.dualtrack`: a server lists, heals and
        deletes what it takes for its own. `what` names it in the message, as `--store` does.
        """
        root, inside = os.path.realpath(self.path), os.path.realpath(path)
        if os.path.commonpath([root, inside]) != root:
            return
        if os.path.relpath(inside, root).split(os.sep)[0] != CONTROL:
            raise RefusedError(
                f"{what} {path} lies among the buckets of the drive {self.path}, where a server takes it for "
                "its own and may delete it; name a directory outside the drive, or one in its "
                f"{CONTROL}"
            )

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Drive:
        """Read the drive's identity. DriveError where there is none, or none that can be understood."""
        root = os.fspath(path)
        if not os.path.isdir(root):
            raise DriveError(f"{root!r} is no directory: name the directory that the server has as its drive")
        for volume in SYSTEM_VOLUMES:
            document = _read_json(root, f"{volume}/format.json")
            if document is not None:
                return _parse(root, volume, document)
        raise DriveError(
            f"{root} has no format.json under {' or '.join(SYSTEM_VOLUMES)}: it is no drive of a "
            "MinIO or RustFS server, or it has not been formatted yet"
        )

    def buckets(self) -> list[str]:
        """The buckets in byte order. What lies beside them is told by `strangers`."""
        return [name for name in self._directories() if _is_bucket(name)]

    def strangers(self) -> list[str]:
        """Directories at the root that are neither buckets nor a server's or our own, by name."""
        return [
            name
            for name in self._directories()
            if not _is_bucket(name) and name not in _NO_BUCKETS and not name.startswith(SYSTEM_VOLUMES)
        ]

    def _directories(self) -> list[str]:
        try:
            with os.scandir(os.fsencode(self.path)) as found:
                names = [entry.name for entry in found if entry.is_dir(follow_symlinks=False)]
        except OSError as error:
            raise DriveError(f"{self.path} cannot be listed: {error}") from error
        return [naming.text(name) for name in sorted(names)]


def _is_bucket(name: str) -> bool:
    return _BUCKET.fullmatch(name) is not None


def _read_json(root: str, name: str) -> dict[str, object] | None:
    """The document, or None where there is no such file."""
    path = Path(root, name)
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DriveError(f"{path} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise DriveError(f"{path} holds no object")
    return document


def _parse(root: str, volume: str, document: dict[str, object]) -> Drive:
    where = f"{root}/{volume}/format.json"
    held = document.get("format") == HELD_FORMAT
    if held:
        original = _read_json(root, ORIGINAL_FORMAT)
        if original is None:
            raise DriveError(
                f"{where} says {HELD_FORMAT}, but {ORIGINAL_FORMAT} is missing: restore it from the report"
            )
        document = original
    match document:
        case {
            "format": str(kind),
            "id": str(deployment),
            "xl": {"this": str(this), "sets": list(sets), **layout},
        } if kind in _KNOWN_FORMATS:
            pass
        case _:
            raise DriveError(f"{where} is not understood: format {document.get('format')!r}")
    for set_index, members in enumerate(sets):
        if isinstance(members, list) and this in members:
            return Drive(
                path=root,
                system_volume=volume,
                format=kind,
                held=held,
                deployment_id=deployment,
                drive_id=this,
                set_index=set_index,
                drive_index=members.index(this),
                drives_per_set=len(members),
                drive_count=sum(len(other) for other in sets),
                distribution=str(layout.get("distributionAlgo", "")),
                sets=tuple(tuple(map(str, other)) for other in sets),
            )
    raise DriveError(f"{where} names its own drive {this} in none of its sets")
