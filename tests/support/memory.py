"""A test's folder in memory, for tests whose question does not depend on the disk.

They write thousands of small files each, and most of their time would be the disk's. Not for what asks after
flushes, other devices, free space or the numbers of inodes; and kills are simulated on a real file system.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_MEMORY = Path("/dev/shm")


@contextmanager
def in_memory(otherwise: Path) -> Iterator[Path]:
    """A new folder, gone at the end; `otherwise` where no files can be kept in memory."""
    if not _MEMORY.is_dir():
        yield otherwise
        return
    path = Path(tempfile.mkdtemp(dir=_MEMORY))
    try:
        yield path
    finally:
        # By a program: a test may have made this process unable to list some directory.
        subprocess.run(["rm", "--recursive", str(path)], check=True)
