"""Object lock: which versions may not be deleted, and until when.

A version under legal hold, or under retention that has not run out, cannot be removed by its id; a delete
marker may always be put before it. Governance retention gives way to who may bypass it, compliance to nobody.
Names and time formats are those of both servers; a date that cannot be read counts as not yet reached.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from dualtrack.engine.objects.errors import ObjectLocked

_MODE = "x-amz-object-lock-mode"
_UNTIL = "x-amz-object-lock-retain-until-date"
_HOLD = "x-amz-object-lock-legal-hold"


def refuse_locked(
    headers: Mapping[str, str], bucket: str, key: str, *, bypass_governance: bool, now: datetime
) -> None:
    """Raise `ObjectLocked` if the version with these headers must not be removed now."""
    if headers.get(_HOLD, "").upper() == "ON":
        raise ObjectLocked(f"{bucket}/{key}: the version is under legal hold; lift it first", bucket, key)
    mode = headers.get(_MODE, "").upper()
    if not mode or (mode == "GOVERNANCE" and bypass_governance):
        return
    until = headers.get(_UNTIL, "")
    if not _passed(until, now):
        raise ObjectLocked(
            f"{bucket}/{key}: the version is under {mode} retention until {until or 'an unknown time'}",
            bucket,
            key,
        )


def _passed(text: str, now: datetime) -> bool:
    # RustFS writes up to nine fraction digits, which `fromisoformat` cuts to six.
    try:
        until = datetime.fromisoformat(text)
    except ValueError:
        return False
    return (until if until.tzinfo else until.replace(tzinfo=UTC)) <= now
