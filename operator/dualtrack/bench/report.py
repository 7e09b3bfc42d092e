"""What a run found, as a document, a table and a chart. Pure.

The first system is what the others are held against: a ratio above 1 is faster than it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from dualtrack.bench import chart
from dualtrack.bench.figures import Figures, Ratio, figures, ratio
from dualtrack.bench.measuring import Measured
from dualtrack.bench.workloads import Sizes, human

_HEADS = (
    "operation", "system", "n", "failed", "min", "p50", "mean", "p99", "max", "ops/s", "MB/s", "× as fast",
)  # fmt: skip
_LEFT = 2
"""Columns of words; those of numbers are ranged right."""


@dataclass(frozen=True, slots=True)
class Line:
    """An operation on a system; `figures` is None where it never succeeded, `ratio` of the first system."""

    measured: Measured
    figures: Figures | None
    ratio: Ratio | None


@dataclass(frozen=True, slots=True)
class Report:
    """`systems` are names and what they are; `facts` what has to be known to have the run again."""

    run_id: str
    date: str
    machine: str
    seed: int
    clients: int
    sizes: Sizes
    systems: Mapping[str, str]
    lines: Sequence[Line]
    failures: Sequence[str]
    left: Sequence[str]

    @property
    def title(self) -> str:
        return f"bench {self.run_id}: {self.date}, {self.machine}, seed {self.seed}, clients {self.clients}"


def lines(measured: Mapping[tuple[str, str], Measured], clients: int, first: str) -> list[Line]:
    """Operation by operation, in the order of the run."""
    told = {key: figures(each.times, each.size, clients) for key, each in measured.items()}
    found = []
    for operation in dict.fromkeys(name for name, _ in measured):
        base = told.get((operation, first))
        for key, each in measured.items():
            if key[0] == operation:
                mine = told[key]
                against = base is not None and mine is not None and key[1] != first
                found.append(Line(each, mine, ratio(base, mine) if against and base and mine else None))
    return found


def document(report: Report) -> dict[str, object]:
    """Contract: docs/internals/contracts.md §8. Times in milliseconds."""
    return {
        "bench": report.run_id,
        "date": report.date,
        "machine": report.machine,
        "seed": report.seed,
        "clients": report.clients,
        "sizes": asdict(report.sizes),
        "systems": [{"name": name, "told": told} for name, told in report.systems.items()],
        "results": [_result(line) for line in report.lines],
        "failures": list(report.failures),
        "left": list(report.left),
    }


def _result(line: Line) -> dict[str, object]:
    measured, found = line.measured, line.figures
    result: dict[str, object] = {
        "workload": measured.workload,
        "operation": measured.operation,
        "system": measured.system,
        "bytes": measured.size,
        "count": found.count if found else 0,
        "failed": measured.failed,
        "sentInFull": measured.sent,
        "settlingSeconds": round(measured.settling, 6),
    }
    if found is not None:
        names = {
            "min": found.least,
            "p50": found.p50,
            "mean": found.mean,
            "p99": found.p99,
            "max": found.most,
        }
        result["milliseconds"] = {name: _ms(seconds) for name, seconds in names.items()}
        result["operationsPerSecond"] = round(found.operations_per_second, 3)
        result["bytesPerSecond"] = round(found.bytes_per_second)
        result["roundsP50"] = [_ms(seconds) for seconds in found.rounds.values()]
    if line.ratio is not None:
        result["timesAsFast"] = {"median": line.ratio.median, "min": line.ratio.least, "max": line.ratio.most}
    return result


def table(report: Report) -> str:
    """Aligned text: milliseconds, and ratios with the smallest and largest of their rounds."""
    rows = [_HEADS, *(_row(line) for line in report.lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    text = [report.title]
    text += [f"  {name}: {told}" for name, told in report.systems.items()]
    text += [f"  {_sizes(report.sizes)}; times in ms", ""]
    text += [_aligned(row, widths) for row in rows]
    notes = [note for line in report.lines if (note := _note(line.measured))]
    notes += [f"failed: {name}" for name in report.failures]
    notes += [f"not removed: {name}" for name in report.left]
    return "\n".join([*text, *([""] if notes else []), *notes, ""])


def _sizes(sizes: Sizes) -> str:
    return (
        f"{sizes.objects:,} objects of {human(sizes.size)}, {sizes.large_objects:,} of "
        f"{human(sizes.large_size)}, {sizes.rounds} interleaved rounds"
    )


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    words = [cell.ljust(width) for cell, width in zip(row[:_LEFT], widths, strict=False)]
    numbers = [cell.rjust(width) for cell, width in zip(row[_LEFT:], widths[_LEFT:], strict=True)]
    return "  ".join([*words, *numbers]).rstrip()


def _row(line: Line) -> tuple[str, ...]:
    measured, found = line.measured, line.figures
    head = (measured.operation, measured.system, f"{found.count if found else 0:,}", f"{measured.failed:,}")
    if found is None:
        return (*head, *("-" for _ in _HEADS[len(head) :]))
    times = (found.least, found.p50, found.mean, found.p99, found.most)
    rate = chart.number(found.bytes_per_second / 1e6) if measured.size else ""
    return (
        *head,
        *(f"{_ms(each):.3f}" for each in times),
        chart.number(found.operations_per_second),
        rate,
        _told(line),
    )


def _told(line: Line) -> str:
    if line.ratio is None:
        return ""
    return f"{line.ratio.median:.2f} ({line.ratio.least:.2f}-{line.ratio.most:.2f})"


def _note(measured: Measured) -> str:
    told = []
    if measured.sent:
        told.append(f"{measured.sent} of {measured.sent + _known(measured)} were sent in full, unknown there")
    if measured.settling >= 0.005:
        told.append(f"then {measured.settling:.2f} s for rows that had been put off")
    return f"{measured.operation}, {measured.system}: {'; '.join(told)}" if told else ""


def _known(measured: Measured) -> int:
    return sum(map(len, measured.times.values())) - measured.sent


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 4)


@dataclass(frozen=True, slots=True)
class _Strip:
    """The median of each round as dots, that of all as the bar; one scale for all systems of an operation."""

    name: str
    value: float
    samples: tuple[float, ...]
    ceiling: float | None
    unit: str = "ms"
    target: float | None = None
    better: str = "lower"
    reached: bool | None = None


def drawn(report: Report) -> str:
    """The chart, an SVG."""
    most: dict[str, float] = {}
    for line in report.lines:
        if line.figures is not None:
            worst = max(line.figures.rounds.values())
            most[line.measured.operation] = max(worst, most.get(line.measured.operation, 0.0))
    strips = [
        _Strip(
            f"{line.measured.operation}: {line.measured.system}",
            line.figures.p50 * 1000,
            tuple(each * 1000 for each in line.figures.rounds.values()),
            most[line.measured.operation] * 1000,
        )
        for line in report.lines
        if line.figures is not None
    ]
    return chart.draw("p50 of each round, and of all", report.title, strips)
