"""What the README tells a newcomer to type works as it stands there, and what it points at is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def block(begins: str) -> list[str]:
    """The lines of the one block that begins so, without their comments."""
    (found,) = (text for text in BLOCKS if text.startswith(begins))
    return [re.sub(r"\s+#.*$", "", line) for line in found.splitlines() if line.strip()]


def test_the_engine_without_kubernetes(drives: Callable[[str], Path], tmp_path: Path) -> None:
    """Line by line on a drive of a real MinIO, from the inventory to the restored files."""
    drive, store = drives("minio-single") / "d1", tmp_path / "kv"
    before = {path.relative_to(drive) for path in drive.rglob("xl.meta")}
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    lines = block("dualtrack engine inventory")
    assert len(lines) >= 7
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:  # on no disk that the drive is on
        for line in lines:
            command = line.replace("/data", str(drive)).replace("/var/lib/kv", str(store))
            ended = subprocess.run(
                command.replace("/mnt/other", other).split(),
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
            assert ended.returncode == 0, f"{line}: {ended.stderr}"
    assert {path.relative_to(drive) for path in drive.rglob("xl.meta")} == before


@pytest.mark.parametrize(
    "target", sorted(set(re.findall(r"^make ([a-z0-9-]+)", "\n".join(BLOCKS), re.MULTILINE)))
)
def test_every_make_target_is_there(target: str) -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    # `make bench-%` is one rule for every module of benchmarks/.
    known = re.search(rf"^  {target}\s", listed, re.MULTILINE)
    assert known or (ROOT / "benchmarks" / f"{target.removeprefix('bench-')}.py").exists(), listed


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)[^)]*\)", README))))
def test_every_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
