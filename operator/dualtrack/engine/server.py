"""The owner's socket: Jobs in other containers read and write the store through it, in batches.

`<store>/owner.sock`, reachable for whoever may enter the store's directory and has its group. One thread a
connection; each request is a frame `[verb, arguments]`, each answer `["ok", value]` or `["error", class,
text]`. A lease holds stripe locks for its connection alone: they are free again when it ends, or after
`LEASE_SECONDS`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from typing import Any

from dualtrack.engine import files, frames
from dualtrack.engine.owner import Owner
from dualtrack.engine.rows import Generation
from dualtrack.engine.stores.protocol import Place, SealedRows
from dualtrack.engine.stores.sealed import checked
from dualtrack.errors import DualTrackError, OwnerError

SOCKET = "owner.sock"
LEASE_SECONDS = 30.0
RETRY_SECONDS = 0.1
"""After a connection that could not be accepted."""
MAX_SCAN = 5_000
MAX_PLACES = 4_096
_ANSWER_BYTES = 16 * 1024 * 1024
_log = logging.getLogger(__name__)


@contextlib.contextmanager
def socket_path(store_dir: str) -> Iterator[str]:
    """A name of the socket short enough for AF_UNIX (108 bytes), however long the directory's is."""
    with files.directory(store_dir) as descriptor:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"


