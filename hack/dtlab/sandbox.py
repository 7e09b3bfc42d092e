"""Starts, finds and ends the sandbox of a cluster, and runs commands in it.

There is no PID file that could be stale: the sandbox of a state folder is the process whose command
line names our `init.py` and that folder. So `down` works after a crash at any point.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dtlab import init
from dtlab.shell import LabError, run, wait_for


@dataclass(frozen=True, slots=True)
class Sandbox:
    """The name spaces around one state folder."""

    state: Path

    def pid(self) -> int | None:
        """The PID of `init.py` as the machine sees it; None where the sandbox is not up."""
        for process in self._processes():
            if _name_space(process) != _name_space(os.getpid()):
                return process
        return None

    def start(self) -> None:
        """Start the sandbox unless it runs."""
        if self.pid() is not None:
            return
        for folder in (*(self.state / name for name in ("components", "logs")), *map(Path, init.PRIVATE)):
            folder.mkdir(parents=True, exist_ok=True)
        (self.state / "ready").unlink(missing_ok=True)
        log = self.state / "logs" / "init.log"
        with log.open("ab") as output:
            subprocess.Popen(
                [
                    "unshare",
                    "--pid",
                    "--net",
                    "--mount",
                    "--propagation",
                    "unchanged",
                    "--fork",
                    sys.executable,
                    "-S",
                    init.__file__,
                    str(self.state),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd="/",
            )
        try:
            wait_for("the sandbox", (self.state / "ready").exists, seconds=15)
        except LabError as error:
            raise LabError(f"{error}; it said: {log.read_text()[-800:]}") from error

    def stop(self) -> None:
        """Kill all that runs in the sandbox and wait until the last of it is gone."""
        processes = self._processes()
        for process in processes:
            _kill(process)
        # The first process of a PID name space ends only after all others in it have.
        wait_for(f"the processes of {self.state} to end", lambda: not any(map(_lives, processes)), seconds=60)
        # Their entries stay until the machine's own first process has looked; some look once a second.
        end = time.monotonic() + 5
        while any(Path(f"/proc/{process}").exists() for process in processes) and time.monotonic() < end:
            time.sleep(0.05)

    def run(self, command: Sequence[str | Path], *, mounts: bool = True) -> str:
        """Run a command inside; without `mounts` it sees the machine's files, but the sandbox's network."""
        pid = self.pid()
        if pid is None:
            raise LabError(f"the cluster of {self.state} is not up; run `make cluster`")
        spaces = ["-n", "-p", "-m"] if mounts else ["-n"]
        return run(["nsenter", "-t", str(pid), *spaces, "--", *command])

    def _processes(self) -> list[int]:
        """Our `init.py` and the `unshare` that started it."""
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdecimal() and self._is_ours(entry)
        ]

    def _is_ours(self, entry: Path) -> bool:
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it ended meanwhile
            return False
        return words[-3:] == [os.fsencode(init.__file__), os.fsencode(self.state), b""]


def _name_space(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return str(Path("/proc/self/ns/pid").readlink())


def _lives(pid: int) -> bool:
    """Whether a process is there and not a mere zombie (its command line is gone before its end)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
