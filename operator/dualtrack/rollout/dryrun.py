"""`mode: DryRun`: look at everything, say what would be done, change nothing at all.

It runs the preflight against what is there and renders the way: each setting in order, each Job, each
question to a person. There is no action in it, so there is nothing that could slip through.
"""

from __future__ import annotations

from dualtrack.rollout import metricscheck, preflight
from dualtrack.rollout.draft import Draft
from dualtrack.rollout.plan import Ask, Change, Watch, Work, forward


def report(draft: Draft) -> None:
    """The message of a dry run."""
    unknown = preflight.unknown(draft)
    found = [] if unknown else preflight.refusals(draft)
    if metricscheck.asked(draft):
        found += metricscheck.refusals(draft)
    if found:
        text = "; ".join(r.message for r in found)
        draft.stalled = (found[0].reason, text)
        draft.message = f"DryRun: would be refused: {text}"
    elif unknown:
        draft.message = f"DryRun: {unknown}"
    else:
        draft.message = "DryRun: would pass the preflight; then " + " → ".join(_way(draft))
    if not draft.phase:
        draft.set(phase="Pending", step="Claim", attempt=draft.spec.attempt)
    draft.delay = 60.0


def _way(draft: Draft) -> list[str]:
    shown = []
    for station in forward(draft.spec):
        match station.task:
            case Change(mode=mode):
                shown.append(f"{station.phase}: {mode}")
            case Work(verb=verb):
                shown.append(" ".join(verb[:2]))
            case Watch() if station.window:
                shown.append(f"observe {station.window} s")
            case Ask(step=step):
                shown.append(f"{step} ({draft.spec.completing.approval_policy(step)})")
            case _:
                pass
    return shown
