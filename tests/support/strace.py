"""The real command line under `strace`, which counts its system calls, kills it at one, or lets one fail.

Nothing in the product knows of it. The commands run in forks of a process that has loaded everything
(`warmline.py`). Without `--seccomp-bpf`: with it, strace 6.1 delivers no signal.
"""

from __future__ import annotations

import functools
import json
import os
import re
import select
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SECONDS = 300.0


def command(bench: Any, *verb: str) -> list[str]:
    """`dualtrack engine VERB` on the drive and store of `bench`, without the first word."""
    return ["engine", *verb, "--drive", str(bench.drive), "--store", str(bench.store)]


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    """`dualtrack WORDS`, undisturbed."""
    return _ended(words, None)[0]


def traced(words: list[str], *options: str) -> subprocess.CompletedProcess[str]:
    """`dualtrack WORDS`, all its threads, under `strace OPTIONS`, from its first call on."""
    return _ended(words, ("-f", *options))[0]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a thread enters `call` for the `number`th time: the first that gets there or, if `main`, the main
    thread. `strace` counts each thread's calls by themselves, and a busier one would always be stopped first.
    """

    call: str
    number: int
    main: bool = False

    def disturbed(self, words: list[str], how: str) -> subprocess.CompletedProcess[str]:
        """`dualtrack WORDS`, with this call failed (`error=EIO`) or the end of it (`signal=SIGKILL`)."""
        inject = ("-e", f"trace={self.call}", "-e", f"inject={self.call}:{how}:when={self.number}")
        return _ended(words, inject if self.main else ("-f", *inject))[0]


def places(words: list[str], calls: Sequence[str], log: Path) -> list[Place]:
    """Each of these calls of an undisturbed run on the thread that makes the most of its kind, and on the
    main thread where both it and another make them. Not: those of a third, or of another less busy than it.
    """
    done, main = _ended(words, ("-ff", "-o", str(log), "-e", "trace=" + ",".join(calls)))
    assert done.returncode == 0, done.stderr
    threads = {
        path.suffix: Counter(re.findall(r"^(\w+)\(", path.read_text(errors="replace"), re.MULTILINE))
        for path in log.parent.glob(log.name + ".*")
    }
    own = threads[f".{main}"]
    found = []
    for call in calls:
        counts = [made[call] for made in threads.values()]
        found += [Place(call, number + 1) for number in range(max(counts))]
        if own[call] < sum(counts):
            found += [Place(call, number + 1, main=True) for number in range(own[call])]
    return found


@functools.cache
def _server() -> subprocess.Popen[bytes]:
    """The process that forks; it ends with us, because its standard input does."""
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("warmline.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        bufsize=0,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


def _ended(words: list[str], options: tuple[str, ...] | None) -> tuple[subprocess.CompletedProcess[str], int]:
    """Run it to its end, under `strace` if there are options; with its process id."""
    server = _server()
    assert server.stdin is not None
    with tempfile.TemporaryDirectory(prefix="dualtrack-command-") as folder:
        request = {"words": words, "stdout": f"{folder}/stdout", "stderr": f"{folder}/stderr"}
        if options is not None:
            request["gate"] = f"{folder}/gate"
            os.mkfifo(f"{folder}/gate")
        server.stdin.write(json.dumps(request).encode() + b"\n")
        child = _answer(server, "did not fork")
        tracer = None if options is None else _attached(child, options)
        if tracer is not None:
            os.close(os.open(f"{folder}/gate", os.O_WRONLY))
        code = _answer(server, f"hangs as process {child}: {words}")
        if tracer is not None:
            tracer.communicate(timeout=_SECONDS)
        out, err = (Path(folder, name).read_text(errors="replace") for name in ("stdout", "stderr"))
    return subprocess.CompletedProcess(words, code, out, err), child


def _answer(server: subprocess.Popen[bytes], otherwise: str) -> int:
    """The server's next line."""
    assert server.stdout is not None
    assert select.select([server.stdout], [], [], _SECONDS)[0], otherwise
    return int(server.stdout.readline())


def _attached(child: int, options: tuple[str, ...]) -> subprocess.Popen[str]:
    """`strace` on the waiting child. Once it says so, the child runs no instruction that it does not see."""
    quiet = () if "-o" in options else ("-o", os.devnull)
    command = ["strace", *quiet, *options, "-p", str(child)]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    said = tracer.stderr.readline()
    assert f"Process {child} attached" in said, said
    return tracer
