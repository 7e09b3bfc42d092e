"""What may be left of a drive after a power cut: a model of its file system with volatile and durable state.

The code under test runs on a real directory while `Recorder` stands between it and the kernel, at the
primitives of `engine/files.py` and the few calls beside them. What comes out is a log of operations; a power
cut after any of them is then simulated without running the code again. The rules are those of POSIX, which
are weaker than any one file system's:

- a name is durable once its directory was flushed after the change; names of one directory survive in order;
- a rename that nobody flushed is never lost half-way, but its old name may stay beside the new one; whoever
  flushes the directory that a file left, and not the one that it went to, may lose it;
- content, and times, are durable once the file was flushed; before, a file may be empty, torn or old, and of
  several writes into a file of fixed size each may be kept, torn or lost by itself;
- a store's commit is durable when it returns (LMDB's promise, which the strace suites test for real); its
  files come to be behind our back, so they are looked for whenever their directory is flushed, and their
  names are no more durable than others.

Each flush in the log carries the place in the code that asked for it, so that `log.without(place)` is the
same run of a program from which that one line was removed.
"""

from __future__ import annotations

import os
import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

from dualtrack.engine import files

Tree = dict[str, bytes | None]
"""Path below the root → content; None is a directory."""


@dataclass(frozen=True, slots=True)
class Op:
    """`kind`: name, gone, swap (`name` and, in `data`, another one of the same directory), data, durable
    (data that was flushed at once), time, sync, syncall, mark. `needs` is the op that must survive first.
    """

    kind: str
    node: int = 0
    directory: int = 0
    name: str = ""
    data: bytes = b""
    needs: int = -1
    site: str = ""
    mark: Any = None


@dataclass(frozen=True, slots=True)
class State:
    """What a power cut left. `marks` are those that had been reached, the last one last."""

    tree: Tree
    times: dict[str, int]
    marks: tuple[Any, ...]
    at: int


