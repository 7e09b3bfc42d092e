"""The way forward and the way back, as data: which stations there are, in which order, doing what.

Everything else in this package asks "where am I" and "what comes next" of a tuple of stations; nothing
keeps a state machine in its control flow. The way forward follows from the spec; the way back follows from
the station where it began, because what has to be undone depends on how far the drive's marker had gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from dualtrack.api.phases import ApprovalPolicy, ApprovalStep, FixedPhase, SnapshotDevice
from dualtrack.api.spec import MigrationSpec
from dualtrack.rollout import modes
from dualtrack.rollout.modes import Mode


class Step(StrEnum):
    CLAIM = "Claim"
    PREFLIGHT = "Preflight"
    INVENTORY = "Inventory"
    COVERAGE = "Coverage"
    MARK_DUAL_WRITE = "MarkDualWrite"
    SWITCH = "Switch"
    WARM_UP = "WarmUp"
    SWEEP = "Sweep"
    FULL_VERIFY = "FullVerify"
    OBSERVING = "Observing"
    MARK_KV_PRIMARY = "MarkKvPrimary"
    READ_SWITCH = "ReadSwitch"
    APPROVE_CUT_OVER = "ApproveCutOver"
    REHEARSE = "Rehearse"
    MARK_KV_ONLY = "MarkKvOnly"
    CUT_OVER = "CutOver"
    FINAL_VERIFY = "FinalVerify"
    HOLD = "Hold"
    SOAK = "Soak"
    APPROVE_PURGE = "ApprovePurge"
    SNAPSHOT = "Snapshot"
    PURGE = "Purge"
    REMOVE_DIRECTORIES = "RemoveDirectories"
    REPORT = "Report"
    LEDGER = "Ledger"
    WATCHING = "Watching"
    # the way back
    WITHDRAW_CUT_OVER = "WithdrawCutOver"
    RESTORE = "Restore"
    RESTORE_VERIFY = "RestoreVerify"
    BACK_TO_KV_PRIMARY = "BackToKvPrimary"
    RETURN_FALLBACK = "ReturnFallback"
    BACK_TO_DUAL_WRITE = "BackToDualWrite"
    SWITCH_BACK = "SwitchBack"
    BACK_TO_FILES = "BackToFiles"
    DONE = "Done"


@dataclass(frozen=True, slots=True)
class Claim:
    """Create the Lease that claims the target."""


@dataclass(frozen=True, slots=True)
class Check:
    """Look whether the target can be switched safely; no change."""


@dataclass(frozen=True, slots=True)
class Cover:
    """Record the S3 coverage, which this version does not measure."""


@dataclass(frozen=True, slots=True)
class Work:
    """Run one Job to its verified end."""

    verb: tuple[str, ...]
    snapshot: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """Switch the target's environment."""

    mode: Mode


@dataclass(frozen=True, slots=True)
class WarmUp:
    """Let a switch settle."""

    seconds: int


@dataclass(frozen=True, slots=True)
class Watch:
    """Wait until the window has held, with evidence."""

    approval: ApprovalPolicy = ApprovalPolicy.AUTOMATIC


@dataclass(frozen=True, slots=True)
class Ask:
    """Wait for a person."""

    step: ApprovalStep


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to do but to keep what was reached."""


Task: TypeAlias = Claim | Check | Cover | Work | Change | WarmUp | Watch | Ask | Rest


@dataclass(frozen=True, slots=True)
class Station:
    """One step. `window`: seconds of good time that the window it belongs to needs; 0 where none runs."""

    phase: str
    step: Step
    task: Task
    window: int = 0


class Reach(StrEnum):
    """How far the drive's marker may have gone, and with it what the way back has to undo."""

    NOTHING = "Nothing"
    DUAL_WRITE = "DualWrite"
    KV_PRIMARY = "KvPrimary"
    KV_ONLY = "KvOnly"


_FROM_KV_PRIMARY: Final = (
    Step.MARK_KV_PRIMARY,
    Step.READ_SWITCH,
    Step.WARM_UP,
    Step.OBSERVING,
    Step.APPROVE_CUT_OVER,
    Step.REHEARSE,
)
FROM_CUT_OVER: Final = (
    Step.MARK_KV_ONLY,
    Step.CUT_OVER,
    Step.FINAL_VERIFY,
    Step.HOLD,
    Step.SOAK,
    Step.APPROVE_PURGE,
    Step.SNAPSHOT,
    Step.PURGE,
    Step.REMOVE_DIRECTORIES,
    Step.REPORT,
    Step.LEDGER,
    Step.WATCHING,
)
"""From these steps on the file system may lack writes."""
FROM_PURGE: Final = (Step.PURGE, Step.REMOVE_DIRECTORIES, Step.REPORT, Step.LEDGER, Step.WATCHING)
"""From these steps on the store may be the only copy."""


def forward(spec: MigrationSpec) -> tuple[Station, ...]:
    """Every station from Pending to Complete."""
    start = (
        Station(FixedPhase.PENDING, Step.CLAIM, Claim()),
        Station(FixedPhase.VALIDATING, Step.PREFLIGHT, Check()),
        Station(FixedPhase.VALIDATING, Step.INVENTORY, Work(("inventory", "--format", "summary"))),
        Station(FixedPhase.VALIDATING, Step.COVERAGE, Cover()),
    )
    return (*start, *_traffic(spec), *_completing(spec), Station(FixedPhase.COMPLETE, Step.WATCHING, Rest()))


