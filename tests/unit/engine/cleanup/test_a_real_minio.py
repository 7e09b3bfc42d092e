"""A real MinIO refuses a drive that cleanup holds, and serves everything on one that was restored."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from minio import Minio

from dualtrack.engine import snapshot
from dualtrack.engine.cleanup.directories import remove_directories
from dualtrack.engine.cleanup.hold import hold
from dualtrack.engine.cleanup.purge import purge
from dualtrack.engine.restore import restore

sys.path.insert(0, str(Path(__file__).parents[4] / "hack"))

from dtlab import minio as lab
from dtlab.shell import LabError

CUSTOMER_KEY = "x-amz-server-side-encryption-customer-algorithm"
STAGING = ".minio.sys/tmp/"
SKIPPED = "odd-xldir2"
"""Its two keys are spellings of one directory (see tests/data/README.md)."""


def later() -> datetime:
    """The server that tried to start has touched the staging area: cleanup wants a drive at rest."""
    return datetime.now(UTC) + timedelta(minutes=1)


def test_minio_refuses_what_is_held_and_serves_what_was_restored(
    whole, oracle: Callable[[str], Any], tmp_path: Path
) -> None:
    whole.run(hold)
    log = tmp_path / "minio.log"
    held = whole.tree()
    with pytest.raises(LabError, match="ended with"), lab.running(whole.drive, log=log):
        pass
    assert whole.metas() == []
    # A start that fails has still begun to empty the staging area, sometimes not to its end.
    left = {path: content for path, content in whole.files().items() if not path.startswith(STAGING)}
    assert left == {path: held[path] for path in left}
    whole.run(lambda task: snapshot.snapshot(task, str(tmp_path / "copy")))
    whole.run(lambda task: purge(task, str(tmp_path / "copy"), same_device=True), now=later)
    whole.run(remove_directories, now=later)
    whole.run(restore)
    with lab.running(whole.drive, log=log) as server:
        client = Minio(server.address, lab.ACCESS_KEY, lab.SECRET_KEY, secure=False)
        facts = oracle("minio-single")["buckets"]
        assert {bucket.name for bucket in client.list_buckets()} == set(facts)
        read = sum(compare(client, bucket, fact) for bucket, fact in facts.items() if bucket != SKIPPED)
    assert read > 2100


def compare(client: Minio, bucket: str, fact: dict[str, Any]) -> int:
    """How many versions of the bucket were read; SSE-C wants TLS and is left out."""
    read = 0
    for version in fact["versions"]:
        if version["Type"] == "marker" or CUSTOMER_KEY in version["head"]:
            continue
        answer = client.get_object(bucket, version["Key"], version_id=version["VersionId"])
        try:
            content = answer.read(decode_content=False)
        finally:
            answer.close()
            answer.release_conn()
        assert hashlib.sha256(content).hexdigest() == version["sha256"], (bucket, version["Key"])
        read += 1
    return read
