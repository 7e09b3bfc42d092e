"""What the data plane is told beside its mode: `spec.consistency`, as the server's variables.

They travel in the same patch as the mode, because each change of a pod template replaces the pods. So an edit
of `spec.consistency` waits for the next switch; what the target was told until then stands in the status, and
is what drift is measured by. On the file system none of them is ours any more: a rollback gives back what was
there before the target was taken over, and takes away the rest.
"""

from __future__ import annotations

from dualtrack.api import names
from dualtrack.api.spec import Consistency
from dualtrack.api.status_target import EngineSettings, Variable
from dualtrack.rollout import kube, modes
from dualtrack.rollout.draft import Draft
from dualtrack.rollout.modes import Mode


def beside(draft: Draft, mode: Mode) -> tuple[Variable, ...]:
    """The variables of a switch to this mode that begins now."""
    if mode == modes.FILES_ONLY:
        return draft.target.variables_before or ()
    return of(draft.spec.consistency)


def of(consistency: Consistency) -> tuple[Variable, ...]:
    """In the order of `names.CONSISTENCY_ENV`."""
    cache = consistency.cache
    values = (
        consistency.level.value.lower(),
        consistency.window_seconds,
        cache.capacity,
        cache.ttl_seconds,
        cache.warmup_size,
        cache.max_size_bytes,
        consistency.inline_threshold_bytes,
    )
    pairs = zip(names.CONSISTENCY_ENV, values, strict=True)
    return tuple(Variable(name=name, value=str(value)) for name, value in pairs)


def found(draft: Draft) -> tuple[Variable, ...]:
    """Those that the target has now. On the file system they are the user's: we leave none of ours there."""
    spec = kube.dig(draft.seen.target, "spec", "template", "spec")
    literal = kube.env(spec, draft.spec.target.container_name, names.CONSISTENCY_ENV)
    return tuple(Variable(name=name, value=value) for name, value in literal.items())


def changed(before: EngineSettings | None, after: tuple[Variable, ...]) -> str:
    """What a switch changes beside the mode, for its event; empty where nothing does."""
    old = {v.name: v.value for v in (before.variables if before else None) or ()}
    new = {v.name: v.value for v in after}
    shown = [f"{name}={value}" for name, value in new.items() if old.get(name) != value]
    shown += [f"without {name}" for name in old if name not in new]
    return f"; {', '.join(shown)}" if shown else ""
