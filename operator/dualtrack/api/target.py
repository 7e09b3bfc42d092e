"""`spec.target`, `spec.drives` and `spec.store`: what is changed, and where the metadata goes.

All of it is fixed once the target is claimed, because the drives' markers and the store record it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, StrictInt

from dualtrack.api import cel
from dualtrack.api.fields import LabelName, ObjectName, Seconds, SpecModel, Word


class TargetKind(StrEnum):
    DEPLOYMENT = "Deployment"
    STATEFUL_SET = "StatefulSet"
    TENANT = "Tenant"


class ExistingEnv(StrEnum):
    REFUSE = "Refuse"
    TAKE_OVER = "TakeOver"


class Scheme(StrEnum):
    HTTP = "HTTP"
    HTTPS = "HTTPS"


class SecretRef(SpecModel):
    """A Secret in the migration's own namespace."""

    name: ObjectName
    """Name of the Secret."""


class SecretKeyRef(SpecModel):
    """One key of a Secret in the migration's own namespace."""

    name: ObjectName
    """Name of the Secret."""
    key: str = Field("token", min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")
    """Key in the Secret."""


class AcknowledgementEndpoint(SpecModel):
    """Where each pod of the target says which mode it is in."""

    port: Annotated[StrictInt, Field(ge=1, le=65_535)] = 9000
    """Port of the pod."""
    scheme: Scheme = Scheme.HTTP
    """`HTTP` or `HTTPS`."""
    secret_ref: SecretRef
    """Secret whose key `token` is sent as bearer token; the target's pods know the same token."""


class Target(SpecModel):
    """The workload whose environment is switched."""

    model_config = ConfigDict(json_schema_extra=cel.rules(cel.TARGET_API))

    api_version: Word = Field("apps/v1", min_length=2, pattern=r"^([a-z0-9.-]+/)?v[0-9a-z]+$")
    """API version of the workload."""
    kind: TargetKind = Field(
        TargetKind.DEPLOYMENT, json_schema_extra=cel.only("spec.target.kind", "Deployment")
    )
    """Kind of the workload. This version takes `Deployment`."""
    name: ObjectName
    """Name of the workload, in the migration's namespace."""
    container_name: LabelName
    """The container that serves the drives; only its environment is changed."""
    existing_env: ExistingEnv = ExistingEnv.REFUSE
    """What to do where our variables are already set by somebody else: `Refuse` or `TakeOver`."""
    change_deadline_seconds: Annotated[Seconds, Field(ge=10)] = 900
    """A change of the environment that is not acknowledged in this time is taken back."""
    acknowledgement: AcknowledgementEndpoint
    """Where each pod says which mode it is in."""


class Drive(SpecModel):
    """A directory tree with a `format.json`, mounted into the target's container."""

    name: LabelName
    """Name of the drive, unique in the list."""
    mount_path: str = Field(min_length=2, max_length=256, pattern=r"^(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$")
    """Where the target's container mounts it; the PersistentVolumeClaim follows from the mount."""


class Driver(StrEnum):
    LMDB = "LMDB"
    ROCKS_DB = "RocksDB"
    POSTGRE_SQL = "PostgreSQL"


class Location(StrEnum):
    DRIVE = "Drive"
    CLAIM = "Claim"


class Store(SpecModel):
    """The key-value store that takes the metadata."""

    model_config = ConfigDict(json_schema_extra=cel.rules(cel.CLAIM_NAME_HAS_USE))

    driver: Driver = Field(Driver.LMDB, json_schema_extra=cel.only("spec.store.driver", "LMDB"))
    """Which store. This version takes `LMDB`."""
    location: Location = Field(Location.DRIVE, json_schema_extra=cel.only("spec.store.location", "Drive"))
    """Where it lies. This version takes `Drive`: beside the data, on each drive."""
    claim_name: ObjectName | None = None
    """PersistentVolumeClaim of the store, for location `Claim`."""
    max_size_bytes: Annotated[
        StrictInt, Field(ge=1_048_576, le=17_592_186_044_416, json_schema_extra={"format": "int64"})
    ] = 107_374_182_400
    """Size to which the store of one drive is meant to grow. This version records it and sets no limit by it:
    the store takes what its drive has, and `migrate` asks before it begins whether there is room."""
