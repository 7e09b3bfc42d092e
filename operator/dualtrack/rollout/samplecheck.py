"""Sampled checks while a window is observed: a Job each interval, and what its finding means.

The data plane compares what is read; what nobody reads is compared here. Each check looks at the next slice
of a keyed sample (`engine/sampling.py`), so that in the end all objects have been looked at. A difference
that the engine has confirmed is a critical finding, and does what a Critical gate does. No window is left
while a check is at work: its finding belongs to the window. Only where all objects are on both tracks is
there anything to check: in the last traffic phase and in the read switch.
"""

from __future__ import annotations

from typing import Final

from dualtrack.api.conditions import Reason
from dualtrack.api.phases import FixedPhase, SampleCheck
from dualtrack.api.status_evidence import SampleStatus
from dualtrack.api.status_work import JobState
from dualtrack.rollout import failing, jobs, kube
from dualtrack.rollout.draft import Draft
from dualtrack.rollout.plan import Station, Step
from dualtrack.rollout.world import JsonObject

STEP: Final = "SampleCheck"
_KEPT_SECONDS: Final = 3600
"""A finished check's Job is removed after so long; with hourly checks hundreds would pile up."""


def go_on(draft: Draft, station: Station) -> bool:
    """Start the check that is due, follow the one at work. True while its finding is not known."""
    check = _wanted(draft, station)
    if check is None:
        return False
    entry = jobs.find(draft, STEP)
    over = entry is None or entry.state in (JobState.COMPLETE, JobState.FAILED)
    if over and not _due(draft, check):
        return False
    if entry is not None and entry.state == JobState.COMPLETE:
        jobs.renew(draft, STEP)
    result = jobs.run(draft, STEP, _verb(draft, check), kept_seconds=_KEPT_SECONDS, differs=_differs)
    if result is None:
        return not draft.held
    _record(draft, result)
    return False


def _wanted(draft: Draft, station: Station) -> SampleCheck | None:
    observed = (draft.spec.phases[-1].name, FixedPhase.COMPLETING)
    if station.step is not Step.OBSERVING or station.phase not in observed:
        return None
    return draft.spec.sweep.sample_check


def _due(draft: Draft, check: SampleCheck) -> bool:
    last = draft.status.sample
    return last is None or last.time is None or draft.age(last.time) >= check.interval_seconds


def _verb(draft: Draft, check: SampleCheck) -> tuple[str, ...]:
    last = draft.status.sample
    number = last.round + 1 if last is not None and last.round is not None else 0
    return (
        "verify",
        *("--sample-ppm", str(check.fraction_ppm)),
        *("--seed", draft.uid),
        *("--round", str(number)),
    )


def _record(draft: Draft, result: JsonObject) -> None:
    """What was looked at. A result that does not say so is no check."""
    found = {
        name: kube.count(kube.dig(result, "sample", name)) for name in ("round", "rounds", "n", "atMostPpm")
    }
    if found["round"] is None or found["n"] is None:
        jobs.renew(draft, STEP)
        draft.pause(
            Reason.JOB_FAILED,
            "the sampled check ended well and does not say what it looked at: use one version of operator and"
            " engine, then resume",
        )
        return
    draft.set(
        sample=SampleStatus(
            time=draft.now,
            round=found["round"],
            rounds=found["rounds"],
            objects=found["n"],
            at_most_ppm=found["atMostPpm"],
        )
    )


def _differs(draft: Draft, message: str) -> None:
    """Rows are not what their files are: nothing that was observed before counts against that."""
    failing.failed(draft, Reason.SAMPLE_DIFFERS, f"the sampled check found a difference: {message}")
