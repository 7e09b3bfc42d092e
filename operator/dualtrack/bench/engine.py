"""The engine's modes as systems: the object layer as a library, each on a scratch drive of its own.

A drive gets to its mode on the way that a migration takes: both tracks are written, a sweep, the marker, the
mode. So listings come from an index that is whole, as they do in production.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from dualtrack.bench.machine import file_system
from dualtrack.bench.system import PAGE, OperationFailed
from dualtrack.bench.workloads import Payload, Sizes, Workload
from dualtrack.engine import files, marker
from dualtrack.engine.drive import Drive
from dualtrack.engine.marker import Marker, MarkerState
from dualtrack.engine.migrate import Sweep
from dualtrack.engine.mode import Engine, Mode
from dualtrack.engine.objects.errors import ObjectError, UnknownContent
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.levels import Level
from dualtrack.engine.objects.trash import remove_tree
from dualtrack.engine.objects.types import Attributes, Content, Settings
from dualtrack.engine.pace import Pace
from dualtrack.engine.task import Task
from dualtrack.errors import DualTrackError, RefusedError, UsageError

_log = logging.getLogger(__name__)

BUCKET = "bench"
_STORE = 64 << 20
"""What an almost empty drive takes: its journal, its store."""
_EPOCH = 1
_FS = Mode(Engine.FS, Decimal(0), True, _EPOCH)
_DUAL = Mode(Engine.FS, Decimal(1), True, _EPOCH)


@dataclass(frozen=True, slots=True)
class Setup:
    mode: Mode
    state: MarkerState
    level: Level = Level.EVENTUAL


SETUPS: Mapping[str, Setup] = {
    "fs": Setup(_FS, MarkerState.FS_AUTHORITATIVE),
    "dual": Setup(_DUAL, MarkerState.DUAL_WRITE),
    "strong": Setup(_DUAL, MarkerState.DUAL_WRITE, Level.STRONG),
    "lazy": Setup(_DUAL, MarkerState.DUAL_WRITE, Level.LAZY),
    "kv_primary": Setup(Mode(Engine.KV_PRIMARY, Decimal(1), True, _EPOCH), MarkerState.KV_PRIMARY),
    "kv_only": Setup(Mode(Engine.KV_ONLY, Decimal(1), False, _EPOCH), MarkerState.KV_ONLY),
}
"""`dual`, `strong` and `lazy` are one mode, `fs` with all keys on both tracks, at its three levels."""


@dataclass(frozen=True, slots=True)
class EngineSystem:
    """A mode of `SETUPS` on drives in `work_dir`, in directories that the run's id names."""

    name: str
    work_dir: str
    run_id: str

    @property
    def told(self) -> str:
        setup = SETUPS[self.name]
        return f"engine, {setup.mode} {setup.level}, in {self.work_dir} ({file_system(self.work_dir)})"

    def open(self, workload: Workload) -> Scratch:
        path = os.path.join(self.work_dir, f"dualtrack-bench-{self.run_id}-{self.name}-{workload}")
        try:
            Path(path).mkdir()
        except FileExistsError as error:
            raise RefusedError(
                f"{path} is there already, and a benchmark writes only where nothing is; take another --id, "
                "or remove it if it is left from a run that was killed"
            ) from error
        except OSError as error:
            raise UsageError(f"--work-dir {self.work_dir}: {error.strerror}") from error
        try:
            return Scratch(path, _layer(path, SETUPS[self.name], instant=workload is Workload.INSTANT))
        except BaseException:
            remove_tree(path)
            raise


def check_room(work_dir: str, systems: int, sizes: Sizes) -> None:
    """`RefusedError` where the scratch drives of so many systems would not fit, `UsageError` without the
    directory. A small object takes a directory, a file's block and a row."""
    try:
        found = os.statvfs(work_dir)
    except OSError as error:
        raise UsageError(f"--work-dir {work_dir}: {error.strerror}") from error
    small = sizes.objects * (2 * sizes.size + 16_384)
    needed = systems * (max(small, 2 * sizes.large_objects * sizes.large_size) + _STORE)
    free = found.f_bavail * found.f_frsize
    if needed > free:
        raise RefusedError(
            f"--work-dir {work_dir}: {needed / 1e9:.1f} GB needed for {systems} systems, {free / 1e9:.1f} GB "
            "free; take fewer --systems, fewer objects, or another disk"
        )


