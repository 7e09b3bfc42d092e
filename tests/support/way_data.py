"""The way that an undisturbed migration goes, as the tests of the rollout expect it."""

from __future__ import annotations

import itertools

from dualtrack.api import names
from outside import World

PLACES = [
    "Pending/Claim",
    "Validating/Preflight",
    "Validating/Inventory",
    "Validating/Coverage",
    "Canary/MarkDualWrite",
    "Canary/Switch",
    "Canary/WarmUp",
    "Canary/Observing",
    "FullOut/Switch",
    "FullOut/WarmUp",
    "FullOut/Sweep",
    "FullOut/FullVerify",
    "FullOut/Observing",
    "Completing/MarkKvPrimary",
    "Completing/ReadSwitch",
    "Completing/WarmUp",
    "Completing/Observing",
    "Completing/ApproveCutOver",
    "Completing/Rehearse",
    "Completing/MarkKvOnly",
    "Completing/CutOver",
    "Completing/FinalVerify",
    "Completing/Hold",
    "Completing/Soak",
    "Completing/ApprovePurge",
    "Completing/Snapshot",
    "Completing/Purge",
    "Completing/RemoveDirectories",
    "Completing/Report",
    "Completing/Ledger",
    "Complete/Watching",
]
FROM_FIRST_MARK = PLACES[4:13]
FROM_READ_SWITCH = PLACES[13:19]
FROM_CUT_OVER = PLACES[19:]
SETTINGS = [
    ("fs", "0.05", "true"),
    ("fs", "1", "true"),
    ("kv_primary", "1", "true"),
    ("kv_only", "1", "false"),
]
VERBS = [
    "inventory",
    "mark",
    "migrate",
    "verify",
    "mark",
    "rehearse",
    "mark",
    "verify",
    "cleanup hold",
    "snapshot",
    "cleanup purge",
    "cleanup directories",
    "report",
    "ledger",
]


def settings(outside: World) -> list[tuple[str, str, str]]:
    """Engine, ratio and fallback as they were applied, repeated ones once."""
    applied = [(e[names.ENV_ENGINE], e[names.ENV_RATIO], e[names.ENV_FALLBACK]) for e in outside.environments]
    return [key for key, _ in itertools.groupby(applied)]
