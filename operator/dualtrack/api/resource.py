"""The whole resource: `metadata`, `spec` and `status`, with the rules that need all three.

What is fixed once the target is claimed can only be said at the root, because it depends on the status that
the operator has written.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from dualtrack.api import cel
from dualtrack.api.fields import Count, Line, SpecModel, StatusModel, Time
from dualtrack.api.spec import MigrationSpec
from dualtrack.api.status import MigrationStatus


class Metadata(StatusModel):
    """The parts of the object's metadata that the operator reads."""

    name: Annotated[Line, Field(min_length=1)]
    """Name of the migration."""
    namespace: Line = "default"
    """Namespace of the migration, its target and its Jobs."""
    uid: Line = ""
    """UID of the migration; empty before it is created."""
    generation: Count = 0
    """Generation of the spec."""
    resource_version: Line = ""
    """Version of the object that was read; status writes carry it."""
    annotations: dict[str, str] = Field(default_factory=dict)
    """Annotations; commands and approvals are among them."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels."""
    finalizers: tuple[str, ...] = ()
    """Finalizers."""
    deletion_timestamp: Time | None = None
    """When its deletion was asked for; absent otherwise."""


class MetadataMigration(SpecModel):
    """Moves an object store's metadata out of its xl.meta files into a key-value store, live and
    in stages."""

    model_config = ConfigDict(
        json_schema_extra=cel.rules(
            cel.NAME_FITS,
            *(cel.fixed_once_claimed(name) for name in ("goal", "target", "drives", "store")),
            cel.BEGUN_PHASES_FIXED,
        )
    )

    api_version: Literal["dualtrack.rustfs.com/v1alpha1"] = "dualtrack.rustfs.com/v1alpha1"
    """API version of the resource."""
    kind: Literal["MetadataMigration"] = "MetadataMigration"
    """Kind of the resource."""
    metadata: Metadata
    """Standard object metadata."""
    spec: MigrationSpec
    """What is asked for."""
    status: MigrationStatus = MigrationStatus()
    """What has been reached, seen and decided; written by the operator only."""
