"""How far a verb is: a bar in a terminal, one JSON line a second in a pod, nothing otherwise.

The line is `{"event":"progress","verb","scanned","committed","total"|null,"elapsed"}` with what else a verb
has to tell (`extra`) behind these; the operator shows the newest of them. Progress goes to standard output
only as JSON; the bar uses standard error, so that what a verb prints can still be piped.
"""

from __future__ import annotations

import json
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol

from dualtrack.errors import OutputError

if TYPE_CHECKING:
    from rich.progress import Progress

SECONDS = 1.0


class Reporter(Protocol):
    def __call__(self, scanned: int, committed: int, total: int | None) -> None: ...


class ProgressReport:
    """A context: `report(scanned, committed, total)` as often as one likes."""

    def __init__(self, verb: str, style: Literal["none", "json"]) -> None:
        self._verb = verb
        self._json = style == "json"
        self.extra: dict[str, object] = {}
        self._began = time.monotonic()
        self._told = -SECONDS
        self._bar = _bar() if not self._json and sys.stderr.isatty() else None
        self._task = self._bar.add_task(verb, total=None) if self._bar else None

    def __enter__(self) -> ProgressReport:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def shares(self, number: int) -> list[Reporter]:
        """A reporter for each of so many pieces of the work; what is told is their sum."""
        told: list[tuple[int, int, int | None]] = [(0, 0, None)] * number

        def share(place: int) -> Reporter:
            def report(scanned: int, committed: int, total: int | None) -> None:
                told[place] = scanned, committed, total
                totals = [each for _, _, each in told if each is not None]
                self.report(
                    sum(each for each, _, _ in told),
                    sum(each for _, each, _ in told),
                    sum(totals) if len(totals) == number else None,
                )

            return report

        return [share(place) for place in range(number)]

    def report(self, scanned: int, committed: int, total: int | None) -> None:
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=scanned, total=total)
        elapsed = time.monotonic() - self._began
        if self._json and elapsed - self._told >= SECONDS:
            self._told = elapsed
            line = {
                "event": "progress",
                "verb": self._verb,
                "scanned": scanned,
                "committed": committed,
                "total": total,
                "elapsed": round(elapsed, 1),
                **self.extra,
            }
            try:
                print(json.dumps(line, separators=(",", ":")), flush=True)
            except (OSError, OutputError):
                self._json = False  # nobody reads along any more; that stops no work


def _bar() -> Progress:
    # Here, not above: rich takes as long to load as thousands of objects to sweep; a pod has no bar.
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, console=Console(stderr=True), transient=True)
