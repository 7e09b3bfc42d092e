"""The first process of a cluster's sandbox: a supervisor in name spaces of its own.

Started as `unshare --pid --net --mount --fork python init.py STATE`; standard library only. Everything
the cluster starts, pods included, is its descendant in the PID name space, so killing this one process
ends them all, and the kernel then drops the mounts, interfaces and iptables rules that they made.

Components are files `STATE/components/NAME.json`, each `{"argv": [...]}`. A new file starts the component,
a changed one restarts it, a removed one ends it; one that dies is started again after a second.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

# Short and the same in every sandbox, so that configurations and socket paths do not depend on STATE.
INSIDE = Path("/run/lab")
# Folders that programs insist on, whatever they are told; empty and private inside.
PRIVATE = ("/var/lib/cni", "/var/lib/kubelet", "/var/log")
SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
RESTART_SECONDS = 1.0
POLL_SECONDS = 0.1


@dataclass(slots=True)
class Child:
    """A component as it was last started."""

    text: str
    pid: int
    started: float


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def prepare(state: Path) -> None:
    """Give the sandbox its own /proc, /run and private folders."""
    # What the machine mounts still arrives here, what we mount does not leave; pods share ours.
    mount("--make-rslave", "/")
    mount("--make-rshared", "/")
    mount("-t", "proc", "proc", "/proc")
    os.chdir(state)
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    INSIDE.mkdir()
    mount("--bind", ".", str(INSIDE))
    os.chdir("/")
    for folder in PRIVATE:
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", folder)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def start(name: str, text: str) -> Child:
    log = (INSIDE / "logs" / f"{name}.log").open("ab")
    process = subprocess.Popen(
        json.loads(text)["argv"],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        env={**os.environ, "PATH": SEARCH},
        start_new_session=True,
        cwd="/",
    )
    log.close()
    process.returncode = 0  # we reap by ourselves, orphans of pods included
    return Child(text, process.pid, time.monotonic())


def reap(children: dict[str, Child]) -> None:
    """Collect every process that ended; forget the PIDs of components among them."""
    with contextlib.suppress(ChildProcessError):
        while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
            for child in children.values():
                if child.pid == pid:
                    child.pid = 0


def reconcile(children: dict[str, Child]) -> None:
    """Make the running components those of the folder."""
    wanted = {path.stem: path.read_text() for path in (INSIDE / "components").glob("*.json")}
    for name, child in list(children.items()):
        if wanted.get(name) == child.text:
            continue
        if child.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, 15)
        else:
            del children[name]
    for name, text in wanted.items():
        last = children.get(name)
        if last is None or (last.pid == 0 and time.monotonic() - last.started > RESTART_SECONDS):
            children[name] = start(name, text)


def main() -> None:
    prepare(Path(sys.argv[1]))
    (INSIDE / "ready").touch()
    children: dict[str, Child] = {}
    while True:
        reap(children)
        reconcile(children)
        time.sleep(POLL_SECONDS)


if __name__ == "__main__":
    main()
