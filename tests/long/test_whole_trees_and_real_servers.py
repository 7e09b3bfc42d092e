"""Every tree that a real server has written goes from files to rows and back; a real MinIO serves it then.

Single drives and whole sets, each byte for byte: the hash of every file, its mode, owner and time, and
`format.json`. While the files are held or purged, MinIO does not start on them and leaves them alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dtlab import minio as lab
from served import expected, served
from sets import engine, metas, state

CASES = ["minio-single", "minio-4d-stale", "minio-8d-2sets", "rustfs-4d"]
SERVED = ["minio-single", "minio-4d-stale", "minio-8d-2sets"]
FORMAT = Path(".minio.sys/format.json")


@pytest.fixture
def chosen(request: pytest.FixtureRequest, drives: Callable[[str], Path]) -> list[Path]:
    return sorted(drives(request.param).glob("d?"))


def held(drives: list[Path]) -> None:
    assert engine("migrate", drives) == 0
    assert engine("verify", drives, "--accept-deviations") == 0
    assert engine("cleanup hold", drives, "--server-stopped") == 0
    assert metas(drives) == []


def purged(drives: list[Path], copies: Path) -> None:
    assert engine("snapshot", drives, "--to", str(copies)) == 0
    where = ("--snapshot", str(copies), "--accept-same-device")
    assert engine("cleanup purge", drives, "--server-stopped", *where) == 0
    assert engine("cleanup directories", drives, "--server-stopped") == 0


@pytest.mark.parametrize("chosen", CASES, indirect=True)
def test_every_tree_comes_back_byte_for_byte(chosen: list[Path], tmp_path: Path, tell: Any) -> None:
    before = [state(drive) for drive in chosen]
    files = len(metas(chosen))
    held(chosen)
    purged(chosen, tmp_path / "copies")
    assert engine("restore", chosen) == 0
    assert len(metas(chosen)) == files
    assert [state(drive) for drive in chosen] == before
    names = sum(map(len, before))
    tell(f"{chosen[0].parent.name}: all {names} names on {len(chosen)} drives came back, {files} xl.meta")


@pytest.mark.parametrize("way", ["held", "purged"])
@pytest.mark.parametrize("chosen", SERVED, indirect=True)
def test_a_real_minio_refuses_what_is_held_or_purged_and_serves_what_was_restored(
    chosen: list[Path], way: str, oracle: Callable[[str], dict[str, Any]], tmp_path: Path, tell: Any
) -> None:
    held(chosen)
    if way == "purged":
        purged(chosen, tmp_path / "copies")
    left = [buckets(drive) for drive in chosen]
    reason = lab.refusal(*chosen, log=tmp_path / "refused.log")
    assert [buckets(drive) for drive in chosen] == left
    assert engine("restore", chosen) == 0
    facts = oracle(chosen[0].parent.name)
    tls = lab.certificates(tmp_path / "certificates")
    with lab.running(*chosen, log=tmp_path / "restored.log", tls=tls) as server:
        same = served(server, facts)
    assert same == expected(facts)
    tell(f"{chosen[0].parent.name}, {way}: refused ({reason}); restored and served {dict(same)}")


def buckets(drive: Path) -> dict[str, tuple[object, ...]]:
    """Every bucket, and `format.json`: what a server that tries to start must leave alone."""
    system = f"{FORMAT.parent}"
    return {
        name: what
        for name, what in state(drive).items()
        if not name.startswith(system) or name == str(FORMAT)
    }
