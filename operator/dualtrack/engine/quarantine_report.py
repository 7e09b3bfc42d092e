"""What is known of each quarantined object, for whoever has to decide about it; and copies to look at.

Read only. The hash is that of the file as it is now, because that is what a waiver has to name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass

from dualtrack.engine import files
from dualtrack.engine.drive import Drive
from dualtrack.engine.entries import json_text
from dualtrack.engine.metafile import MAX_META_SIZE
from dualtrack.engine.owner_api import OwnerApi
from dualtrack.engine.places import meta_file
from dualtrack.engine.quarantine import Quarantined, all_quarantined
from dualtrack.engine.waiving import Waiver, all_waivers, content_sha256
from dualtrack.errors import RefusedError

UNREAD = "unreadable"
"""In the place of a hash where the device does not give the bytes."""


@dataclass(frozen=True, slots=True)
class Report:
    """`waiver` may be of an earlier content of the file."""

    record: Quarantined
    sha256: str
    waiver: Waiver | None

    @property
    def standing(self) -> str:
        """`waived`, `void` (the file has changed since) or `open`."""
        if self.waiver is None:
            return "open"
        return "waived" if self.waiver.sha256 == self.sha256 else "void"

    def to_json(self) -> dict[str, object]:
        record = self.record
        return {
            "bucket": json_text(record.bucket),
            "key": json_text(record.key),
            "class": record.reason,
            "message": record.message,
            "digest": record.digest,
            "sha256": self.sha256,
            "attempts": record.attempts,
            "firstSeen": record.first_seen,
            "lastSeen": record.last_seen,
            "waiver": self.standing,
            "reason": self.waiver.reason if self.waiver else "",
        }


def report(drive: Drive, owner: OwnerApi) -> Iterator[Report]:
    """Every quarantined object of the store."""
    waivers = {each.place: each for each in all_waivers(owner)}
    for record in all_quarantined(owner):
        place = (record.bucket, record.key)
        try:
            sha256 = content_sha256(drive.path, place)
        except OSError:
            sha256 = UNREAD
        yield Report(record, sha256, waivers.get(place))


def export(drive: Drive, owner: OwnerApi, target: str) -> int:
    """Copy each file, named by its hash, and `quarantine.jsonl` beside them. Nothing is overwritten."""
    root, inside = os.path.realpath(drive.path), os.path.realpath(target)
    if os.path.commonpath([root, inside]) == root:
        raise RefusedError(f"--to {target} lies on the drive itself; name a directory elsewhere")
    files.ensure_directory(target)
    lines: list[str] = []
    for each in report(drive, owner):
        record = each.record
        copied = f"{each.sha256}.xl.meta"
        try:
            data, _ = files.read_regular(meta_file(drive.path, (record.bucket, record.key)), MAX_META_SIZE)
            if not os.path.lexists(f"{target}/{copied}"):
                files.write_new(f"{target}/{copied}", data)
        except OSError as error:
            copied = f"not copied: {error.strerror}"
        fields = each.to_json() | {"file": copied}
        lines.append(json.dumps(fields, separators=(",", ":"), ensure_ascii=False))
    files.write_atomic(f"{target}/quarantine.jsonl", "".join(line + "\n" for line in lines).encode())
    return len(lines)
