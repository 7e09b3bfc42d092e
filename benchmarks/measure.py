"""Timing of whole processes, in interleaved pairs, so that a machine that speeds up or slows down, or has
other work, moves both sides alike.

Each run is preceded by a warm-up that reads the tree, so that both sides find it in the page cache. Of every
run: wall seconds, CPU seconds (user and system, of the process and all its children) and peak resident
memory, all from the kernel's own account of the ended process. The ratio is taken pair by pair; what is
quoted is the median.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.trees import REPO, cache

PAIRS = 9


@dataclass(frozen=True, slots=True)
class Run:
    """Of one process. Seconds, and KiB."""

    wall: float
    cpu: float
    peak_kib: int
    output: str


Command = Sequence[str | Path]


def run(command: Command, environment: Mapping[str, str] | None = None) -> Run:
    """Run a command to its end; its failure is ours."""
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in command],
            stdout=output,
            cwd=REPO,
            env={**os.environ, **(environment or {})},
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read(1 << 16).decode(errors="replace")
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {process.returncode}: {text[-2000:]}")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, text)


def dualtrack(*words: str | Path) -> list[str | Path]:
    return [sys.executable, "-m", "dualtrack.cli.main", *words]


def scanner() -> Path:
    """The yardstick, compiled where it is not yet."""
    source = REPO / "benchmarks" / "c" / "scan.c"
    program = cache() / "scan"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        program.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cc", "-O2", "-Wall", "-o", program, source], check=True)
    return program


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity with its target. `better` says which side of the target is good."""

    name: str
    value: float
    unit: str
    target: float | None = None
    better: str = "higher"
    note: str = ""

    @property
    def reached(self) -> bool | None:
        if self.target is None:
            return None
        return self.value >= self.target if self.better == "higher" else self.value <= self.target


@dataclass(slots=True)
class Pairs:
    """Two commands in turn: `ours` and the yardstick."""

    ours: list[Run] = field(default_factory=list)
    yardstick: list[Run] = field(default_factory=list)

    def ratio(self, what: Callable[[Run], float]) -> float:
        """How many times as fast ours is: the yardstick's time through ours, pair by pair, the median."""
        return statistics.median(what(b) / what(a) for a, b in zip(self.ours, self.yardstick, strict=True))

    def spread(self, what: Callable[[Run], float]) -> str:
        ratios = sorted(what(b) / what(a) for a, b in zip(self.ours, self.yardstick, strict=True))
        return f"{ratios[0]:.2f}–{ratios[-1]:.2f}"


def interleave(
    ours: Callable[[], Run], yardstick: Callable[[], Run], warm: Callable[[], object], pairs: int = PAIRS
) -> Pairs:
    """The first pair is not counted."""
    found = Pairs()
    for number in range(pairs + 1):
        warm()
        theirs = yardstick()
        warm()
        mine = ours()
        if number:
            found.ours.append(mine)
            found.yardstick.append(theirs)
    return found


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def report(name: str, figures: Sequence[Figure], facts: Mapping[str, object]) -> None:
    """Print a table and leave the same as JSON under the cache, for `benchmarks.page`."""
    document = {
        "name": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "commit": commit(),
        "facts": dict(facts),
        "figures": [asdict(figure) | {"reached": figure.reached} for figure in figures],
    }
    path = cache() / "results" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(f"{name}: {document['date']}, {document['machine']}, commit {document['commit']}")
    for key, value in facts.items():
        print(f"  {key}: {value}")
    for figure in figures:
        sign = {True: "reached", False: "MISSED", None: ""}[figure.reached]
        bound = (
            "" if figure.target is None else f"{'≥' if figure.better == 'higher' else '≤'} {figure.target:g}"
        )
        print(
            f"  {figure.name:<46} {figure.value:>12,.3f} {figure.unit:<12} {bound:<10} {sign:<8}{figure.note}"
        )


def machine() -> str:
    model = platform.machine()
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**30
    return f"{model}, {os.cpu_count()} cores, {memory} GiB, Linux {platform.release()}"


def commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=10"],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"
