"""A store made anew and put in a lost one's place, recorded, and what must hold of both after a crash.

`recorded` runs `rebuild` or `restore-store` on a real drive with its store on it; `violations` says of one
state that a power cut left what is wrong with it: a whole store at its path at every moment, no half-made one
there, and the old one never gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from crashsim import Log, Recorder, State
from dualtrack.cli.main import main
from dualtrack.engine import auditlog, lock
from dualtrack.engine.replacing import BUILDING
from dualtrack.engine.storelock import REPLACED

STORE = ".dualtrack/store"
DATA = "data.mdb"
AUDIT = ".dualtrack/audit.jsonl"
ENDED = "ended"
_ASIDE = re.compile(rf"{re.escape(STORE)}(\.rebuild|\.replaced-[^/]+)?/{re.escape(DATA)}")
_KEPT = re.compile(rf"({re.escape(STORE)}\.replaced-[^/]+)/{re.escape(DATA)}")


@dataclass(frozen=True, slots=True)
class Way:
    """`old` and `new` are the two stores' files, byte for byte."""

    verb: str
    log: Log
    old: bytes
    new: bytes


def recorded(drive: Path, *command: str) -> Way:
    """Run the verb on the drive, whose store lies on it."""
    recorder = Recorder(str(drive), hidden="\0")
    old = (drive / STORE / DATA).read_bytes()
    with recorder.watching(lock):
        code = main(["engine", command[0], "--drive", str(drive), *command[1:]])
    assert code == 0, code
    recorder.mark(ENDED)
    return Way(command[0], recorder.log(), old, (drive / STORE / DATA).read_bytes())


def violations(way: Way, state: State) -> list[str]:
    """What is wrong with what the power cut left; empty if nothing is."""
    return list(_violations(way, state))


def _violations(way: Way, state: State) -> Iterator[str]:
    tree = state.tree
    at_path = tree.get(f"{STORE}/{DATA}")
    if at_path not in (way.old, way.new):
        yield "no whole store lies at the path"
    if f"{STORE}/{BUILDING}" in tree:
        yield "the store at the path says of itself that it is half made"
    stores = {path: data for path, data in tree.items() if _ASIDE.fullmatch(path)}
    if way.old not in stores.values():
        yield "the old store is gone"
    if f"{STORE}/{REPLACED}" in tree:
        yield "the store at the path says that another has taken its place"
    for path in stores:
        if (kept := _KEPT.fullmatch(path)) and not tree.get(f"{kept[1]}/{REPLACED}"):
            yield "a store that was put aside does not say so, and could be opened by mistake"
    yield from _half_made(way, stores, state)
    yield from _audited(way, state, changed=at_path == way.new or any(map(_KEPT.fullmatch, stores)))
    if ENDED in state.marks:
        if at_path != way.new:
            yield "the verb has ended, and the old store is back"
        if not any(_KEPT.fullmatch(path) and data == way.old for path, data in stores.items()):
            yield "the verb has ended, and the old store is not where it said"


def _half_made(way: Way, stores: dict[str, bytes | None], state: State) -> Iterator[str]:
    for path, data in stores.items():
        if data not in (way.old, way.new) and path != f"{STORE}.rebuild/{DATA}":
            yield f"{path} is neither of the two stores"
    unfinished = stores.get(f"{STORE}.rebuild/{DATA}")
    if unfinished not in (None, way.old, way.new) and f"{STORE}.rebuild/{BUILDING}" not in state.tree:
        yield "a half-made store does not say so"


def _audited(way: Way, state: State, *, changed: bool) -> Iterator[str]:
    """What was changed was announced, and what has ended was put down as ended."""
    lines = auditlog.parse(state.tree.get(AUDIT) or b"")
    told = [line.fields["verb"] for line in lines if line.event == auditlog.BEGUN and line.fields]
    if changed and way.verb not in told:
        yield f"{way.verb} has changed something, and the audit does not know of it"
    open_steps = [line.fields["verb"] for line in auditlog.unfinished(lines) if line.fields]
    if ENDED in state.marks and (way.verb not in told or way.verb in open_steps):
        yield f"{way.verb} has ended, and the audit does not know of it"
