"""Every tree that a real server has written goes from files to rows and back; a real MinIO serves it then.

Single drives and whole sets, each byte for byte: the hash of every file, its mode, owner and time, and
`format.json`. While the files are held, MinIO does not start on them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from minio import Minio

from dtlab import minio as lab
from dtlab.shell import LabError
from sets import engine, metas, state

CASES = ["minio-single", "minio-4d-stale", "minio-8d-2sets", "rustfs-4d"]
CUSTOMER_KEY = "x-amz-server-side-encryption-customer-algorithm"
LEFT_OUT = "odd-xldir2"
"""Its two keys are spellings of one directory (see tests/data/README.md)."""


@pytest.fixture
def chosen(request: pytest.FixtureRequest, drives: Callable[[str], Path]) -> list[Path]:
    return sorted(drives(request.param).glob("d?"))


@pytest.mark.parametrize("chosen", CASES, indirect=True)
def test_every_tree_comes_back_byte_for_byte(chosen: list[Path], tmp_path: Path) -> None:
    before = [state(drive) for drive in chosen]
    files = len(metas(chosen))
    assert engine("migrate", chosen) == 0
    assert engine("verify", chosen, "--accept-deviations") == 0
    assert engine("cleanup hold", chosen, "--server-stopped") == 0
    assert metas(chosen) == []
    copies = str(tmp_path / "copies")
    assert engine("snapshot", chosen, "--to", copies) == 0
    assert engine("cleanup purge", chosen, "--server-stopped", "--snapshot", copies) == 0
    assert engine("cleanup directories", chosen, "--server-stopped") == 0
    assert engine("restore", chosen) == 0
    assert len(metas(chosen)) == files
    assert [state(drive) for drive in chosen] == before


@pytest.mark.parametrize("chosen", ["minio-4d-stale", "minio-8d-2sets"], indirect=True)
def test_a_real_minio_refuses_the_held_set_and_serves_the_restored_one(
    chosen: list[Path],
    oracle: Callable[[str], dict[str, Any]],
    tmp_path: Path,
) -> None:
    assert engine("migrate", chosen) == 0
    assert engine("verify", chosen, "--accept-deviations") == 0
    assert engine("cleanup hold", chosen, "--server-stopped") == 0
    with pytest.raises(LabError), lab.running(*chosen, log=tmp_path / "held.log", seconds=20):
        pass
    assert metas(chosen) == []
    assert engine("restore", chosen) == 0
    facts = oracle(chosen[0].parent.name)
    with lab.running(*chosen, log=tmp_path / "restored.log") as server:
        assert served(server.address, facts) == sum(
            readable(version)
            for bucket, content in facts["buckets"].items()
            if bucket != LEFT_OUT
            for version in content["versions"]
        )


def readable(version: dict[str, Any]) -> bool:
    """SSE-C wants TLS and is left out."""
    return version["Type"] != "marker" and CUSTOMER_KEY not in version["head"]


def served(address: str, oracle: dict[str, Any]) -> int:
    """How many versions the server gives with the content that it had before."""
    client = Minio(address, lab.ACCESS_KEY, lab.SECRET_KEY, secure=False)
    same = 0
    for bucket, content in oracle["buckets"].items():
        for version in filter(readable, content["versions"]) if bucket != LEFT_OUT else ():
            with client.get_object(bucket, version["Key"], version_id=version["VersionId"]) as answer:
                digest = hashlib.sha256(answer.read(decode_content=False)).hexdigest()
            answer.release_conn()
            assert digest == version["sha256"], json.dumps([bucket, version["Key"], version["VersionId"]])
            same += 1
    return same