def _traffic(spec: MigrationSpec) -> tuple[Station, ...]:
    stations: list[Station] = []
    for number, phase in enumerate(spec.phases):
        name, window = phase.name, phase.observation_seconds
        if number == 0:
            stations.append(Station(name, Step.MARK_DUAL_WRITE, _mark("DualWrite")))
        stations.append(Station(name, Step.SWITCH, Change(modes.dual_write(phase.ratio_percent))))
        stations.append(Station(name, Step.WARM_UP, WarmUp(phase.warmup_seconds)))
        if number == len(spec.phases) - 1:
            stations.append(Station(name, Step.SWEEP, Work(_sweep(spec)), window))
            stations.append(Station(name, Step.FULL_VERIFY, Work(("verify",)), window))
        stations.append(Station(name, Step.OBSERVING, Watch(phase.approval), window))
    return tuple(stations)


def _sweep(spec: MigrationSpec) -> tuple[str, ...]:
    accepted = [f"{each.bucket}={each.objects}" for each in spec.sweep.accepted_deletions]
    return ("migrate", *(word for each in accepted for word in ("--accept-deletions-of", each)))


def _purge(spec: MigrationSpec) -> tuple[str, ...]:
    anywhere = spec.completing.snapshot_device is SnapshotDevice.ANY
    return (
        *("cleanup", "purge", "--snapshot", SNAPSHOT_DIRECTORY),
        *(("--accept-same-device",) if anywhere else ()),
    )


def _completing(spec: MigrationSpec) -> tuple[Station, ...]:
    window, soak = spec.completing.observation_seconds, spec.completing.soak_seconds
    tasks: tuple[tuple[Step, Task, int], ...] = (
        (Step.MARK_KV_PRIMARY, _mark("KvPrimary"), 0),
        (Step.READ_SWITCH, Change(modes.READ_SWITCH), 0),
        (Step.WARM_UP, WarmUp(spec.phases[-1].warmup_seconds), 0),
        (Step.OBSERVING, Watch(), window),
        (Step.APPROVE_CUT_OVER, Ask(ApprovalStep.CUT_OVER), 0),
        (Step.REHEARSE, Work(("rehearse",)), 0),
        (Step.MARK_KV_ONLY, _mark("KvOnly"), 0),
        (Step.CUT_OVER, Change(modes.CUT_OVER), 0),
        (Step.FINAL_VERIFY, Work(("verify", "--final")), 0),
        (Step.HOLD, Work(("cleanup", "hold")), 0),
        (Step.SOAK, Watch(), soak),
        (Step.APPROVE_PURGE, Ask(ApprovalStep.PURGE), 0),
        (Step.SNAPSHOT, Work(("snapshot", "--to", SNAPSHOT_DIRECTORY), snapshot=True), 0),
        (Step.PURGE, Work(_purge(spec), snapshot=True), 0),
        (Step.REMOVE_DIRECTORIES, Work(("cleanup", "directories")), 0),
        (Step.REPORT, Work(("report", "--out", report_path(spec), "--detail", "ranges")), 0),
        (Step.LEDGER, Work(("ledger",)), 0),
    )
    return tuple(Station(FixedPhase.COMPLETING, step, task, seconds) for step, task, seconds in tasks)


SNAPSHOT_DIRECTORY: Final = "/snapshot"


def report_path(spec: MigrationSpec) -> str:
    """Where the report of the drive goes: beside its store, which it speaks of."""
    return f"{spec.drives[0].mount_path}/.dualtrack/report.json"


def reach(spec: MigrationSpec, phase: str, step: str) -> Reach:
    """How far the marker may have gone when this station was left."""
    if phase in (FixedPhase.PENDING, FixedPhase.VALIDATING, ""):
        return Reach.NOTHING
    if phase in {p.name for p in spec.phases}:
        return Reach.DUAL_WRITE
    return Reach.KV_PRIMARY if step in _FROM_KV_PRIMARY else Reach.KV_ONLY


def back(origin: Reach) -> tuple[Station, ...]:
    """The way to the file system from what was reached; each marker only after its reverse step."""
    from_dual = (
        (Step.SWITCH_BACK, Change(modes.FILES_ONLY)),
        (Step.BACK_TO_FILES, _mark("FsAuthoritative")),
    )
    from_primary = ((Step.BACK_TO_DUAL_WRITE, _mark("DualWrite")), *from_dual)
    from_only = (
        (Step.WITHDRAW_CUT_OVER, Change(modes.WITHOUT_FALLBACK)),
        (Step.RESTORE, Work(("restore",))),
        (Step.RESTORE_VERIFY, Work(("verify",))),
        (Step.BACK_TO_KV_PRIMARY, _mark("KvPrimary")),
        (Step.RETURN_FALLBACK, Change(modes.READ_SWITCH)),
        *from_primary,
    )
    ways: dict[Reach, tuple[tuple[Step, Task], ...]] = {
        Reach.NOTHING: (),
        Reach.DUAL_WRITE: from_dual,
        Reach.KV_PRIMARY: from_primary,
        Reach.KV_ONLY: from_only,
    }
    stations = tuple(Station(FixedPhase.ROLLING_BACK, step, task) for step, task in ways[origin])
    return (*stations, Station(FixedPhase.ROLLED_BACK, Step.DONE, Rest()))


def _mark(state: str) -> Work:
    return Work(("mark", "--state", state))


def find(stations: tuple[Station, ...], phase: str, step: str) -> Station | None:
    return next((s for s in stations if s.phase == phase and s.step == step), None)


def after(stations: tuple[Station, ...], station: Station) -> Station:
    """The station that follows; the last one follows itself."""
    index = stations.index(station)
    return stations[min(index + 1, len(stations) - 1)]
