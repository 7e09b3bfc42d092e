"""The local cluster gives the machine back as it was, also when `up` was killed half-way.

Other clusters may run beside it, so interfaces and groups are compared by those that came during the test.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

LAB = Path(__file__).resolve().parents[2] / "hack" / "lab.py"

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(os.geteuid() != 0, reason="the local cluster needs root"),
]


def command(action: str, state: Path) -> list[str]:
    return [sys.executable, str(LAB), "cluster", action, "--dir", str(state)]


def lab(action: str, state: Path) -> str:
    done = subprocess.run(
        command(action, state),
        env={**os.environ, "CLUSTER": "local"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def command_lines() -> dict[int, str]:
    """What runs; kernel threads and zombies, which have no command line, are left out."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:  # it ended meanwhile
                continue
    return {pid: line for pid, line in found.items() if line}


def sandbox(state: Path) -> int | None:
    """The first process of the sandbox: in a PID name space that is not ours."""
    ours = Path("/proc/self/ns/pid").readlink()
    for pid, line in command_lines().items():
        if line.rstrip().endswith(f"init.py {state}") and Path(f"/proc/{pid}/ns/pid").readlink() != ours:
            return pid
    return None


def inhabitants(pid: int) -> set[int]:
    """The processes in the PID name space of another."""
    space = Path(f"/proc/{pid}/ns/pid").readlink()
    found = set()
    for other in command_lines():
        try:
            if Path(f"/proc/{other}/ns/pid").readlink() == space:
                found.add(other)
        except OSError:
            continue
    return found


def until(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"not in 60 s: {what}"
        time.sleep(0.05)


def interface_of(pid: int) -> str:
    """The machine's end of the pair whose other end lies in the sandbox, by its index."""
    inside = ["nsenter", "-t", str(pid), "-n", "cat", "/proc/net/dev"]
    assert "eth0" in subprocess.run(inside, capture_output=True, text=True, check=True).stdout
    shown = ["nsenter", "-t", str(pid), "-n", "ip", "-o", "link", "show", "eth0"]
    peer = (
        subprocess.run(shown, capture_output=True, text=True, check=True).stdout.split("@if")[1].split(":")[0]
    )
    for folder in Path("/sys/class/net").iterdir():
        if (folder / "ifindex").read_text().strip() == peer:
            return folder.name
    raise AssertionError(f"no interface with index {peer}")


def mounts() -> str:
    return Path("/proc/self/mounts").read_text()


def rules() -> str:
    saved = subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout
    return "\n".join(line for line in saved.splitlines() if not line.startswith("#"))


def test_down_takes_everything_with_it(tmp_path: Path) -> None:
    state = tmp_path / "cluster"
    before = mounts(), rules()
    lab("up", state)
    first = sandbox(state)
    assert first is not None
    members, interface = inhabitants(first), interface_of(first)
    assert len(members) >= 8, "etcd, API server, controllers, scheduler, kubelet, proxy, containerd, DNS"

    lab("down", state)

    assert (mounts(), rules()) == before
    assert not Path("/sys/class/net", interface).exists()
    assert not members & command_lines().keys()
    assert not state.exists()
    lab("down", state)


def test_an_up_that_was_killed_is_undone_or_gone_on_with(tmp_path: Path) -> None:
    state = tmp_path / "cluster"
    before = mounts(), rules()
    environment = {**os.environ, "CLUSTER": "local"}
    up = subprocess.Popen(command("up", state), env=environment, stderr=subprocess.DEVNULL)
    until("the API server's component", (state / "components" / "kube-apiserver.json").exists)
    up.send_signal(signal.SIGKILL)
    up.wait()
    first = sandbox(state)
    assert first is not None

    assert lab("up", state).strip() == str(state / "kubeconfig")
    assert sandbox(state) == first, "the second run goes on with the first one's sandbox"
    members = inhabitants(first)
    lab("down", state)

    assert (mounts(), rules()) == before
    assert not members & command_lines().keys()


def test_a_folder_that_is_not_a_cluster_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    done = subprocess.run(
        command("up", tmp_path),
        env={**os.environ, "CLUSTER": "local"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "not a cluster's" in done.stderr
    lab("down", tmp_path)
    assert (tmp_path / "mine").exists()
