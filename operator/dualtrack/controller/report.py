"""Writes what a pass has found out: the status if it differs, and events about transitions.

A status is applied with the resourceVersion that it was decided from, so that a decision about an old
object never lands on a newer one. An unchanged status is not written: a write would wake every watcher,
this operator included.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from dualtrack.adapters.kinds import EVENT
from dualtrack.adapters.kubernetes import AlreadyExists, KubernetesGateway
from dualtrack.api import names
from dualtrack.api.status import MigrationStatus
from dualtrack.errors import InvalidResourceError
from dualtrack.rollout.decision import Event
from dualtrack.rollout.world import JsonObject

NOTE_LIMIT: Final = 1024
NAME_LIMIT: Final = 253


def fitting(status: Mapping[str, Any]) -> dict[str, Any]:
    """The status as the CRD takes it: texts that are too long are cut, nulls left out.

    A write must not fail for its wording. Raises `InvalidResourceError` for what cutting does not mend.
    """
    try:
        checked = MigrationStatus.model_validate(_without_nulls(status))
    except ValidationError as error:
        raise InvalidResourceError(f"the decided status does not fit the CRD: {error}") from error
    return checked.model_dump(by_alias=True, exclude_none=True, exclude_unset=True, mode="json")


def differs(migration: JsonObject, status: Mapping[str, Any]) -> bool:
    """Whether the decided status says anything else than the stored one."""
    return bool(_without_nulls(status) != _without_nulls(migration.get("status") or {}))


async def write_status(
    gateway: KubernetesGateway, migration: JsonObject, status: Mapping[str, Any]
) -> dict[str, Any]:
    """Apply the whole status onto the version of the object that it was decided from."""
    metadata = migration["metadata"]
    return await gateway.apply_status(
        {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "metadata": {
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "resourceVersion": metadata["resourceVersion"],
            },
            "status": _without_nulls(status),
        }
    )


async def post_event(
    gateway: KubernetesGateway, migration: JsonObject, event: Event, *, now: datetime, identity: str
) -> None:
    """Create the event once: its name follows from what it says and from the version it was decided from."""
    metadata = migration["metadata"]
    told = "\0".join((metadata["uid"], str(metadata["resourceVersion"]), event.reason, event.message))
    digest = hashlib.sha256(told.encode()).hexdigest()[:16]
    manifest = {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {
            "namespace": metadata["namespace"],
            "name": f"{metadata['name'][: NAME_LIMIT - 17]}.{digest}",
        },
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": names.FINALIZER,
        "reportingInstance": identity[:128],
        "action": "Reconcile",
        "reason": event.reason,
        "type": event.type,
        "note": _cut(event.message),
        "regarding": {
            "apiVersion": names.API_VERSION,
            "kind": names.KIND,
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
    }
    try:
        await gateway.create(manifest)
    except AlreadyExists:
        return


def _cut(text: str) -> str:
    """The API's limit is in bytes; a cut in the middle of a character is mended."""
    return text.encode()[:NOTE_LIMIT].decode("utf-8", "ignore")


def _without_nulls(value: Any) -> Any:
    """As the API server takes it: nothing that is null or empty, tuples as lists.

    An applied `{}` whose fields this manager owned before becomes a null, which the schema then refuses;
    the field left out is the same to every reader.
    """
    match value:
        case Mapping():
            kept = {key: _without_nulls(item) for key, item in value.items()}
            return {key: item for key, item in kept.items() if item not in (None, {}, [])}
        case list() | tuple():
            return [_without_nulls(item) for item in value]
        case _:
            return value
