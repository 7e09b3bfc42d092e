"""The audit of a drive as a file: `<drive>/.dualtrack/audit.jsonl`, one JSON object a line, only ever longer.

A text file and no database, because its reader is a person after a disaster, who may have nothing but `cat`;
it lies outside the store, because it must survive the store's loss and its rebuild. Each line has the SHA-256
of the line before it, so that a line that was changed, taken out or put in is found. What a chain cannot show
is that its end was cut off or all of it written anew: for that its head stands in every result of a verb
(`Line.anchor`), and `history --expect` looks for it.

A line is appended under `flock` and flushed before anything that it announces is done. A power cut may leave
a torn last line; it stays, the next line follows its bytes. Room for the lines that end a step is reserved
with the line that begins it, so that a full disk refuses a step before it and not after it.

A step that is at work holds a lock on the first byte of its own line (`files.claim`). One that never ended
and holds none was cut off.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dualtrack.engine import files
from dualtrack.engine.marker import control_directory

SCHEMA = 1
FIRST = "0" * 64
"""What the first line names as the one before it."""

BEGUN = "begun"
ENDED = "ended"
INTERRUPTED = "interrupted"
MAX_LINE = 8 * 1024
_RESERVE = 8 * MAX_LINE


@dataclass(frozen=True, slots=True)
class Line:
    """`number` counts from 1; `offset` is where the line begins; `fields` is None where it cannot be read."""

    number: int
    offset: int
    data: bytes
    fields: Mapping[str, Any] | None

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def anchor(self) -> str:
        """Says where the audit stood, to somebody who keeps it elsewhere."""
        return f"{self.number}:{self.digest}"

    @property
    def event(self) -> str:
        return str(self.fields["event"]) if self.fields is not None else ""


def path_of(drive: str) -> str:
    return os.path.join(control_directory(drive), "audit.jsonl")


def parse(data: bytes) -> list[Line]:
    """Every line, a torn last one included."""
    found: list[Line] = []
    offset = 0
    for raw in data.split(b"\n"):
        if raw:
            found.append(Line(len(found) + 1, offset, raw, _fields(raw)))
        offset += len(raw) + 1
    return found


def _fields(raw: bytes) -> Mapping[str, Any] | None:
    try:
        fields = json.loads(raw)
    except ValueError:
        return None
    whole = isinstance(fields, dict) and {"seq", "event", "previous"} <= fields.keys()
    return fields if whole else None


def faults(lines: list[Line]) -> list[str]:
    """Where the chain does not hold; empty if it does. A torn line that the next one names is no fault."""
    found: list[str] = []
    before = FIRST
    for line in lines:
        if line.fields is None:
            if line is not lines[-1] and not _names(lines[line.number], line.digest):
                found.append(f"line {line.number} cannot be read")
        elif line.fields["previous"] != before:
            found.append(f"line {line.number} does not follow the line before it: one of them was changed")
        elif line.fields["seq"] != line.number:
            found.append(f"line {line.number} says that it is number {line.fields['seq']}")
        before = line.digest
    return found


def _names(line: Line, digest: str) -> bool:
    return line.fields is not None and line.fields["previous"] == digest


def unfinished(lines: list[Line]) -> list[Line]:
    """Steps that were begun and of which no line tells the end."""
    over = {line.fields.get("began") for line in lines if line.fields is not None and line.event != BEGUN}
    return [line for line in lines if line.event == BEGUN and line.number not in over]


class AuditLog:
    """Opened for one step: its first line and its last. OSError where it cannot be written."""

    def __init__(self, drive: str) -> None:
        files.ensure_directory(control_directory(drive))
        self._descriptor = files.open_log(path_of(drive))

    def close(self) -> None:
        os.close(self._descriptor)

    def begin(self, fields: Mapping[str, Any]) -> Line:
        """Durably announce a step, and put down which earlier ones were cut off."""
        with files.exclusively(self._descriptor):
            files.reserve(self._descriptor, _RESERVE)
            lines = self._lines()
            for cut in unfinished(lines):
                if not files.is_claimed(self._descriptor, cut.offset):
                    lines.append(self._append(lines, {"event": INTERRUPTED, "began": cut.number}))
            return self._append(lines, {"event": BEGUN, **fields}, claimed=True)

    def end(self, began: Line, fields: Mapping[str, Any]) -> Line:
        """Durably tell how a step ended."""
        with files.exclusively(self._descriptor):
            return self._append(self._lines(), {"event": ENDED, "began": began.number, **fields})

    def _lines(self) -> list[Line]:
        return parse(_read(self._descriptor))

    def _append(self, lines: list[Line], fields: Mapping[str, Any], *, claimed: bool = False) -> Line:
        end = os.fstat(self._descriptor).st_size
        torn = end > 0 and os.pread(self._descriptor, 1, end - 1) != b"\n"
        chained = {
            "schema": SCHEMA,
            "seq": len(lines) + 1,
            **fields,
            "previous": lines[-1].digest if lines else FIRST,
        }
        data = json.dumps(chained, separators=(",", ":")).encode()
        line = Line(len(lines) + 1, end + torn, data, chained)
        if claimed:
            files.claim(self._descriptor, line.offset)
        files.append(self._descriptor, b"\n" * torn + data + b"\n")
        return line


def _read(descriptor: int) -> bytes:
    size = os.fstat(descriptor).st_size
    pieces = bytearray()
    while len(pieces) < size and (piece := os.pread(descriptor, size - len(pieces), len(pieces))):
        pieces += piece
    return bytes(pieces)


def look(drive: str) -> tuple[list[Line], frozenset[int]]:
    """All lines, and the numbers of those whose steps are at work now. Changes nothing, not even a lock."""
    try:
        descriptor = os.open(path_of(drive), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return [], frozenset()
    try:
        lines = parse(_read(descriptor))
        working = [line.number for line in unfinished(lines) if files.is_claimed(descriptor, line.offset)]
        return lines, frozenset(working)
    finally:
        os.close(descriptor)