class Scratch:
    """An open scratch drive. The layer may be called from any thread, so it is every client's session."""

    def __init__(self, path: str, layer: ObjectLayer) -> None:
        self._path = path
        self._layer = layer

    @contextmanager
    def session(self) -> Iterator[Scratch]:
        yield self

    def put(self, key: str, payload: Payload) -> None:
        with _failures(key):
            self._layer.put(BUCKET, key, _Body(payload.data), Attributes())

    def put_known(self, key: str, payload: Payload) -> bool:
        with _failures(key):
            try:
                content = Content(payload.blake3, len(payload.data))
                self._layer.put_known(BUCKET, key, content, Attributes())
            except UnknownContent:
                return False
        return True

    def get(self, key: str) -> bytes:
        with _failures(key):
            _, content = self._layer.read(BUCKET, key)
            return b"".join(content)

    def page(self, prefix: str, after: str) -> tuple[list[str], str]:
        with _failures(prefix):
            found = self._layer.list_objects(BUCKET, prefix, "", after, PAGE)
        return [each.key for each in found.objects], found.next_after

    def settle(self) -> None:
        self._layer.drain()

    def remove(self) -> list[str]:
        try:
            self._layer.close()
        except (DualTrackError, OSError) as error:
            # What is on the drive goes all the same: nobody needs it.
            _log.warning("scratch drive not closed path=%s error=%s", self._path, error)
        try:
            remove_tree(self._path)
        except OSError as error:
            return [f"{self._path} ({error.strerror})"]
        return []


class _Body:
    """A body of known bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def chunks(self) -> Iterator[bytes]:
        yield self._data

    def verify(self) -> None:
        return


class _Unmetered:
    def observe(self, name: str, ms: float, labels: Mapping[str, str]) -> None:
        return

    def count(self, name: str, labels: Mapping[str, str], n: int = 1) -> None:
        return

    def gauge(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        return


@contextmanager
def _failures(name: str) -> Iterator[None]:
    try:
        yield
    except (ObjectError, DualTrackError, OSError) as error:
        raise OperationFailed(f"{name}: {type(error).__name__}: {error}") from error


def _layer(path: str, setup: Setup, *, instant: bool) -> ObjectLayer:
    _format(path)
    if setup.state is not MarkerState.FS_AUTHORITATIVE:
        _mark(path, MarkerState.DUAL_WRITE)
        layer = ObjectLayer.open(path, _DUAL, Settings(socket=False, inventory=False), _Unmetered())
        try:
            layer.create_bucket(BUCKET)
            _sweep(layer)
        finally:
            layer.close()
        _mark(path, setup.state)
    settings = Settings(socket=False, inventory=False, level=setup.level, instant=instant)
    layer = ObjectLayer.open(path, setup.mode, settings, _Unmetered())
    if setup.state is MarkerState.FS_AUTHORITATIVE:
        layer.create_bucket(BUCKET)
    return layer


def _format(path: str) -> None:
    """A drive as MinIO formats one that is alone, with nothing on it."""
    this = str(uuid.uuid4())
    xl = {"version": "3", "this": this, "sets": [[this]], "distributionAlgo": "SIPMOD+PARITY"}
    document = {"version": "1", "format": "xl-single", "id": str(uuid.uuid4()), "xl": xl}
    system = os.path.join(path, ".minio.sys")
    files.ensure_directory(os.path.join(system, "buckets"))
    files.write_new(os.path.join(system, "format.json"), json.dumps(document).encode())


def _mark(path: str, state: MarkerState) -> None:
    now = datetime.now(UTC)
    marker.write(path, Marker().moved(state, store_uuid="", epoch=_EPOCH, migration_uid="", now=now))


def _sweep(layer: ObjectLayer) -> None:
    """What the migrate Job does, beside the server that the layer is."""
    owner = layer.opened.owner
    if owner is None:
        raise RefusedError(f"{layer.opened.drive.path}: no store: {layer.opened.cause}")
    run_id = str(uuid.uuid4())
    task = Task(Drive.open(layer.opened.drive.path), "", owner, owner.begin(run_id, 0), run_id)
    Sweep(task, Pace(None, None)).run()
