"""Every name that the API fixes: group, kind, labels, annotations, finalizer, field manager, variables.

One page, because a name that is spelt twice is spelt differently sooner or later. Nothing here computes
more than a string.
"""

from __future__ import annotations

from typing import Final

GROUP: Final = "dualtrack.rustfs.com"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "MetadataMigration"
LIST_KIND: Final = "MetadataMigrationList"
PLURAL: Final = "metadatamigrations"
SINGULAR: Final = "metadatamigration"
SHORT_NAMES: Final = ("mmig",)
CATEGORIES: Final = ("rustfs",)
CRD_NAME: Final = f"{PLURAL}.{GROUP}"

FINALIZER: Final = f"{GROUP}/operator"
FIELD_MANAGER: Final = "dualtrack"

LABEL_MIGRATION: Final = f"{GROUP}/migration"
"""Name of the MetadataMigration that an object belongs to; the label that we select on."""
LABEL_MIGRATION_UID: Final = f"{GROUP}/migration-uid"
LABEL_ATTEMPT: Final = f"{GROUP}/attempt"
LABEL_STEP: Final = f"{GROUP}/step"
LABEL_POD: Final = f"{GROUP}/pod"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_PART_OF: Final = "app.kubernetes.io/part-of"
LABEL_COMPONENT: Final = "app.kubernetes.io/component"
MANAGED_BY: Final = "dualtrack"

ANNOTATION_COMMAND: Final = f"{GROUP}/command"
ANNOTATION_APPROVE: Final = f"{GROUP}/approve"
ANNOTATION_APPROVED_BY: Final = f"{GROUP}/approved-by"

ENV_RATIO: Final = "RUSTFS_DUAL_TRACK_RATIO"
ENV_ENGINE: Final = "RUSTFS_METADATA_ENGINE"
ENV_FALLBACK: Final = "RUSTFS_FALLBACK_TO_FS"
ENV_EPOCH: Final = "RUSTFS_DUAL_TRACK_EPOCH"
MODE_ENV: Final = (ENV_ENGINE, ENV_RATIO, ENV_FALLBACK, ENV_EPOCH)
"""What every Switch writes, also the one that leads back to the file system."""
ENV_LEVEL: Final = "RUSTFS_DUAL_TRACK_CONSISTENCY"
ENV_WINDOW: Final = "RUSTFS_DUAL_TRACK_WINDOW_SECONDS"
ENV_CACHE_CAPACITY: Final = "RUSTFS_METADATA_CACHE_CAPACITY"
ENV_CACHE_TTL: Final = "RUSTFS_METADATA_CACHE_TTL_SECONDS"
ENV_CACHE_WARMUP: Final = "RUSTFS_METADATA_CACHE_WARMUP"
ENV_CACHE_BYTES: Final = "RUSTFS_METADATA_CACHE_BYTES"
ENV_INLINE: Final = "RUSTFS_INLINE_THRESHOLD_BYTES"
CONSISTENCY_ENV: Final = (
    ENV_LEVEL,
    ENV_WINDOW,
    ENV_CACHE_CAPACITY,
    ENV_CACHE_TTL,
    ENV_CACHE_WARMUP,
    ENV_CACHE_BYTES,
    ENV_INLINE,
)
"""What `spec.consistency` says, written with the mode wherever rows are written."""
TARGET_ENV: Final = MODE_ENV + CONSISTENCY_ENV
"""All variables that a Switch may write, always together, in one patch."""


def lease_name(target_uid: str) -> str:
    """Name of the Lease that claims the target with this UID; creating it is the claim."""
    return f"dualtrack-{target_uid}"
