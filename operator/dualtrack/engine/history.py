"""The audit of a drive as a person asks for it: steps, each with its beginning and its end put together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dualtrack.engine import auditlog
from dualtrack.engine.auditlog import BEGUN, ENDED, Line


class State(StrEnum):
    DONE = "done"
    FAILED = "failed"
    RUNNING = "running"
    #: Killed, or the power went: what it was about may be half done. Its next run goes on.
    INTERRUPTED = "interrupted"
    #: A line that a power cut tore, or that somebody damaged.
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Step:
    number: int
    state: State
    begun: Mapping[str, Any]
    ended: Mapping[str, Any]

    @property
    def undo(self) -> str:
        return str(self.ended.get("undo") or self.begun.get("undo", ""))

    @property
    def told(self) -> str:
        """In a line, for a warning."""
        return (
            f"{self.begun.get('verb')} of run {self.begun.get('run')}, begun at {self.begun.get('time')} "
            f"(entry {self.number})"
        )

    def to_json(self) -> dict[str, object]:
        left_out = ("schema", "seq", "event", "previous", "undo", "began", "time")
        return {
            "seq": self.number,
            "state": str(self.state),
            "began": self.begun.get("time", ""),
            "ended": self.ended.get("time", ""),
            **{name: value for name, value in self.begun.items() if name not in left_out},
            **{name: value for name, value in self.ended.items() if name not in left_out},
            "undo": self.undo,
        }


@dataclass(frozen=True, slots=True)
class History:
    """`faults` say where the chain is broken; `anchors` are those of all lines, the last one last."""

    steps: tuple[Step, ...]
    faults: tuple[str, ...]
    anchors: tuple[str, ...]


def history(drive: str) -> History:
    """Of a drive, which need not be one that can be opened. OSError where the audit cannot be read."""
    lines, working = auditlog.look(drive)
    return History(
        tuple(_steps(lines, working)), tuple(auditlog.faults(lines)), tuple(line.anchor for line in lines)
    )


def head(drive: str) -> str:
    """The anchor of the last line; empty where there is none."""
    lines, _ = auditlog.look(drive)
    return lines[-1].anchor if lines else ""


def interrupted(drive: str) -> list[Step]:
    """Steps that were cut off and of which no later step has said so yet."""
    lines, working = auditlog.look(drive)
    cut = {line.number for line in auditlog.unfinished(lines)} - working
    return [each for each in _steps(lines, working) if each.number in cut]


def _steps(lines: list[Line], working: frozenset[int]) -> Iterator[Step]:
    ends = {line.fields.get("began"): line.fields for line in lines if line.fields and line.event == ENDED}
    for line in lines:
        if line.fields is None:
            yield Step(line.number, State.UNREADABLE, {}, {})
        elif line.event == BEGUN:
            ended = ends.get(line.number, {})
            yield Step(line.number, _state(line, ended, working), line.fields, ended)


def _state(line: Line, ended: Mapping[str, Any], working: frozenset[int]) -> State:
    if ended:
        return State.DONE if ended.get("result") == State.DONE else State.FAILED
    return State.RUNNING if line.number in working else State.INTERRUPTED
