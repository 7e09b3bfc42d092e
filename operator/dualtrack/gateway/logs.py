"""One line for each transition and each error: JSON for a collector, key=value for a terminal.

Requests that go well leave no line; the metrics count them. Headers, bodies and credentials are never logged.
What the engine says by `logging` comes out in the same form (`capture`).
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from datetime import UTC, datetime
from typing import TextIO


class EventLog:
    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._json = not self._stream.isatty()
        self._lock = threading.Lock()

    def info(self, event: str, **fields: object) -> None:
        self._write("info", event, fields)

    def failure(self, event: str, **fields: object) -> None:
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, object]) -> None:
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        record = {"time": time, "level": level, "event": event, **fields}
        if self._json:
            line = json.dumps(record, default=str)
        else:
            line = " ".join(f"{name}={_plain(value)}" for name, value in record.items())
        with self._lock:
            print(line, file=self._stream, flush=True)


class _Captured(logging.Handler):
    def __init__(self, log: EventLog) -> None:
        super().__init__(logging.INFO)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        fields: dict[str, object] = {"logger": record.name, "message": record.getMessage()}
        if record.exc_info is not None and record.exc_info[1] is not None:
            error = record.exc_info[1]
            fields["error"] = f"{type(error).__name__}: {error}"
        if record.levelno >= logging.WARNING:
            self._log.failure("logged", **fields)
        else:
            self._log.info("logged", **fields)


def capture(log: EventLog) -> None:
    """From now on the process's `logging` goes to `log`."""
    logging.basicConfig(handlers=[_Captured(log)], level=logging.INFO, force=True)


def _plain(value: object) -> str:
    text = str(value)
    return json.dumps(text) if any(c.isspace() or c in '"=' for c in text) or not text else text
