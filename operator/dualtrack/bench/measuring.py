"""Holds the clock: takes systems through a workload in interleaved rounds, and checks whatever they answer.

Only the operation is timed: its content is made, and what a read brought compared, while no clock runs. A
wrong byte or a wrong listing ends the run (`DifferenceError`), because no figure of such a system is worth
anything; an operation that fails is counted, named and never a figure.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

from dualtrack.bench.plan import Turn, turns
from dualtrack.bench.system import OperationFailed, Place, Session, System
from dualtrack.bench.workloads import Kind, Payload, Phase, Sizes, Workload, phases
from dualtrack.errors import DifferenceError, IncompleteError, UnavailableError

MAX_FAILURES = 20
"""Of one system in one workload: with more of them its figures would be of something else."""


@dataclass(slots=True)
class Measured:
    """Of one operation on one system: seconds by round. `sent` are uploads of known content that the system
    wanted in full, `settling` the seconds that it needed afterwards for what it had put off."""

    workload: Workload
    operation: str
    system: str
    size: int
    times: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    failed: int = 0
    sent: int = 0
    settling: float = 0.0


@dataclass(slots=True)
class Bench:
    """One run. What it found so far stays readable when `run` raises; `left` names what is not removed."""

    systems: Sequence[System]
    sizes: Sizes
    seed: int
    clients: int = 1
    stop: Callable[[], bool] = lambda: False
    report: Callable[[str, int, int], None] = lambda what, done, total: None
    clock: Callable[[], float] = time.perf_counter
    measured: dict[tuple[str, str], Measured] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def run(self, workloads: Sequence[Workload]) -> None:
        for workload in workloads:
            with ExitStack() as places:
                opened: dict[str, Place] = {}
                for system in self.systems:
                    place = system.open(workload)
                    places.callback(self._remove, system, place)
                    opened[system.name] = place
                _Running(self, workload, opened).run(phases(workload, self.sizes, self.seed))

    def _remove(self, system: System, place: Place) -> None:
        try:
            self.left += place.remove()
        except BaseException:
            self.left.append(f"{system.told} (its removal was cut off)")
            raise

    def of(self, workload: Workload, phase: Phase, system: str) -> Measured:
        return self.measured.setdefault(
            (phase.name, system), Measured(workload, phase.name, system, phase.size)
        )


class _Running:
    """A workload on its systems: which objects each of them has by now."""

    def __init__(self, bench: Bench, workload: Workload, places: Mapping[str, Place]) -> None:
        self._bench = bench
        self._workload = workload
        self._places = places
        self._there: dict[str, set[str]] = {name: set() for name in places}
        self._unsure: dict[str, set[str]] = {name: set() for name in places}
        self._failed = dict.fromkeys(places, 0)
        self._lock = threading.Lock()

    def run(self, wanted: Sequence[Phase]) -> None:
        total = len(self._places) * sum(len(phase.names) for phase in wanted)
        done = 0
        for phase in wanted:
            for turn in turns(list(self._places), phase.names, self._bench.sizes.rounds):
                self._bench.report(
                    f"{self._workload}: {phase.name or 'unmeasured'}, {turn.system}", done, total
                )
                self._take(phase, turn)
                done += len(turn.names)
        self._bench.report(f"{self._workload}: removing", done, total)

    def _take(self, phase: Phase, turn: Turn) -> None:
        place, clients = self._places[turn.system], self._bench.clients
        if clients == 1:
            self._client(phase, turn, place, turn.names)
        else:
            with ThreadPoolExecutor(clients) as pool:
                shares = [turn.names[number::clients] for number in range(clients)]
                for each in [pool.submit(self._client, phase, turn, place, share) for share in shares]:
                    each.result()
        began = self._bench.clock()
        place.settle()
        if phase.name:
            found = self._bench.of(self._workload, phase, turn.system)
            found.settling += self._bench.clock() - began

    def _client(self, phase: Phase, turn: Turn, place: Place, names: Sequence[str]) -> None:
        with ExitStack() as stack:
            try:
                session = stack.enter_context(place.session())
            except OperationFailed as error:
                raise UnavailableError(
                    f"{turn.system}: {error}; see to the system, then run again"
                ) from error
            for name in names:
                if self._bench.stop():
                    raise IncompleteError("interrupted")
                if phase.kind is Kind.READ and name not in self._there[turn.system]:
                    continue  # its write failed, and was named
                try:
                    seconds, sent = self._operate(phase, turn.system, session, name)
                except OperationFailed as error:
                    self._note_failure(phase, turn.system, name, error)
                    continue
                if phase.name:
                    with self._lock:
                        found = self._bench.of(self._workload, phase, turn.system)
                        found.times[turn.round].append(seconds)
                        found.sent += sent

    def _operate(self, phase: Phase, system: str, session: Session, name: str) -> tuple[float, bool]:
        """Its seconds, and whether known content had to be sent; `DifferenceError` on a wrong answer."""
        clock = self._bench.clock
        match phase.kind:
            case Kind.WRITE | Kind.AGAIN:
                payload = Payload.of(phase.content(self._bench.seed, name))
                self._unsure[system].add(name)
                began = clock()
                known = phase.kind is Kind.AGAIN and session.put_known(name, payload)
                if not known:
                    session.put(name, payload)
                seconds = clock() - began
                self._there[system].add(name)
                return seconds, phase.kind is Kind.AGAIN and not known
            case Kind.READ:
                began = clock()
                data = session.get(name)
                seconds = clock() - began
                _compare(system, name, data, phase.content(self._bench.seed, name))
                return seconds, False
            case Kind.LIST:
                began = clock()
                keys = _listing(session, name)
                seconds = clock() - began
                self._compare_listing(system, name, keys)
                return seconds, False

    def _compare_listing(self, system: str, prefix: str, keys: Sequence[str]) -> None:
        """Every key that was written, once, in order; one whose write failed may be there or not."""
        wanted = sorted(key for key in self._there[system] if key.startswith(prefix))
        found = [key for key in keys if key in self._there[system] or key not in self._unsure[system]]
        if found != wanted:
            wrong = set(wanted) ^ set(found)
            raise DifferenceError(
                f"{system} lists {len(found)} keys below {prefix!r} where {len(wanted)} were written: "
                f"{min(wrong) if wrong else 'out of order'}; no figures of a system that answers wrong"
            )

    def _note_failure(self, phase: Phase, system: str, name: str, error: OperationFailed) -> None:
        with self._lock:
            self._failed[system] += 1
            if phase.name:
                self._bench.of(self._workload, phase, system).failed += 1
            self._bench.failures.append(f"{system}: {phase.kind} {error}")
            if self._failed[system] >= MAX_FAILURES:
                raise IncompleteError(
                    f"{system}: {self._failed[system]} operations of {self._workload} failed, the last with "
                    f"{error}; see to the system, then run again"
                ) from error


def _compare(system: str, key: str, data: bytes, wanted: bytes) -> None:
    if data == wanted:
        return
    at = next((n for n, (a, b) in enumerate(zip(data, wanted, strict=False)) if a != b), len(wanted))
    raise DifferenceError(
        f"{system} answered {key} with {len(data)} bytes that differ from the {len(wanted)} written, "
        f"first at byte {min(at, len(data))}; no figures of a system that answers wrong"
    )


def _listing(session: Session, prefix: str) -> list[str]:
    """All keys below a prefix, page by page."""
    keys, after = session.page(prefix, "")
    while after:
        more, after = session.page(prefix, after)
        keys += more
    return keys
