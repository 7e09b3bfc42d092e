"""The owner's API over its socket, for a process that may not open the store itself.

Every request has a time-out. A request whose connection breaks is sent again on a new one for `patience`
seconds (the server may be restarting): each one is harmless twice, because commits compare generations. What
does not come back by then is an `OwnerError` that says so.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dualtrack.errors as tree
from dualtrack.engine import frames
from dualtrack.engine.digests import Digest
from dualtrack.engine.native.index import summarised
from dualtrack.engine.owner_api import OwnerInfo
from dualtrack.engine.rowlog.keeper import Status
from dualtrack.engine.rows import Generation, Row
from dualtrack.engine.server import MAX_PLACES, socket_path
from dualtrack.engine.stores.matching import Matched
from dualtrack.engine.stores.protocol import (
    Batch,
    BatchResult,
    Damage,
    Entries,
    Older,
    PackedRow,
    Place,
    ScrubPage,
    SealedRows,
    StoreStats,
)
from dualtrack.engine.summary import Summary
from dualtrack.errors import DualTrackError, IncompleteError, OwnerError

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 120.0
DIGEST_SECONDS = 3_600.0
PATIENCE_SECONDS = 120.0
_PAUSE_SECONDS = 0.2


class OwnerClient:
    """Thread-safe: each thread has a connection of its own, so that one can ask while another one's batch is
    being committed.
    """

    def __init__(
        self,
        store_dir: str,
        *,
        patience: float = PATIENCE_SECONDS,
        answer_seconds: float = ANSWER_SECONDS,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """`stop` ends the waiting for a server that does not answer: `IncompleteError`."""
        self._store_dir = store_dir
        self._patience = patience
        self._answer_seconds = answer_seconds
        self._stop = stop
        self._threads = threading.local()
        self._connections: list[socket.socket] = []
        self._lock = threading.Lock()
        self.log = _Log(self._call)

    def info(self) -> OwnerInfo:
        fields = self._call("info")
        return OwnerInfo(**{**fields, "trust_floor": Generation.unpack(fields["trust_floor"])})

    def begin(self, run_id: str, fence: int) -> int:
        return int(self._call("begin", run_id, fence))

    def next_generation(self) -> Generation:
        return Generation.unpack(self._call("next_generation"))

    def commit(self, batch: Batch) -> BatchResult:
        return frames.unpack_result(self._call("commit", frames.pack_batch(batch)))

    def get_many(self, places: Sequence[Place]) -> list[Row | None]:
        names, found = _names(places), list[Row | None]()
        while len(found) < len(names):
            # The server answers as many as fit into a frame.
            part = self._call("get_many", names[len(found) : len(found) + MAX_PLACES])
            found += [item and frames.unpack_row(item) for item in part]
        return found

    def scan(self, after: Place | None, limit: int) -> list[Row]:
        start = _names([after])[0] if after else None
        return [frames.unpack_row(item) for item in self._call("scan", start, limit)]

    def scan_packed(self, after: Place | None, limit: int) -> list[PackedRow]:
        start = _names([after])[0] if after else None
        return [(full, value) for full, value in self._call("scan_packed", start, limit)]

    def scan_older(self, after: Place | None, than: Generation, trust: Generation, limit: int) -> Older:
        start = _names([after])[0] if after else None
        rows, newer, last, damaged = self._call("scan_older", start, than.pack(), trust.pack(), limit)
        counts = {os.fsdecode(bucket): count for bucket, count in newer}
        found = tuple(frames.unpack_row(item) for item in rows)
        broken = tuple((os.fsdecode(bucket), os.fsdecode(key)) for bucket, key in damaged)
        return Older(found, counts, (os.fsdecode(last[0]), os.fsdecode(last[1])) if last else None, broken)

    def scan_index(self, bucket: str, prefix: str, after: str | None, limit: int) -> list[tuple[str, bytes]]:
        start = None if after is None else os.fsencode(after)
        return _pairs(self._call("scan_index", os.fsencode(bucket), os.fsencode(prefix), start, limit))

    def list_index(
        self, bucket: str, prefix: str, after: str | None, limit: int
    ) -> list[tuple[str, Summary]]:
        return summarised(self.scan_index(bucket, prefix, after, limit))

    def match(self, fresh: SealedRows, floor: Generation) -> Matched:
        return frames.unpack_matched(self._call("match", frames.pack_sealed(fresh), floor.pack()))

    def between(self, table: str, start: bytes, end: bytes, most: int, *, inclusive: bool) -> list[PackedRow]:
        return [(full, value) for full, value in self._call("between", table, start, end, most, inclusive)]

    def cursor(self, name: str) -> bytes | None:
        value: bytes | None = self._call("cursor", os.fsencode(name))
        return value

    def meta(self, name: str) -> bytes | None:
        value: bytes | None = self._call("meta", os.fsencode(name))
        return value

    def meta_scan(self, prefix: str, after: str | None, limit: int) -> list[tuple[str, bytes]]:
        start = None if after is None else os.fsencode(after)
        return _pairs(self._call("meta_scan", os.fsencode(prefix), start, limit))

    def dirty(self, places: Iterable[Place]) -> set[Place]:
        return {(os.fsdecode(b), os.fsdecode(k)) for b, k in self._call("dirty", _names(places))}

    def stats(self) -> StoreStats:
        counts, used, map_bytes, file_bytes = self._call("stats")
        objects = {os.fsdecode(bucket): number for bucket, number, _ in counts}
        versions = {os.fsdecode(bucket): number for bucket, _, number in counts if number}
        return StoreStats(objects, versions, used, map_bytes, file_bytes)

    def digest(self, stop: Callable[[], bool] = lambda: False) -> Digest:
        total, count = self._call("digest", seconds=DIGEST_SECONDS, stop=stop)
        return Digest(int.from_bytes(total, "big"), count)

    def scrub(self, after: bytes) -> ScrubPage:
        last, rows, index, damaged, entries = self._call("scrub", after)
        named = tuple(
            Damage(part, os.fsdecode(bucket), os.fsdecode(key), message)
            for part, bucket, key, message in damaged
        )
        return ScrubPage(last, rows, index, named, Entries(*entries))

    def scrub_meta(self) -> list[str]:
        return [os.fsdecode(name) for name in self._call("scrub_meta")]

    @contextmanager
    def locked(self, places: Iterable[Place]) -> Iterator[None]:
        """A short lease: it ends with an `OwnerError` if the work took longer than the server's lease."""
        with self._connect() as connection:
            connection.settimeout(self._answer_seconds)
            _ask(connection, "lease", _names(places))
            outer: socket.socket | None = getattr(self._threads, "lease", None)
            self._threads.lease = connection
            try:
                yield
            finally:
                self._threads.lease = outer
            try:
                _ask(connection, "release")
            except _ConnectionEndedError as error:
                raise OwnerError(
                    f"the lease of the stripe locks ran out ({error}); use smaller batches"
                ) from error

    def require_locked(self) -> None:
        """The server says that a lease has run out before it frees the keys, and nothing else unasked: while
        there is nothing to read, they are still ours.
        """
        lease: socket.socket | None = getattr(self._threads, "lease", None)
        if lease is None:
            raise OwnerError("no lease of stripe locks is held")
        told = select.poll()
        told.register(lease, select.POLLIN)
        if told.poll(0):
            raise OwnerError(
                "the lease of the stripe locks ran out before the batch was done, and what is left of it was "
                "not touched; see what keeps this machine or drive so busy, then run this again"
            )

    def close(self) -> None:
        """The connections of all threads."""
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()

    def _mine(self) -> socket.socket:
        """This thread's connection, made where there is none that is open."""
        found: socket.socket | None = getattr(self._threads, "connection", None)
        if found is None or found.fileno() < 0:
            found = self._threads.connection = self._connect()
            with self._lock:
                self._connections.append(found)
        return found

    def _drop(self) -> None:
        found: socket.socket | None = getattr(self._threads, "connection", None)
        if found is not None:
            found.close()
        with self._lock:
            self._connections = [each for each in self._connections if each.fileno() >= 0]

    def _call(
        self,
        verb: str,
        *arguments: Any,
        seconds: float | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Any:
        """`stop` also ends the waiting for an answer that takes as long as a store is large."""
        deadline = time.monotonic() + self._patience
        while True:
            try:
                connection = self._mine()
                connection.settimeout(seconds or self._answer_seconds)
                return _ask(connection, verb, *arguments, stop=stop)
            except _ConnectionEndedError as error:
                self._drop()
                if self._stop():
                    raise IncompleteError("interrupted") from error
                if time.monotonic() >= deadline:
                    raise OwnerError(
                        f"the owner of {self._store_dir} did not answer {verb!r} within "
                        f"{self._patience:.0f} s ({error}); see that its server runs, then start this again"
                    ) from error
                time.sleep(_PAUSE_SECONDS)
            except BaseException:
                self._drop()
                raise

    def _connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(CONNECT_SECONDS)
        try:
            with socket_path(self._store_dir) as path:
                connection.connect(path)
        except OSError as error:
            connection.close()
            raise _ConnectionEndedError(str(error)) from error
        return connection


class _Log:
    """The owner's row log; see `LogApi`."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call

    def start(
        self,
        directory: str,
        flush_seconds: int = 0,
        *,
        accept_same_device: bool = False,
        dry_run: bool = False,
    ) -> None:
        self._call("log_start", os.fsencode(directory), flush_seconds, accept_same_device, dry_run)

    def stop(self) -> None:
        self._call("log_stop")

    def rotate(self) -> None:
        self._call("log_rotate")

    def prune(self) -> int:
        return int(self._call("log_prune"))

    def status(self) -> Status:
        return Status(**self._call("log_status"))


class _ConnectionEndedError(OwnerError):
    """The connection could not be made or broke; the request may be sent again."""


def answers(store_dir: str) -> bool:
    """Whether an owner serves the store's socket now."""
    try:
        with socket_path(store_dir) as path, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(CONNECT_SECONDS)
            connection.connect(path)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        return False
    except OSError as error:
        raise OwnerError(
            f"whether a server owns {store_dir} cannot be found out: its socket says {error}; run this as "
            "the server's user"
        ) from error
    return True


def _ask(connection: socket.socket, *request: Any, stop: Callable[[], bool] | None = None) -> Any:
    try:
        frames.send(connection, request)
        if stop is not None:
            _await_answer(connection, stop)
        answer = frames.receive(connection)
    except OSError as error:
        raise _ConnectionEndedError(str(error)) from error
    if answer is None:
        raise _ConnectionEndedError("the connection was closed")
    if answer[0] == "ok":
        return answer[1]
    raise _ERRORS.get(str(answer[1]), OwnerError)(str(answer[2]))


def _await_answer(connection: socket.socket, stop: Callable[[], bool]) -> None:
    """Until it begins, or the connection's time-out."""
    seconds = connection.gettimeout()
    deadline = None if seconds is None else time.monotonic() + seconds
    connection.settimeout(_PAUSE_SECONDS)
    while True:
        try:
            connection.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            if stop():
                raise IncompleteError("interrupted") from None
            if deadline is not None and time.monotonic() >= deadline:
                raise
        else:
            connection.settimeout(seconds)
            return


def _raisable(kind: object) -> bool:
    """Whether it is one of our errors that take a message and nothing else."""
    return isinstance(kind, type) and issubclass(kind, DualTrackError) and "__init__" not in vars(kind)


_ERRORS: dict[str, type[DualTrackError]] = {
    name: kind for name, kind in vars(tree).items() if _raisable(kind)
}


def _names(places: Iterable[Place]) -> list[list[bytes]]:
    return [[os.fsencode(bucket), os.fsencode(key)] for bucket, key in places]


def _pairs(items: list[Any]) -> list[tuple[str, bytes]]:
    return [(os.fsdecode(name), value) for name, value in items]
