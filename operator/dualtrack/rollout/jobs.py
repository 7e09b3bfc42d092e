"""Running one Job to an end that counts, across restarts of everybody involved.

The Job's name follows from what it is for, so that creating it twice is creating it once. Only the Job whose
UID was recorded counts, only with Complete=True, and only with its own result that says ok under the fence
it was given. A Job that has used up its retries pauses the migration; resuming starts the next generation
under a higher fence. While nothing may go forward, Jobs are suspended, which gives them SIGTERM.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from dualtrack.api.conditions import Reason
from dualtrack.api.fields import truncate
from dualtrack.api.status_work import JobState, JobStatus
from dualtrack.rollout import jobmanifest, jobtrouble, kube, messages, pacing
from dualtrack.rollout.decision import Create, MergePatch
from dualtrack.rollout.draft import Draft
from dualtrack.rollout.jobmanifest import Order
from dualtrack.rollout.world import JobView, JsonObject

Differs: TypeAlias = Callable[[Draft, str], None]
_RESULT_PATIENCE_SECONDS: Final = 60
_MESSAGE_LIMIT: Final = 400
"""Many Jobs share one status of at most 64 KiB."""


def run(
    draft: Draft,
    step: str,
    verb: tuple[str, ...],
    *,
    snapshot: bool = False,
    kept_seconds: int | None = None,
    differs: Differs | None = None,
) -> JsonObject | None:
    """The verified result of this step's Job; None while there is none, with the reason awaited.

    `differs` acts on a Job that has found a difference, in the place of a pause.
    """
    entry = find(draft, step)
    if draft.held:
        _hold(draft, entry)
        return None
    if entry is None or entry.state == JobState.FAILED:
        entry = _next(draft, step, entry)
    order = Order(step, verb, entry.fence or 0, entry.generation or 0, snapshot, kept_seconds)
    if draft.seen.jobs is None:
        _wait(draft, entry, "the API server did not list the Jobs")
        return None
    view = _view(draft, entry.name)
    if view is None:
        _create(draft, entry, order)
        return None
    if not _ours(draft, entry, view):
        return None
    return _follow(draft, _pace(draft, entry, order), view, differs)


def find(draft: Draft, step: str) -> JobStatus | None:
    """The newest Job of this step in this attempt."""
    return next((j for j in draft.status.jobs or () if j.step == step), None)


def renew(draft: Draft, *steps: str) -> None:
    """These steps have to be done again: what their Jobs have done no longer holds."""
    for step in steps:
        entry = find(draft, step)
        if entry is not None and entry.state is not None:
            _save(draft, entry, state=JobState.FAILED.value, message="to be done again")


def quiesce(draft: Draft, keep: str = "") -> str:
    """Suspend every Job of ours that is not finished; the name of one that has not stopped yet, or ''."""
    busy = ""
    for view in draft.seen.jobs or ():
        if kube.name(view.job) == keep or _finished(view.job) or not kube.owned_by(view.job, draft.uid):
            continue
        _suspend(draft, view.job, suspend=True)
        if kube.dig(view.job, "status", "active") or not kube.dig(view.job, "spec", "suspend"):
            busy = kube.name(view.job)
    return busy


def _hold(draft: Draft, entry: JobStatus | None) -> None:
    """Nothing goes forward: the Job gets SIGTERM and keeps its cursor; its end is read after the resume."""
    quiesce(draft)
    if entry is not None and entry.state in (JobState.PENDING, JobState.RUNNING):
        _save(draft, entry, state=JobState.SUSPENDED.value, message=None)


def _next(draft: Draft, step: str, before: JobStatus | None) -> JobStatus:
    generation = (before.generation or 0) + 1 if before is not None else 0
    fence = (draft.status.fence or 0) + 1
    entry = JobStatus(
        name=jobmanifest.job_name(draft, step, generation),
        step=step,
        drives=tuple(d.name for d in draft.spec.drives),
        state=JobState.PENDING.value,
        fence=fence,
        generation=generation,
    )
    others = tuple(j for j in draft.status.jobs or () if j.step != step)
    draft.set(fence=fence, jobs=(*others, entry))
    return entry


def _create(draft: Draft, entry: JobStatus, order: Order) -> None:
    if entry.uid:
        # Somebody deleted the Job that counted. What it did is safe; whether it ended is not known.
        draft.event(Reason.JOB_FAILED, f"Job {entry.name} is gone before its result was read", "Warning")
        _save(
            draft,
            entry,
            state=JobState.FAILED.value,
            message="deleted by somebody before its result was read",
        )
        draft.await_(messages.awaiting(draft, f"Job {entry.name} was deleted; starting the next"), delay=0.0)
        return
    busy = quiesce(draft, keep=entry.name)
    if busy:
        draft.await_(messages.awaiting(draft, f"waiting for Job {busy} to stop first"), delay=3.0)
        return
    entry = _pace(draft, entry, order)
    draft.act(Create(jobmanifest.render(draft, order)))
    draft.event(Reason.JOB_STARTED, f"Job {entry.name} ({' '.join(order.verb)}), fence {entry.fence}")
    _wait(draft, entry, f"Job {entry.name} was created")


def _ours(draft: Draft, entry: JobStatus, view: JobView) -> bool:
    found = kube.uid(view.job)
    right = kube.owned_by(view.job, draft.uid) and entry.uid in (None, "", found)
    if not right:
        _save(draft, entry, state=JobState.FAILED.value)
        draft.pause(
            Reason.JOB_FAILED,
            f"Job {entry.name} (UID {found}) is not the one that was started here; find out who made it,"
            " delete it if it is not needed, then resume",
        )
    return right


def _pace(draft: Draft, entry: JobStatus, order: Order) -> JobStatus:
    told = pacing.keep(draft, entry, order.verb[0])
    if told is not entry:
        _save(draft, told)
    return told


def _follow(draft: Draft, entry: JobStatus, view: JobView, differs: Differs | None) -> JsonObject | None:
    job = view.job
    uid = kube.uid(job)
    if kube.condition(job, "Failed"):
        _fail(draft, entry, view, uid, differs)
        return None
    complete = kube.condition(job, "Complete")
    if complete:
        return _complete(draft, entry, view, complete)
    _suspend(draft, job, suspend=False)
    trouble = truncate(jobtrouble.of(view.pods), _MESSAGE_LIMIT)
    scanned = kube.count(kube.dig(view.progress, "scanned"))
    total = kube.count(kube.dig(view.progress, "total"))
    _save(
        draft,
        entry,
        uid=uid,
        state=JobState.RUNNING.value if kube.dig(job, "status", "active") else JobState.PENDING.value,
        scanned=entry.scanned if scanned is None else scanned,
        total=entry.total if total is None else total,
        message=trouble or None,
    )
    if trouble and entry.message != trouble:
        draft.event(Reason.JOB_BLOCKED, f"Job {entry.name}: {trouble}", "Warning")
    _wait(draft, entry, f"Job {entry.name}" + (f": {trouble}" if trouble else " is at work"))
    return None


def _complete(draft: Draft, entry: JobStatus, view: JobView, complete: JsonObject) -> JsonObject | None:
    uid, result = kube.uid(view.job), view.result
    if result is None:
        since = kube.moment(complete.get("lastTransitionTime"))
        if since is None or draft.now.timestamp() - since < _RESULT_PATIENCE_SECONDS:
            _wait(draft, entry, f"Job {entry.name} ended; its result is being read")
            return None
    if not _good(entry, result):
        _fail(draft, entry, view, uid, None)
        return None
    _save(
        draft,
        entry,
        uid=uid,
        state=JobState.COMPLETE.value,
        # The last line that a Job printed is older than its end.
        scanned=kube.count(kube.dig(result, "scanned")) or entry.scanned,
        report_digest=kube.text(kube.dig(result, "reportDigest") or kube.dig(result, "digest"), 256),
        message=kube.text(kube.dig(result, "message"), _MESSAGE_LIMIT),
    )
    if entry.state != JobState.COMPLETE:
        draft.event(Reason.JOB_COMPLETE, f"Job {entry.name}: {kube.dig(result, 'message') or 'complete'}")
    return result


def _good(entry: JobStatus, result: JsonObject | None) -> bool:
    return (
        result is not None
        and result.get("ok") is True
        and result.get("runID") == entry.name
        and result.get("fence") == entry.fence
    )


def _fail(draft: Draft, entry: JobStatus, view: JobView, uid: str, act: Differs | None) -> None:
    why = truncate(jobtrouble.failure(view), _MESSAGE_LIMIT)
    _save(draft, entry, uid=uid, state=JobState.FAILED.value, message=why)
    differs = kube.dig(view.result, "exitCode") == 51
    if differs and act is not None:
        act(draft, f"Job {entry.name}: {why}")
        return
    draft.pause(
        Reason.VERIFICATION_DIFFERS if differs else Reason.JOB_FAILED,
        f"Job {entry.name}: {why}; look at its log, remove the cause, then resume (the next Job goes on"
        " where it stopped)",
    )


def _view(draft: Draft, name: str) -> JobView | None:
    return next((v for v in draft.seen.jobs or () if kube.name(v.job) == name), None)


def _finished(job: JsonObject) -> bool:
    return bool(kube.condition(job, "Complete") or kube.condition(job, "Failed"))


def _suspend(draft: Draft, job: JsonObject, *, suspend: bool) -> None:
    if bool(kube.dig(job, "spec", "suspend")) is suspend:
        return
    patch = {"spec": {"suspend": suspend}}
    draft.act(MergePatch("batch/v1", "Job", draft.namespace, kube.name(job), kube.uid(job), patch))


def _save(draft: Draft, entry: JobStatus, **changes: Any) -> None:
    saved = entry.model_copy(update=changes)
    draft.set(jobs=tuple(saved if j.name == entry.name else j for j in draft.status.jobs or ()))


def _wait(draft: Draft, entry: JobStatus, what: str) -> None:
    draft.await_(messages.awaiting(draft, what), delay=3.0)
