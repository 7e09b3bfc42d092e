"""Object layers on small drives of their own, for the tests of `engine/objects`."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from dualtrack.engine import audit, marker
from dualtrack.engine.audit import Begun, Record
from dualtrack.engine.drive import Drive
from dualtrack.engine.lock import DriveLock, known_fence
from dualtrack.engine.marker import MarkerState
from dualtrack.engine.migrate import Sweep
from dualtrack.engine.mode import Engine, Mode
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.types import Settings
from dualtrack.engine.pace import Pace
from dualtrack.engine.task import Task

MAP_SIZE = 1 << 27
STATES = {
    "fs/0": MarkerState.FS_AUTHORITATIVE,
    "fs/0.5": MarkerState.DUAL_WRITE,
    "fs/1": MarkerState.DUAL_WRITE,
    "kv_primary/1/true": MarkerState.KV_PRIMARY,
    "kv_primary/1/false": MarkerState.KV_PRIMARY,
    "kv_only": MarkerState.KV_ONLY,
    "returning": MarkerState.KV_ONLY,
}
"""The modes by short names, each with the marker that it runs under. `returning` is kv_primary/1/false on the
way back from kv_only."""


class Figures:
    """Keeps what the engine counts."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.gauges: dict[str, float] = {}

    def observe(self, name: str, ms: float, labels: Mapping[str, str]) -> None:
        self.counts[name] += 1

    def count(self, name: str, labels: Mapping[str, str], n: int = 1) -> None:
        self.counts[name] += n

    def gauge(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        self.gauges[name] = value


class Body:
    """A body of known bytes, in chunks of `step`; `refusal` is raised once all of them were taken."""

    def __init__(self, content: bytes, step: int = 100_000, refusal: Exception | None = None) -> None:
        self._content = content
        self._step = step
        self._refusal = refusal

    def chunks(self) -> Iterator[bytes]:
        for start in range(0, len(self._content), self._step):
            yield self._content[start : start + self._step]

    def verify(self) -> None:
        if self._refusal is not None:
            raise self._refusal


def mode_of(name: str, epoch: int = 1) -> Mode:
    match name:
        case "fs/0" | "fs/0.5" | "fs/1":
            return Mode(Engine.FS, Decimal(name[3:]), True, epoch)
        case "kv_primary/1/true":
            return Mode(Engine.KV_PRIMARY, Decimal(1), True, epoch)
        case "kv_primary/1/false" | "returning":
            return Mode(Engine.KV_PRIMARY, Decimal(1), False, epoch)
        case "kv_only":
            return Mode(Engine.KV_ONLY, Decimal(1), False, epoch)
    raise AssertionError(name)


def new_drive(path: Path) -> Path:
    """A drive as MinIO formats it, with nothing on it."""
    system = path / ".minio.sys"
    (system / "buckets").mkdir(parents=True)
    this = str(uuid.uuid4())
    xl = {"version": "3", "this": this, "sets": [[this]], "distributionAlgo": "SIPMOD+PARITY"}
    document = {"version": "1", "format": "xl-single", "id": str(uuid.uuid4()), "xl": xl}
    (system / "format.json").write_text(json.dumps(document))
    return path


def mark(drive: Path, state: MarkerState, epoch: int = 1) -> None:
    """Write the drive's marker, as the Mark step does."""
    moved = marker.Marker().moved(state, store_uuid="", epoch=epoch, migration_uid="", now=datetime.now(UTC))
    marker.write(str(drive), moved)


@contextmanager
def opened(
    drive: Path, name: str, *, epoch: int = 1, figures: Figures | None = None, **settings: object
) -> Iterator[ObjectLayer]:
    """The layer in the mode of that name, with the marker that the mode needs."""
    mark(drive, STATES[name], epoch)
    wanted = {"map_size": MAP_SIZE, "socket": False, "drain": False, "inventory": False, **settings}
    layer = ObjectLayer.open(
        str(drive),
        mode_of(name, epoch),
        Settings(**wanted),  # type: ignore[arg-type]
        figures or Figures(),
    )
    try:
        yield layer
    finally:
        layer.close()


def sweep(layer: ObjectLayer) -> None:
    """What the migrate Job does, beside the server that the layer is."""
    owner = layer.opened.owner
    assert owner is not None
    run_id = str(uuid.uuid4())
    task = Task(Drive.open(layer.opened.drive.path), "", owner, owner.begin(run_id, 0), run_id)
    Sweep(task, Pace(None, None)).run()


@contextmanager
def orphans_task(layer: ObjectLayer, hours: float, **changes: Any) -> Iterator[Task]:
    """A task beside the server that the layer is, so many hours later."""
    owner, drive = layer.opened.owner, layer.opened.drive.path
    assert owner is not None
    run_id = str(uuid.uuid4())
    fence = max(owner.begin(run_id, 0), known_fence(drive) + 1)
    owner.begin(run_id, fence)
    with DriveLock.acquire(drive, fence, run_id) as lock:
        yield Task(
            Drive.open(drive),
            "",
            owner,
            fence,
            run_id,
            client_only=True,
            lock=lock,
            now=lambda: datetime.now(UTC) + timedelta(hours=hours),
            **changes,
        )


def days_pass(drive: Path, since: datetime, days: int) -> None:
    """Something is done on the drive at the end of each, as its audit tells."""
    for number in range(1, days + 1):
        day = since + timedelta(days=number)
        begun = Begun("verify", f"day-{number}", known_fence(str(drive)) + 1, "")
        with audit.step(str(drive), begun, Record(), now=lambda day=day: day):  # type: ignore[misc]
            pass


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
