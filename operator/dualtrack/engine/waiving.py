"""Waivers: who accepts that an object stays in its file, for which content of it, and why.

A quarantined object has a row that says "read the file", in every mode; what a waiver adds is that somebody
answers for it, so that a verification may be clean without it. It names the content by SHA-256: a file that
changes has no waiver any more. In the cluster waivers stand in the MetadataMigration and come with the Job's
command line; on one machine they stand in the store, one meta value an object.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC

from dualtrack.engine import naming, quarantine
from dualtrack.engine.listing import LEGACY_FILE, META_FILE
from dualtrack.engine.owner_api import OwnerApi
from dualtrack.engine.quarantine import all_quarantined
from dualtrack.engine.stores.protocol import Place
from dualtrack.engine.task import Task
from dualtrack.errors import RefusedError
from dualtrack.waivers import waiver_id

PREFIX = "waiver/"
_PAGE = 1_000
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Waiver:
    """`time` is RFC 3339, `run_id` the run that recorded it."""

    bucket: str
    key: str
    sha256: str
    reason: str
    time: str = ""
    run_id: str = ""

    @property
    def place(self) -> Place:
        return self.bucket, self.key

    @property
    def id(self) -> str:
        return waiver_id(self.bucket, self.key, self.sha256)

    @property
    def meta_name(self) -> str:
        return meta_name(self.place)

    def pack(self) -> bytes:
        names = [base64.b64encode(os.fsencode(name)).decode() for name in self.place]
        return json.dumps([*names, self.sha256, self.reason, self.time, self.run_id]).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Waiver:
        bucket, key, *rest = json.loads(data)
        return cls(os.fsdecode(base64.b64decode(bucket)), os.fsdecode(base64.b64decode(key)), *rest)


def meta_name(place: Place) -> str:
    return PREFIX + quarantine.meta_name(*place).removeprefix(quarantine.PREFIX)


def all_waivers(owner: OwnerApi) -> Iterator[Waiver]:
    after = None
    while page := owner.meta_scan(PREFIX, after, _PAGE):
        yield from (Waiver.unpack(value) for _, value in page)
        after = page[-1][0]


def waive(task: Task, waivers: Sequence[Waiver]) -> None:
    """Record all of these or none: `RefusedError` names the first that is not quarantined, or has changed."""
    known = {(each.bucket, each.key) for each in all_quarantined(task.owner)}
    time = task.now().astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    meta: dict[str, bytes | None] = {}
    for waiver in waivers:
        task.checkpoint()
        name = f"{waiver.bucket}/{waiver.key}"
        if waiver.place not in known:
            raise RefusedError(
                f"{name} is not in quarantine, so there is nothing to waive; nothing was recorded"
            )
        found = content_sha256(task.drive.path, waiver.place)
        if found != waiver.sha256:
            raise RefusedError(
                f"{name}: its file has SHA-256 {found}, not {waiver.sha256}; look at it again (quarantine "
                "list), then waive what is there; nothing was recorded"
            )
        made = Waiver(waiver.bucket, waiver.key, found, waiver.reason, time, task.run_id)
        meta[made.meta_name] = made.pack()
        task.scanned += 1
    objects = [each.place for each in waivers]
    with task.recorded(
        "quarantine waive", "dualtrack engine quarantine waive --withdraw", objects=_names(objects)
    ):
        task.commit(meta=meta)
        task.counts["waived"] = task.committed = len(meta)


def withdraw(task: Task, places: Sequence[Place]) -> None:
    """Forget the waivers of these objects; one without a waiver is no error."""
    known = {each.meta_name for each in all_waivers(task.owner)}
    names = known & {meta_name(place) for place in places}
    task.scanned = len(places)
    with task.recorded("withdraw waivers", "dualtrack engine quarantine waive", objects=_names(places)):
        task.commit(meta=dict.fromkeys(names))
        task.counts["withdrawn"] = task.committed = len(names)


def _names(places: Sequence[Place]) -> list[str]:
    return ["/".join(place) for place in places]


def content_sha256(drive: str, place: Place) -> str:
    """SHA-256 of what stands in the place of the object's metadata: its file's bytes, where a link points to
    ("symlink:" and the target), or nothing. OSError where that cannot be read.
    """
    directory = os.fsencode(drive) + b"/" + naming.raw(naming.object_directory(*place))
    for name in (META_FILE, LEGACY_FILE):
        path = directory + b"/" + name
        try:
            if os.path.islink(path):
                return hashlib.sha256(b"symlink:" + os.readlink(path)).hexdigest()
            return _of_file(path)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            continue
    if os.path.islink(directory):
        return hashlib.sha256(b"symlink:" + os.readlink(directory)).hexdigest()
    return hashlib.sha256().hexdigest()


def _of_file(path: bytes) -> str:
    total = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not os.path.stat.S_ISREG(os.fstat(descriptor).st_mode):  # type: ignore[attr-defined]
            return total.hexdigest()
        while piece := os.read(descriptor, _CHUNK):
            total.update(piece)
    finally:
        os.close(descriptor)
    return total.hexdigest()
