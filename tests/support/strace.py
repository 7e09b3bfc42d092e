"""The real command line under `strace`, which counts its system calls, kills it at one, or lets one fail.

Nothing in the product knows of it. Without `--seccomp-bpf`: with it, strace 6.1 delivers no signal.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

_MAIN = "import sys; from dualtrack.cli.main import main; sys.exit(main())"


def command(bench: Any, *verb: str) -> list[str]:
    """`dualtrack engine VERB` on the drive and store of `bench`."""
    return [
        *(sys.executable, "-c", _MAIN, "engine", *verb),
        *("--drive", str(bench.drive), "--store", str(bench.store)),
    ]


def traced(arguments: list[str], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["strace", "-f", "-qq", *options, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


def counted(arguments: list[str], calls: tuple[str, ...], log: Path) -> dict[str, int]:
    """How often an undisturbed run makes each of the calls, on its busiest thread."""
    done = traced(arguments, "-ff", "-o", str(log), "-e", "trace=" + ",".join(calls))
    assert done.returncode == 0, done.stderr
    counts: dict[str, int] = {}
    for path in log.parent.glob(log.name + ".*"):
        found = re.findall(r"^(\w+)\(", path.read_text(errors="replace"), re.MULTILINE)
        for name in calls:
            counts[name] = max(counts.get(name, 0), found.count(name))
    return counts
