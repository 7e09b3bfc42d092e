"""Running other programs: one place that decides what a failure looks like, and says what goes on."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path


class LabError(Exception):
    """The lab cannot go on; the message says what failed and what to do next."""


def say(text: str) -> None:
    """Tell the person at the terminal what goes on, on stderr, so that stdout stays for results."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    log: Path | None = None,
) -> str:
    """Run a command and return its stdout; `env` is added to ours. Output goes to `log` too if given.

    Raises `LabError` with the end of the output when the command is missing or fails.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(f"{words[0]} is not there; `make tools` brings what the lab needs") from error
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(done.stdout + done.stderr)
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise LabError(f"`{' '.join(words)[:300]}` ended with {done.returncode}:\n{tail}")
    return done.stdout


def succeeds(command: Sequence[str | Path]) -> bool:
    """Whether a command exists and ends with 0; its output is dropped."""
    try:
        return (
            subprocess.run([str(word) for word in command], capture_output=True, check=False).returncode == 0
        )
    except FileNotFoundError:
        return False


def file_system(folder: Path) -> str:
    """The kind of file system a folder lies on, as `stat` calls it (`ext2/ext3`, `overlayfs`, `tmpfs`)."""
    return run(["stat", "--file-system", "--format=%T", folder]).strip()


def wait_for(what: str, condition: Callable[[], bool], *, seconds: float) -> None:
    """Poll until `condition()` holds; `LabError` naming `what` after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise LabError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.1)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file; the kernel drops it when the process ends, however it ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another run holds {path}; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def write_if_changed(path: Path, text: str) -> bool:
    """Write a file atomically unless it holds this text already; says whether it changed."""
    if path.is_file() and path.read_text() == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    fresh.replace(path)
    return True
