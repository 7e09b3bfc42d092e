"""What a target can be told to be: engine, ratio, fallback, epoch, what goes with them, and their order.

The order matters more than the values. A step to a weaker mode leaves rows behind that nobody keeps up to
date, so it raises the epoch, and whoever compares two settings compares them here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from dualtrack.api import names
from dualtrack.api.status_target import EngineSettings, Variable
from dualtrack.rollout import kube

FS: Final = "fs"
KV_PRIMARY: Final = "kv_primary"
KV_ONLY: Final = "kv_only"
_ORDER: Final = {FS: 0, KV_PRIMARY: 1, KV_ONLY: 2}


@dataclass(frozen=True, slots=True)
class Mode:
    """A setting without its epoch."""

    engine: str
    ratio_percent: int
    fallback: str = "true"

    @property
    def strength(self) -> tuple[int, int]:
        return _ORDER.get(self.engine, 0), self.ratio_percent

    def settings(self, epoch: int, variables: tuple[Variable, ...] = ()) -> EngineSettings:
        return EngineSettings(
            engine=self.engine,
            ratio_percent=self.ratio_percent,
            fallback=self.fallback,
            epoch=epoch,
            variables=variables or None,
        )

    def __str__(self) -> str:
        return f"{self.engine}/{ratio_text(self.ratio_percent)}/{self.fallback}"


FILES_ONLY: Final = Mode(FS, 0)
READ_SWITCH: Final = Mode(KV_PRIMARY, 100)
WITHOUT_FALLBACK: Final = Mode(KV_PRIMARY, 100, "false")
CUT_OVER: Final = Mode(KV_ONLY, 100, "false")


def dual_write(ratio_percent: int) -> Mode:
    return Mode(FS, ratio_percent)


def mode_of(settings: EngineSettings | None) -> Mode:
    """The mode of recorded settings; nothing recorded is the servers' default."""
    if settings is None:
        return FILES_ONLY
    return Mode(settings.engine or FS, settings.ratio_percent or 0, settings.fallback or "true")


def ratio_text(percent: int) -> str:
    """The ratio as the target's variable has it: 5 is `0.05`, 100 is `1`."""
    return format((Decimal(percent) / 100).normalize(), "f")


def environment(settings: EngineSettings) -> dict[str, str]:
    """Our variables, complete: those of the mode in the order of `names.MODE_ENV`, then those beside it."""
    return {
        names.ENV_ENGINE: settings.engine or FS,
        names.ENV_RATIO: ratio_text(settings.ratio_percent or 0),
        names.ENV_FALLBACK: settings.fallback or "true",
        names.ENV_EPOCH: str(settings.epoch or 0),
        **{variable.name: variable.value for variable in settings.variables or ()},
    }


def in_force(pod_spec: Any, container: str, settings: EngineSettings) -> bool:
    """Whether this container has the settings. A variable that is not ours in them may be anything."""
    wanted = environment(settings)
    return kube.env(pod_spec, container, wanted) == wanted


def same_ratio(text: object, percent: int) -> bool:
    """Whether a ratio that somebody wrote means this percentage."""
    try:
        return Decimal(str(text)) * 100 == percent
    except InvalidOperation:
        return False


def found_mode(env: Mapping[str, str]) -> tuple[Mode, int]:
    """What variables found on a target mean: mode and epoch. What cannot be read counts as strongest."""
    try:
        ratio = int(Decimal(env.get(names.ENV_RATIO, "0")) * 100)
        epoch = int(env.get(names.ENV_EPOCH, "0"))
    except (InvalidOperation, ValueError):
        ratio, epoch = 100, 0
    engine = env.get(names.ENV_ENGINE, FS)
    return Mode(engine if engine in _ORDER else KV_ONLY, ratio, env.get(names.ENV_FALLBACK, "true")), epoch
