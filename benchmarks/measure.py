"""Timing of whole processes, in interleaved pairs, so that a machine that speeds up or slows down, or has
other work, moves both sides alike.

Each run follows one of the other side, which has just read the same tree, so that both find it in the page
cache; the first pair is not counted. Of every run: wall seconds, CPU seconds (user and system, of the process
and all its children) and peak resident memory, all from the kernel's own account of the ended process. The
ratio is taken pair by pair; what is quoted is the median, with the smallest and the largest beside it. A cold
run drops the kernel's caches before each side.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.trees import REPO, cache
from dualtrack.bench import chart
from dualtrack.bench.machine import machine

PAIRS = 9
CHARTS = REPO / "docs" / "charts"


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
    #: What `value` is the median of; empty where it was measured once.
    samples: tuple[float, ...] = ()

    @classmethod
    def of(
        cls,
        name: str,
        samples: Iterable[float],
        unit: str,
        target: float | None = None,
        better: str = "higher",
        note: str = "",
    ) -> Figure:
        """The median of what was measured, with all of it."""
        found = tuple(samples)
        return cls(name, statistics.median(found), unit, target, better, note, found)

    @property
    def ceiling(self) -> None:
        """Each figure of ours has a scale of its own."""

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

    def ratios(self, what: Callable[[Run], float]) -> list[float]:
        """How many times as fast ours is, pair by pair: the yardstick's time through ours."""
        return [what(b) / what(a) for a, b in zip(self.ours, self.yardstick, strict=True)]


def interleave(
    ours: Callable[[], Run], yardstick: Callable[[], Run], pairs: int = PAIRS, *, cold: bool = False
) -> Pairs:
    """The first pair is not counted: it warms the others."""
    found = Pairs()
    before: Callable[[], object] = drop_caches if cold else lambda: None
    for number in range(pairs + 1):
        before()
        theirs = yardstick()
        before()
        mine = ours()
        if number:
            found.ours.append(mine)
            found.yardstick.append(theirs)
    return found


def drop_caches() -> None:
    """Let the kernel forget what it has read: pages, names and inodes. Of the whole machine; root may."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3\n", encoding="ascii")
    except PermissionError as error:
        raise SystemExit("--cold drops the kernel's caches: run it as root") from error


def report(name: str, figures: Sequence[Figure], facts: Mapping[str, object]) -> None:
    """Print a table; leave the same as JSON and as a chart under the cache. A run of nine pairs or more also
    renews the chart that the documentation shows.
    """
    date = datetime.now(UTC).isoformat(timespec="seconds")
    document = {
        "name": name,
        "date": date,
        "machine": machine(),
        "commit": commit(),
        "facts": dict(facts),
        "figures": [_document(figure) for figure in figures],
    }
    places = [cache() / "results"]
    if min((len(figure.samples) for figure in figures if figure.samples), default=0) >= PAIRS:
        places.append(CHARTS)
    told = f"{date[:10]}, commit {commit()}, {machine()}"
    drawn = chart.draw(f"{name}: {', '.join(map(str, facts.values()))}", told, figures)
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{name}.svg").write_text(drawn, encoding="utf-8")
    (places[0] / f"{name}.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    _print(f"{name}: {date}, {machine()}, commit {commit()}", figures, facts)


def _document(figure: Figure) -> dict[str, object]:
    return asdict(figure) | {
        "reached": figure.reached,
        "smallest": min(figure.samples, default=figure.value),
        "largest": max(figure.samples, default=figure.value),
    }


def _print(title: str, figures: Sequence[Figure], facts: Mapping[str, object]) -> None:
    print(title)
    for key, value in facts.items():
        print(f"  {key}: {value}")
    print(f"  {'':<46} {'median':>10} {'smallest':>10} {'largest':>10}")
    for figure in figures:
        sign = {True: "reached", False: "MISSED", None: ""}[figure.reached]
        bound = f"{'≥' if figure.better == 'higher' else '≤'} {figure.target:g}" if figure.target else ""
        spread = [chart.number(pick(figure.samples)) if figure.samples else "" for pick in (min, max)]
        print(
            f"  {figure.name:<46} {chart.number(figure.value):>10} {spread[0]:>10} {spread[1]:>10} "
            f"{figure.unit:<10} {bound:<10} {sign:<8}{figure.note}".rstrip()
        )


def commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=10"],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() or "unknown"
