"""Proves or refutes a report, from the drive, from the store, or from a snapshot of it.

First the file itself: its root, its signature, the root that somebody kept. Then each side that was given is
read whole and held against every range. What a store says was written after the report can neither prove nor
refute it: that is unproven, and unproven is not good. A file has no such memory, so a difference on a drive
is one, unless the store that was given, too, explains it.

Once files are held or purged a drive proves only what is left on it, and the store or a snapshot is needed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from dualtrack.engine import marker
from dualtrack.engine.drive import Drive
from dualtrack.engine.listing import Problem
from dualtrack.engine.look import Look
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.pairing import files_in_order
from dualtrack.engine.proof.compare import Finding, Seen, compare
from dualtrack.engine.proof.deployment import DeploymentReport
from dualtrack.engine.proof.document import Report, text_of
from dualtrack.engine.proof.leaves import file_leaf, row_leaf
from dualtrack.engine.rows import RowState
from dualtrack.engine.stores.protocol import Place
from dualtrack.engine.waiving import content_sha256
from dualtrack.errors import DifferenceError, DriveError, StoreVersionError

PAGE = 1_000


@dataclass(slots=True)
class Check:
    """What was found, as sentences for people. A report is proven if the first two lists are empty."""

    report: Report
    refuted: list[str] = field(default_factory=list)
    unproven: list[str] = field(default_factory=list)
    proven: list[str] = field(default_factory=list)
    looked_at: bool = False
    """Whether a side was given at all."""
    _newer: set[tuple[object, ...]] = field(default_factory=set)

    def itself(self) -> None:
        """The file alone. `DifferenceError`: nothing that it says may be believed."""
        require_root(self.report)
        if self.report.verdict != "Equal":
            self.refuted.append(
                f"the report itself says {self.report.verdict}: not everything was read, or files and "
                "store differed when it was made"
            )

    def store(self, store: Look) -> None:
        """Every row, against every range."""
        self.looked_at = True
        uuid = (store.meta("store_uuid") or b"").decode()
        if uuid != self.report.head["store"]["uuid"]:
            raise StoreVersionError(
                f"the store has UUID {uuid}, the report is of {self.report.head['store']['uuid']}; give that "
                "store or a snapshot of it"
            )
        found = list(compare(self.report.ranges, self._rows(store)))
        self._newer = {_trace(each) for each in found if each.newer}
        self._tell("store", found)

    def drive(self, drive: Drive, *, store_given: bool) -> None:
        """Every file, against every range, and what is quarantined."""
        self.looked_at = True
        head = self.report.head
        if drive.drive_id != self.report.drive_id:
            raise DriveError(
                f"{drive.path} is drive {drive.drive_id}, the report is of {self.report.drive_id}; name that "
                "drive"
            )
        state = marker.read(drive.path).state
        partial = drive.held or state is MarkerState.PURGED
        problems: list[Problem] = []
        quarantined = {
            (text_of(each["bucket"]), text_of(each["key"])): str(each["sha256"])
            for each in head["quarantine"]
        }
        side = (
            Seen(place, file_leaf(file))
            for _, _, place, file in files_in_order(drive, problems.append)
            if place not in quarantined
        )
        found = list(compare(self.report.ranges, side, partial=partial))
        self._tell("drive", [self._explained(each) for each in found])
        self._quarantine(drive, quarantined, problems)
        if partial and not store_given:
            self.unproven.append(
                f"drive: its metadata files are no longer in place (marker {state}); give --store, the store "
                "or a snapshot"
            )

    def _rows(self, store: Look) -> Iterator[Seen]:
        after: Place | None = None
        stated = self.report.generation
        while page := store.scan(after, PAGE):
            for row in page:
                after = row.bucket, row.key
                leaf = row_leaf(row) if row.state is RowState.PRESENT else None
                yield Seen(after, leaf, row.generation > stated)

    def _explained(self, found: Finding) -> Finding:
        """A difference of the drive that the store has told of as newer."""
        return replace(found, newer=True) if _trace(found) in self._newer else found

    def _tell(self, side: str, found: list[Finding]) -> None:
        for each in found:
            (self.unproven if each.newer else self.refuted).append(f"{side}: {self._sentence(each)}")
        if not any(not each.newer for each in found):
            bad = {each.number for each in found if each.number >= 0}
            total = len(self.report.ranges)
            self.proven.append(f"{side}: {total - len(bad)} of {total} ranges as recorded")

    def _sentence(self, found: Finding) -> str:
        since = ", written since the report" if found.newer else ""
        if found.number < 0:
            return f"{found.bucket}/{found.key} is not in the report{since}"
        recorded = self.report.ranges[found.number]
        where = f"range {found.number} ({recorded.bucket}/{recorded.first} … {recorded.last})"
        match found.what:
            case "changed":
                return f"{where}: {found.bucket}/{found.key} is not as recorded{since}"
            case "added":
                return f"{where}: {found.bucket}/{found.key} was not there{since}"
            case "range":
                return f"{where}: differs; the report's leaves do not tell the key{since}"
            case _ if found.key == found.before:
                return f"{where}: {found.bucket}/{found.key} is missing{since}"
            case _:
                until = "the end" if found.before is None else f"{found.bucket}/{found.before}"
                start = f"{found.bucket}/{found.key}" if found.key else "the start"
                return f"{where}: an object between {start} and {until} is missing{since}"

    def _quarantine(self, drive: Drive, known: Mapping[Place, str], problems: list[Problem]) -> None:
        for place, recorded in known.items():
            name = "/".join(place)
            try:
                sha256 = content_sha256(drive.path, place)
            except OSError as error:
                self.unproven.append(f"drive: quarantined {name} cannot be read: {error.strerror}")
                continue
            if sha256 != recorded:
                self.refuted.append(f"drive: quarantined {name} has SHA-256 {sha256}, not {recorded}")
        for problem in problems:
            if problem.transient and not problem.vanished:
                self.unproven.append(f"drive: {problem.path} cannot be read: {problem.reason}")
            elif not problem.transient and (problem.bucket, problem.key) not in known:
                self.refuted.append(f"drive: {problem.path} is {problem.reason}, and not in the report")


def require_root(report: Report | DeploymentReport, expected: str | None = None) -> None:
    """`DifferenceError` where the root is not that of what the file says, or not the published one."""
    if report.computed_root != report.root:
        raise DifferenceError(
            f"the report does not have the root that it states: {report.computed_root} in place of "
            f"{report.root}; the file was altered or damaged"
        )
    if expected is not None and expected != report.root:
        raise DifferenceError(
            f"the report has root {report.root}, not {expected}: it is not the published one"
        )


def _trace(found: Finding) -> tuple[object, ...]:
    """The same for a difference that both sides have. A missing object is known by its neighbours."""
    kind = found.what if found.what in ("missing", "range") else ""
    return found.number, found.bucket, kind, found.key, found.before