@dataclass(frozen=True, slots=True)
class Log:
    ops: tuple[Op, ...]
    entries: dict[int, dict[str, int]]
    contents: dict[int, bytes]

    @property
    def sites(self) -> list[str]:
        """Every place in the code that flushed something, in the order in which they came."""
        flushes = (op.site for op in self.ops if op.kind in ("sync", "syncall"))
        return [site for site in dict.fromkeys(flushes) if site]

    def without(self, site: str) -> Log:
        """The run of a program that does not flush there. Ops stay at their numbers."""
        blank = Op("mark")
        return replace(self, ops=tuple(blank if op.site == site else op for op in self.ops))

    def crash(self, at: int, rng: random.Random) -> State:
        """One legal state after a power cut before op number `at`."""
        done = self.ops[:at]
        alive = self._survivors(done, rng)
        entries = {node: dict(names) for node, names in self.entries.items()}
        contents = dict(self.contents)
        times: dict[int, int] = {}
        for number, op in enumerate(done):
            if op.kind == "name" and number in alive:
                entries.setdefault(op.directory, {})[op.name] = op.node
            elif op.kind == "gone" and number in alive:
                entries.get(op.directory, {}).pop(op.name, None)
            elif op.kind == "swap" and number in alive:
                names, other = entries[op.directory], op.data.decode()
                names[op.name], names[other] = names[other], names[op.name]
        contents |= self._surviving_data(done, rng)
        times = self._surviving_times(done, rng)
        tree: Tree = {}
        found_times: dict[str, int] = {}
        kinds = self._directories(done)
        for path, node in _reachable(entries):
            tree[path] = None if node in kinds else contents.get(node, b"")
            if node in times:
                found_times[path] = times[node]
        return State(tree, found_times, tuple(op.mark for op in done if op.kind == "mark"), at)

    def states(self, count: int, seed: int) -> Iterator[State]:
        """`count` of them: every place of the log in turn, and at each another choice of what survived."""
        rng = random.Random(seed)
        for number in range(count):
            # One round loses all that may be lost, which is what most mistakes need.
            at = 1 + number % len(self.ops)
            yield self.crash(at, _Loser() if number < len(self.ops) else rng)

    def _directories(self, done: tuple[Op, ...]) -> set[int]:
        return set(self.entries) | {op.node for op in done if op.kind == "name" and op.data == b"d"}

    def _survivors(self, done: tuple[Op, ...], rng: random.Random) -> set[int]:
        """Numbers of the changes of names that are kept: all that was flushed, and of the rest of each
        directory a beginning.
        """
        flushed = [False] * len(done)
        seen: set[int] = set()
        everything = False
        for number in range(len(done) - 1, -1, -1):
            op = done[number]
            everything = everything or op.kind == "syncall"
            if op.kind == "sync":
                seen.add(op.node)
            flushed[number] = everything or op.directory in seen
        alive: set[int] = set()
        stopped: set[int] = set()
        for number, op in enumerate(done):
            if op.kind not in ("name", "gone", "swap"):
                continue
            if flushed[number]:
                alive.add(number)
                continue
            lost = op.directory in stopped or (op.needs >= 0 and op.needs not in alive)
            if lost or rng.random() < 0.4:
                stopped.add(op.directory)
            else:
                alive.add(number)
        return alive

    def _surviving_data(self, done: tuple[Op, ...], rng: random.Random) -> dict[int, bytes]:
        durable: dict[int, bytes] = {}
        volatile: dict[int, list[bytes]] = {}
        for op in done:
            if op.kind == "data":
                volatile.setdefault(op.node, []).append(op.data)
            elif op.kind == "durable":
                durable[op.node] = op.data
            elif op.kind == "syncall":
                durable |= {node: written[-1] for node, written in volatile.items()}
                volatile.clear()
            elif op.kind == "sync" and op.node in volatile:
                durable[op.node] = volatile.pop(op.node)[-1]
        for node, written in volatile.items():
            old = durable.get(node, self.contents.get(node, b""))
            last = written[-1]
            # An append leaves alone what was flushed before it.
            kept = len(old) if last.startswith(old) else 0
            if old and all(len(each) == len(old) for each in written):
                durable[node] = _written_in_place(old, written, rng)
            else:
                durable[node] = rng.choice((old, last[: (kept + len(last)) // 2], last))
        return durable

    def _surviving_times(self, done: tuple[Op, ...], rng: random.Random) -> dict[int, int]:
        durable: dict[int, int] = {}
        volatile: dict[int, int] = {}
        for op in done:
            if op.kind == "time":
                volatile[op.node] = int(op.mark)
                durable.pop(op.node, None)
            elif op.kind == "syncall":
                durable |= volatile
                volatile.clear()
            elif op.kind == "sync" and op.node in volatile:
                durable[op.node] = volatile.pop(op.node)
        return durable | {node: value for node, value in volatile.items() if rng.random() >= 0.4}


def _written_in_place(old: bytes, written: list[bytes], rng: random.Random) -> bytes:
    """Of the sectors that each write changed, none, the first half, or all are kept."""
    left = bytearray(old)
    before = old
    for after in written:
        changed = [
            place
            for place in range(0, len(old), 512)
            if before[place : place + 512] != after[place : place + 512]
        ]
        kept = rng.choice((0, len(changed) // 2, len(changed)))
        for place in changed[:kept]:
            left[place : place + 512] = after[place : place + 512]
        before = after
    return bytes(left)


class _Loser(random.Random):
    """Loses whatever may be lost."""

    def random(self) -> float:
        return 0.0

    def choice(self, seq: Any) -> Any:
        return seq[0]


def _reachable(
    entries: dict[int, dict[str, int]], node: int = 0, path: str = ""
) -> Iterator[tuple[str, int]]:
    for name, child in entries.get(node, {}).items():
        where = f"{path}/{name}" if path else name
        yield where, child
        yield from _reachable(entries, child, where)


@dataclass
class Recorder:
    """Stands in for `os` and the C library in the modules that change files. Paths outside `root`, and the
    store's own files, pass unseen.
    """

    root: str
    hidden: str
    ops: list[Op] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._next = 1
        self._entries: dict[int, dict[str, int]] = {0: {}}
        self._contents: dict[int, bytes] = {}
        self._open: dict[int, int] = {}
        self._adopted: dict[int, int] = {}
        self._load(self.root, 0)
        self._before = {node: dict(names) for node, names in self._entries.items()}
        self._durable = dict(self._contents)

    def _load(self, path: str, node: int) -> None:
        with os.scandir(path) as found:
            for entry in found:
                if entry.path == self.hidden:
                    continue
                child = self._new()
                self._entries[node][entry.name] = child
                if entry.is_dir(follow_symlinks=False):
                    self._entries[child] = {}
                    self._load(entry.path, child)
                else:
                    self._contents[child] = Path(entry.path).read_bytes()

    def _new(self) -> int:
        self._next += 1
        return self._next - 1

    def log(self) -> Log:
        return Log(tuple(self.ops), self._before, self._durable)

    def mark(self, what: Any) -> None:
        """Something that is durable from here on, or that was promised."""
        self.ops.append(Op("mark", mark=what))

    @contextmanager
    def watching(self, *modules: ModuleType) -> Iterator[None]:
        with ExitStack() as stack:
            for module in (files, *modules):
                stack.enter_context(patch.object(module, "os", self))
            stack.enter_context(patch.object(files, "_libc", self))
            yield

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    # -- names ------------------------------------------------------------------------------------------

    def _find(self, path: str | bytes) -> tuple[int, str] | None:
        """The directory's node and the name in it; None for what is not watched."""
        text = os.path.abspath(os.fsdecode(path))
        if not text.startswith(self.root + "/") or text.startswith(self.hidden):
            return None
        node = 0
        *parents, name = text[len(self.root) + 1 :].split("/")
        for parent in parents:
            if parent not in self._entries[node]:
                return None
            node = self._entries[node][parent]
        return node, name

    def _node(self, path: str | bytes) -> int | None:
        if os.path.abspath(os.fsdecode(path)) == self.root:
            return 0
        found = self._find(path)
        return None if found is None else self._entries[found[0]].get(found[1])

    def _add(self, place: tuple[int, str], node: int, *, directory: bool = False) -> int:
        self._entries[place[0]][place[1]] = node
        self.ops.append(Op("name", node, place[0], place[1], b"d" if directory else b""))
        return len(self.ops) - 1

    def _remove(self, place: tuple[int, str], needs: int = -1) -> None:
        self._entries[place[0]].pop(place[1], None)
        self.ops.append(Op("gone", 0, place[0], place[1], needs=needs))

    def mkdir(self, path: str, mode: int = 0o777) -> None:
        os.mkdir(path, mode)
        if place := self._find(path):
            node = self._new()
            self._entries[node] = {}
            self._add(place, node, directory=True)

    def _moved(self, source: str | bytes, target: str | bytes) -> None:
        old, new = self._find(source), self._find(target)
        if old is None or new is None:
            return
        node = self._entries[old[0]][old[1]]
        self._remove(old, needs=self._add(new, node, directory=node in self._entries))

    def rename(self, source: str | bytes, target: str | bytes) -> None:
        os.rename(source, target)
        self._moved(source, target)

    def renameat2(self, _: int, source: bytes, __: int, target: bytes, flags: int) -> int:
        result = _real_libc.renameat2(_, source, __, target, flags)
        if result == 0 and flags == files._RENAME_EXCHANGE:
            self._swapped(source, target)
        elif result == 0:
            self._moved(source, target)
        return int(result)

    def _swapped(self, one: bytes, other: bytes) -> None:
        first, second = self._find(one), self._find(other)
        if first is None or second is None:
            return
        directory, name = first
        if second[0] != directory:
            # Each directory is flushed for itself, and no flush of the one says anything of the other.
            nodes = [self._entries[place[0]][place[1]] for place in (first, second)]
            assert not any(node in self._entries for node in nodes), "directories change places within one"
            self._add(first, nodes[1])
            self._add(second, nodes[0])
            return
        names = self._entries[directory]
        names[name], names[second[1]] = names[second[1]], names[name]
        self.ops.append(Op("swap", 0, directory, name, second[1].encode()))

    def link(self, source: str, target: str, *, follow_symlinks: bool = True) -> None:
        os.link(source, target, follow_symlinks=follow_symlinks)
        new, node = self._find(target), self._node(source)
        if new is not None and node is not None:
            self._add(new, node)

    def unlink(self, path: str | bytes) -> None:
        if place := self._find(path):
            self._refresh(place, os.path.dirname(os.path.abspath(os.fsdecode(path))))
        os.unlink(path)
        if place := self._find(path):
            self._remove(place)

    def rmdir(self, path: str | bytes) -> None:
        os.rmdir(path)
        if place := self._find(path):
            self._remove(place)

    # -- contents ---------------------------------------------------------------------------------------

    def open(self, path: str | bytes, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        place = self._find(path) if dir_fd is None else None
        created = bool(flags & os.O_CREAT) and not os.path.lexists(path)
        descriptor = os.open(path, flags, mode, dir_fd=dir_fd)
        self._open.pop(descriptor, None)
        if created and place is not None:
            node = self._new()
            self._add(place, node)
            self._contents[node] = b""
        node_now = self._node(path) if dir_fd is None else None
        if node_now is not None:
            self._open[descriptor] = node_now
        return descriptor

    def close(self, descriptor: int) -> None:
        os.close(descriptor)
        self._open.pop(descriptor, None)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        written = os.write(descriptor, data)
        if descriptor in self._open:
            self._changed(self._open[descriptor], os.lseek(descriptor, 0, os.SEEK_CUR), bytes(data[:written]))
        return written

    def pwrite(self, descriptor: int, data: bytes, offset: int) -> int:
        written = os.pwrite(descriptor, data, offset)
        if descriptor in self._open:
            self._changed(self._open[descriptor], offset + written, bytes(data[:written]))
        return written

    def posix_fallocate(self, descriptor: int, offset: int, length: int) -> None:
        os.posix_fallocate(descriptor, offset, length)
        if descriptor in self._open:
            node = self._open[descriptor]
            missing = offset + length - len(self._contents.get(node, b""))
            if missing > 0:
                self._changed(node, offset + length, bytes(missing))

    def _changed(self, node: int, end: int, data: bytes) -> None:
        now = bytearray(self._contents.get(node, b""))
        now.extend(bytes(max(0, end - len(now))))
        now[end - len(data) : end] = data
        self._contents[node] = bytes(now)
        self.ops.append(Op("data", node, data=bytes(now)))

    def utime(self, path: str | int, *, ns: tuple[int, int], follow_symlinks: bool = True) -> None:
        if isinstance(path, int):
            os.utime(path, ns=ns)
            return  # of a new file: its flush follows
        os.utime(path, ns=ns, follow_symlinks=follow_symlinks)
        if (node := self._node(path)) is not None:
            self.ops.append(Op("time", node, mark=ns[1]))

    # -- flushes ----------------------------------------------------------------------------------------

    def fsync(self, descriptor: int) -> None:
        os.fsync(descriptor)
        if descriptor in self._open:
            self._adopt(descriptor)
            self.ops.append(Op("sync", self._open[descriptor], site=_site()))

    def fdatasync(self, descriptor: int) -> None:
        os.fdatasync(descriptor)
        if descriptor in self._open:
            self.ops.append(Op("sync", self._open[descriptor], site=_site()))

    def _adopt(self, descriptor: int) -> None:
        """What a library has written into this directory, durable but for its names."""
        directory = self._open[descriptor]
        if directory not in self._entries:
            return
        with os.scandir(f"/proc/self/fd/{descriptor}") as found:
            for entry in found:
                if not entry.is_file(follow_symlinks=False):
                    continue
                node = self._entries[directory].get(entry.name)
                content = Path(entry.path).read_bytes()
                if node is None:
                    node = self._new()
                    self._add((directory, entry.name), node)
                if self._contents.get(node) != content:
                    self._adopted[node] = directory
                self._written_behind(node, content)

    def _refresh(self, place: tuple[int, str], path: str) -> None:
        """Before a name goes: what a library has written into its directory's other files since."""
        for name, node in self._entries[place[0]].items():
            if self._adopted.get(node) == place[0]:
                self._written_behind(node, Path(path, name).read_bytes())

    def _written_behind(self, node: int, content: bytes) -> None:
        if self._contents.get(node) != content:
            self._contents[node] = content
            self.ops.append(Op("durable", node, data=content))

    def fallocate(self, descriptor: int, mode: int, offset: Any, length: Any) -> int:
        return int(_real_libc.fallocate(descriptor, mode, offset, length))  # room is no content

    def syncfs(self, descriptor: int) -> int:
        result = int(_real_libc.syncfs(descriptor))
        if result == 0:
            if descriptor in self._open:
                self._adopt(descriptor)
            self.ops.append(Op("syncall", site=_site()))
        return result


_real_libc = files._libc


def _site() -> str:
    """Where the flush was asked for: the first function outside `files.py`, then those in it."""
    names: list[str] = []
    frame = sys._getframe(2)
    while frame is not None:
        path = frame.f_code.co_filename
        name = frame.f_code.co_name
        if path.endswith("engine/files.py"):
            if name != "ensure_directory" or "ensure_directory" not in names:
                names.append(name)
        elif "/dualtrack/" in path:
            where = f"{path.split('/dualtrack/')[1]}:{name}:{frame.f_lineno}"
            return " > ".join([where, *reversed(names)])
        frame = frame.f_back  # type: ignore[assignment]
    return "outside"
