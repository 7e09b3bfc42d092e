"""Our codec and RustFS's own on every file of every tree, and on 10,000 generated ones."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import filemeta_peer as peer

pytestmark = pytest.mark.skipif(
    shutil.which("cargo") is None, reason="RustFS's codec is built by cargo, which is not there"
)


@pytest.mark.parametrize("case", ["minio-single", "minio-8d-2sets", "minio-4d-stale", "rustfs-4d"])
def test_every_file_of_every_tree_is_read_alike(pristine: Callable[[str], Path], case: str) -> None:
    checked = 0
    for drive in sorted(pristine(case).iterdir()):
        checked += peer.compare_drive(drive)[0]
    assert checked > 100


@pytest.mark.parametrize("start", range(0, 10_000, 1_000))
def test_generated_files_are_read_and_written_alike(start: int) -> None:
    peer.compare_graphs(range(1_000_000 + start, 1_000_000 + start + 1_000))
