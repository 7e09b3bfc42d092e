"""`ledger`: what the migration has come to, counted on the drive and in the store, and left on the drive.

Inodes are told twice: as the file system says (`statvfs`, the whole mount, which may lag or hold other
things), and as counted below the buckets and below `.dualtrack`. The result carries the digest of the written
file, so that whoever keeps the result can tell later that the file is still the one it was.
"""

from __future__ import annotations

import json
import os

from dualtrack.engine import blake, files, marker
from dualtrack.engine.inventory import count_inodes
from dualtrack.engine.rows import is_system
from dualtrack.engine.task import Task

PATH = f"{marker.CONTROL}/ledger.json"


def ledger(task: Task) -> None:
    """Write the ledger and put its figures into the result."""
    root = task.drive.path
    before = os.statvfs(root)
    buckets: dict[str, int] = {}
    for bucket in task.drive.buckets():
        buckets[bucket] = count_inodes(task.drive, bucket, task.checkpoint)
        task.scanned += buckets[bucket]
    stats = task.owner.stats()
    found = marker.read(root)
    digest = str(task.owner.digest(task.stop))
    control = _count_below(marker.control_directory(root))
    counts = {
        "rows": sum(count for bucket, count in stats.objects.items() if not is_system(bucket)),
        "systemRows": sum(count for bucket, count in stats.objects.items() if is_system(bucket)),
        "versions": sum(count for bucket, count in stats.versions.items() if not is_system(bucket)),
        # Counted: the file system may hold more than this drive, and `inodesUsed` is what it says of itself.
        "inodes": sum(buckets.values()) + control,
        "controlInodes": control,
        "storeBytes": stats.file_bytes,
    }
    used = before.f_files - before.f_ffree
    document = {
        "schema": 1,
        "time": task.now().isoformat(),
        "runID": task.run_id,
        "migrationUID": task.migration_uid or found.migration_uid,
        "epoch": task.epoch or found.epoch,
        "marker": str(found.state),
        "storeUUID": found.store_uuid,
        "deploymentID": task.drive.deployment_id,
        "driveID": task.drive.drive_id,
        "inodesUsed": used,
        "inodesByBucket": buckets,
        "digest": digest,
        "counts": counts,
    }
    data = json.dumps(document, sort_keys=True, indent=1).encode() + b"\n"
    if not task.dry_run:
        files.ensure_directory(marker.control_directory(root))
        files.write_atomic(f"{root}/{PATH}", data)
    task.counts.update(counts)
    task.notes |= {
        "inodesUsed": used,
        "digest": digest,
        "reportDigest": f"blake3:{blake.digest(data).hex()}",
    }


def _count_below(path: str) -> int:
    return 1 + sum(len(directories) + len(names) for _, directories, names in os.walk(os.fsencode(path)))