class Server:
    def __init__(self, owner: Owner, store_dir: str) -> None:
        self._owner = owner
        self._store_dir = store_dir
        self._verbs = _verbs(owner)
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with socket_path(store_dir) as path:
            # Whoever holds the owner's lock is the only owner: a socket that is there is a dead one's.
            files.unlink(path, missing_ok=True)
            self._listener.bind(path)
            os.chmod(path, 0o660)
            files.adopt(path, store_dir)
        self._listener.listen(64)
        self._thread = threading.Thread(target=self._accept, name="store-socket", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError as error:
                # Unless we are closing it is one connection's, or a want of descriptors that passes.
                if not self._closing.wait(RETRY_SECONDS):
                    _log.warning("socket accept error=%s: going on", error)
                continue
            with self._lock:
                self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                while (request := frames.receive(connection)) is not None:
                    if isinstance(request, list) and request[:1] == ["lease"]:
                        self._lease(connection, _places(request[1]))
                    else:
                        frames.send(connection, self._answer(request))
        except (OSError, OwnerError) as error:
            _log.info("socket connection ended: %s", error)
        finally:
            with self._lock:
                self._connections.discard(connection)

    def _answer(self, request: Any) -> list[Any]:
        verb = self._verbs.get(str(request[0])) if isinstance(request, list) and request else None
        if verb is None:
            return [
                "error",
                "OwnerError",
                "the owner does not know this request; use one build on both sides",
            ]
        try:
            return ["ok", verb(*request[1:])]
        except DualTrackError as error:
            return ["error", type(error).__name__, str(error)]
        except Exception as error:  # noqa: BLE001 - the boundary of a connection: whoever asked gets it
            _log.warning("socket request=%s error=%r", request[0], error)
            return ["error", "OwnerError", f"the owner could not answer {request[0]!r}: {error!r}"]

    def _lease(self, connection: socket.socket, places: list[Place]) -> None:
        """Hold the stripes until the client says so, goes away, or the lease has run out."""
        try:
            with self._owner.stripes.locked(places, timeout=LEASE_SECONDS):
                connection.settimeout(LEASE_SECONDS)
                frames.send(connection, ["ok", LEASE_SECONDS])
                self._await_release(connection)
            connection.settimeout(None)
            frames.send(connection, ["ok", None])
        except TimeoutError:
            frames.send(connection, _refusal("the keys stayed locked too long; try again"))
            raise

    def _await_release(self, connection: socket.socket) -> None:
        try:
            if frames.receive(connection) != ["release"]:
                raise OwnerError("the client went away with a lease")
        except TimeoutError as error:
            # Said before the keys are free: until then the client may rely on them (`require_locked`).
            frames.send(connection, _refusal("the lease of the keys ran out; try again"))
            raise OwnerError("a lease ran out") from error

    def close(self) -> None:
        self._closing.set()
        with socket_path(self._store_dir) as path:
            files.unlink(path, missing_ok=True)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._thread.join()


def _refusal(why: str) -> list[str]:
    return ["error", "OwnerError", why]


def _places(items: list[Any]) -> list[Place]:
    return [(os.fsdecode(bucket), os.fsdecode(key)) for bucket, key in items]


def _pairs(pairs: list[tuple[str, bytes]]) -> list[list[bytes]]:
    return [[os.fsencode(name), value] for name, value in pairs]


def _scrub(owner: Owner, after: bytes) -> list[Any]:
    found = owner.scrub(after)
    damaged = [
        [each.part, os.fsencode(each.bucket), os.fsencode(each.key), each.message] for each in found.damaged
    ]
    entries = [found.entries.rows, found.entries.index, found.entries.changes]
    return [found.last, found.rows, found.index, damaged, entries]


def _commit(owner: Owner, item: list[Any]) -> bytes:
    batch = frames.unpack_batch(item)
    if batch.sealed:
        checked(owner.store.drive_id.encode(), batch.sealed)
    return frames.pack_result(owner.commit(batch))


def _scan_packed(owner: Owner, after: list[bytes] | None, limit: int) -> list[Any]:
    start = _places([after])[0] if after else None
    return list(owner.scan_packed(start, min(limit, MAX_SCAN)))


def _match(owner: Owner, rows: list[Any], floor: bytes) -> list[Any]:
    fresh = SealedRows(*rows)
    if not len(fresh.fulls) == len(fresh.values) == len(fresh.entries):
        raise OwnerError("rows to be matched come in lists of different lengths; use one build on both sides")
    return frames.pack_matched(owner.match(fresh, Generation.unpack(floor)))


def _between(owner: Owner, table: str, start: bytes, end: bytes, most: int, inclusive: bool) -> list[Any]:
    return list(owner.between(table, start, end, min(most, MAX_SCAN), inclusive=inclusive))


def _scan_older(owner: Owner, after: list[bytes] | None, than: bytes, trust: bytes, limit: int) -> list[Any]:
    start = _places([after])[0] if after else None
    bounds = Generation.unpack(than), Generation.unpack(trust)
    found = owner.scan_older(start, *bounds, min(limit, MAX_SCAN))
    newer = [[os.fsencode(bucket), count] for bucket, count in found.newer.items()]
    last = found.last and [os.fsencode(name) for name in found.last]
    damaged = [[os.fsencode(name) for name in place] for place in found.damaged]
    return [[frames.pack_row(row) for row in found.rows], newer, last, damaged]


def _verbs(owner: Owner) -> dict[str, Callable[..., Any]]:
    """What each request does, with the values of frames in and out."""

    def info() -> dict[str, Any]:
        found = owner.info()
        fields = {name: getattr(found, name) for name in found.__slots__}
        return fields | {"trust_floor": found.trust_floor.pack()}

    def stats() -> list[Any]:
        found = owner.stats()
        counts = [[os.fsencode(b), n, found.versions.get(b, 0)] for b, n in found.objects.items()]
        return [counts, found.used_bytes, found.map_bytes, found.file_bytes]

    def get_many(items: list[Any]) -> list[Any]:
        rows: list[Any] = []
        size = 0
        for start in range(0, min(len(items), MAX_PLACES), 64):
            for row in owner.get_many(_places(items[start : start + 64])):
                rows.append(row and frames.pack_row(row))
                size += len(row.data) if row else 0
            if size > _ANSWER_BYTES:
                break
        return rows

    def scan(after: list[bytes] | None, limit: int) -> list[Any]:
        start = _places([after])[0] if after else None
        return [frames.pack_row(row) for row in owner.scan(start, min(limit, MAX_SCAN))]

    def scan_index(bucket: bytes, prefix: bytes, after: bytes | None, limit: int) -> list[Any]:
        start = None if after is None else os.fsdecode(after)
        return _pairs(owner.scan_index(os.fsdecode(bucket), os.fsdecode(prefix), start, limit))

    def meta_scan(prefix: bytes, after: bytes | None, limit: int) -> list[Any]:
        start = None if after is None else os.fsdecode(after)
        return _pairs(owner.meta_scan(os.fsdecode(prefix), start, limit))

    def dirty(items: list[Any]) -> list[Any]:
        places = _places(items)
        owner.hurry(places)  # a verification waits for them, for less than `lazy` leaves a key dirty
        return [[os.fsencode(b), os.fsencode(k)] for b, k in owner.dirty(places)]

    def digest() -> list[Any]:
        found = owner.digest()
        return [found.total.to_bytes(16, "big"), found.count]

    return {
        "info": info,
        "stats": stats,
        "get_many": get_many,
        "scan": scan,
        "scan_packed": partial(_scan_packed, owner),
        "scan_older": partial(_scan_older, owner),
        "scan_index": scan_index,
        "match": partial(_match, owner),
        "between": partial(_between, owner),
        "meta_scan": meta_scan,
        "dirty": dirty,
        "digest": digest,
        "scrub": lambda after: _scrub(owner, after),
        "scrub_meta": lambda: [os.fsencode(name) for name in owner.scrub_meta()],
        "begin": lambda run_id, fence: owner.begin(run_id, fence),
        "next_generation": lambda: owner.next_generation().pack(),
        "commit": partial(_commit, owner),
        "cursor": lambda name: owner.cursor(os.fsdecode(name)),
        "meta": lambda name: owner.meta(os.fsdecode(name)),
        "log_start": lambda path, seconds, accepted, dry_run: owner.log.start(
            os.fsdecode(path), seconds, accept_same_device=accepted, dry_run=dry_run
        ),
        "log_stop": owner.log.stop,
        "log_rotate": owner.log.rotate,
        "log_prune": owner.log.prune,
        "log_status": lambda: asdict(owner.log.status()),
    }
