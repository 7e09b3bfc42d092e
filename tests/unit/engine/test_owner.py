"""The owner: one at a time, generations, trust, the drain, its socket, and what a kill leaves behind."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from dualtrack.engine import frames, marker, server
from dualtrack.engine import journal as journal_module
from dualtrack.engine.client import OwnerClient
from dualtrack.engine.digests import Digest
from dualtrack.engine.marker import Marker, MarkerState
from dualtrack.engine.mode import Engine, Mode
from dualtrack.engine.owner import Owner, OwnerSettings
from dualtrack.engine.rows import NO_FILE, Generation, Row, RowDraft, RowOrigin, RowState
from dualtrack.engine.server import Server
from dualtrack.engine.session import connect
from dualtrack.engine.stores.protocol import Batch, Outcome, Put
from dualtrack.engine.sweepstate import CURSOR, State
from dualtrack.errors import (
    IncompleteError,
    MarkerError,
    OwnerError,
    StoreError,
    StoreLockedError,
    StoreVersionError,
)

MAP = 64 * 1024 * 1024
PLAIN = OwnerSettings(drive_id="d", map_size=MAP)
Opener = Callable[..., Owner]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Opener]:
    """Opens the owner of a drive in `tmp_path`; whatever is still open is closed at the end."""
    opened: list[Owner] = []

    def opener(mode: Mode | None = None) -> Owner:
        owner = Owner.open(str(tmp_path), str(tmp_path / "store"), replace(PLAIN, mode=mode))
        opened.append(owner)
        return owner

    yield opener
    for owner in opened:
        with suppress(OSError):  # closed by the test
            owner.close()


def draft(data: bytes = b"xl", **changes: object) -> RowDraft:
    return replace(RowDraft(NO_FILE, 0o644, 0, 0, 0, data, b"summary"), **changes)


def row(key: str, generation: Generation, data: bytes = b"xl") -> Row:
    return Row.of("b", key, generation, draft(data))


def put(owner: Owner, key: str, data: bytes = b"xl") -> Outcome:
    (outcome,) = owner.commit(Batch(puts=(Put(row(key, owner.next_generation(), data), b"s"),))).outcomes
    return outcome


def write_marker(tmp_path: Path, state: MarkerState, store_uuid: str = "") -> None:
    marker.write(str(tmp_path), Marker(state, store_uuid, 1, "m", "2026-11-23T12:00:00Z"))


def test_a_second_owner_fails_on_the_lock_and_names_the_first(own: Opener) -> None:
    own()
    with pytest.raises(StoreLockedError, match=str(os.getpid())):
        own()


def test_generations_rise_over_restarts(own: Opener) -> None:
    first = own()
    before = [first.next_generation() for _ in range(3)]
    first.close()
    second = own()
    assert before == sorted(before)
    assert before[-1] < second.next_generation()
    assert put(second, "k") is Outcome.APPLIED


def test_a_write_of_an_earlier_owner_loses(own: Opener) -> None:
    first = own()
    late = first.next_generation()
    first.close()
    second = own()
    put(second, "k", b"new")
    result = second.commit(Batch(puts=(Put(row("k", late, b"late"), b"s", "any"),)))
    assert result.outcomes == (Outcome.NEWER,)


def test_a_closed_owner_refuses_and_lets_the_next_one_in(own: Opener) -> None:
    owner = own()
    owner.close()
    with pytest.raises(StoreError):
        put(owner, "k")
    own()


def test_batches_of_many_threads_are_all_committed(own: Opener) -> None:
    owner = own()
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        for i in range(20):
            assert put(owner, f"{number}/{i}") is Outcome.APPLIED

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert owner.digest().count == 160


# -- trust
# -----------------------------------------------------------------------------------------------------


def fs(ratio: str, epoch: int) -> Mode:
    return Mode(Engine.FS, Decimal(ratio), True, epoch)


def test_a_restart_keeps_trust_and_a_new_epoch_of_the_file_system_ends_it(
    own: Opener, tmp_path: Path
) -> None:
    write_marker(tmp_path, MarkerState.DUAL_WRITE)
    owner = own(fs("1", 3))
    put(owner, "k")
    assert owner.get("b", "k").generation >= owner.trust_floor()
    owner.close()
    owner = own(fs("1", 3))
    assert owner.get("b", "k").generation >= owner.trust_floor()
    owner.close()
    owner = own(fs("0.5", 4))
    assert owner.get("b", "k").generation < owner.trust_floor()
    assert owner.info().epoch == 4
    put(owner, "k")
    assert owner.get("b", "k").generation >= owner.trust_floor()


@pytest.mark.parametrize(
    ("state", "mode"),
    [
        (MarkerState.KV_PRIMARY, Mode(Engine.KV_PRIMARY, Decimal(1), True, 9)),
        (MarkerState.KV_ONLY, Mode(Engine.KV_ONLY, Decimal(1), False, 9)),
        (MarkerState.KV_ONLY, Mode(Engine.KV_PRIMARY, Decimal(1), False, 9)),
    ],
)
def test_a_new_epoch_leaves_rows_trusted_where_each_write_makes_a_row(
    own: Opener, tmp_path: Path, state: MarkerState, mode: Mode
) -> None:
    write_marker(tmp_path, MarkerState.DUAL_WRITE)
    owner = own(fs("1", 3))
    put(owner, "k")
    owner.close()
    write_marker(tmp_path, state)
    owner = own(mode)
    assert owner.get("b", "k").generation >= owner.trust_floor()
    assert owner.info().epoch == 9


def test_a_sweep_counts_for_a_new_epoch_only_where_each_write_makes_a_row(
    own: Opener, tmp_path: Path
) -> None:
    def swept(state: MarkerState, mode: Mode) -> bytes | None:
        write_marker(tmp_path, state)
        owner = own(mode)
        found = owner.meta("swept_epoch")
        owner.close()
        return found

    write_marker(tmp_path, MarkerState.DUAL_WRITE)
    owner = own(fs("1", 3))
    owner.commit(Batch(meta={"swept_epoch": b"3", "verified": b"{}"}))
    owner.close()
    assert swept(MarkerState.KV_ONLY, Mode(Engine.KV_ONLY, Decimal(1), False, 3)) == b"3"
    assert swept(MarkerState.KV_ONLY, Mode(Engine.KV_PRIMARY, Decimal(1), False, 4)) == b"4"
    assert swept(MarkerState.KV_PRIMARY, Mode(Engine.KV_PRIMARY, Decimal(1), True, 4)) == b"4"
    assert swept(MarkerState.DUAL_WRITE, fs("1", 5)) is None
    assert own().meta("verified") is None


def test_a_journal_that_broke_after_a_sweep_is_told_until_the_next_one(own: Opener, tmp_path: Path) -> None:
    write_marker(tmp_path, MarkerState.KV_PRIMARY)
    owner = own(Mode(Engine.KV_PRIMARY, Decimal(1), True, 3))
    owner.commit(Batch(meta={"swept_epoch": b"3"}))
    owner.close()
    broken = journal_module.Journal.open(str(tmp_path / ".dualtrack"))
    broken.break_epoch()
    broken.close()
    for _ in range(2):
        owner = own(Mode(Engine.KV_PRIMARY, Decimal(1), True, 3))
        assert owner.info().degraded
        assert owner.meta("swept_epoch") is None
        owner.close()


@pytest.mark.parametrize(
    ("before", "after", "trusted"),
    [
        (fs("0.5", 3), fs("0.5", 3), True),
        (fs("0.5", 3), fs("1", 3), True),
        (fs("0.5", 3), fs("0.5", 4), False),
        (fs("0.5", 3), fs("0.5", 2), False),
        (fs("0.5", 3), fs("0.4", 3), False),
        (fs("0.5", 3), fs("0", 0), False),
        (Mode(Engine.KV_PRIMARY, Decimal(1), True, 3), fs("1", 3), False),
    ],
)
def test_less_on_the_dual_track_or_another_epoch_ends_trust(
    own: Opener, tmp_path: Path, before: Mode, after: Mode, trusted: bool
) -> None:
    write_marker(tmp_path, MarkerState.DUAL_WRITE)
    owner = own(before)
    put(owner, "k")
    owner.close()
    owner = own(after)
    assert (owner.get("b", "k").generation >= owner.trust_floor()) is trusted
    assert owner.info().epoch == after.epoch


@pytest.mark.parametrize(
    ("before", "after", "trusted"),
    [
        (fs("1", 3), fs("1", 3), True),
        (fs("1", 3), Mode(Engine.KV_PRIMARY, Decimal(1), True, 3), True),
        (fs("0.5", 3), fs("1", 3), False),
        (fs("0", 0), Mode(Engine.KV_PRIMARY, Decimal(1), True, 0), False),
        (fs("0", 0), fs("0", 0), False),
    ],
)
def test_what_was_swept_beside_files_without_marks_is_no_evidence_later(
    own: Opener, tmp_path: Path, before: Mode, after: Mode, trusted: bool
) -> None:
    owner = own(before)
    put(owner, "k")
    owner.commit(Batch(meta={"swept_epoch": b"%d" % before.epoch, "verified": b"{}"}))
    owner.close()
    owner = own(after)
    assert (owner.get("b", "k").generation >= owner.trust_floor()) is trusted
    assert (owner.meta("swept_epoch") is not None) is trusted
    assert (owner.meta("verified") is not None) is trusted


@pytest.mark.parametrize(
    ("before", "after", "trusted"), [("0.5", "1", False), ("0.5", "0.5", False), ("1", "1", True)]
)
def test_rows_of_a_sweep_that_has_not_ended_are_no_evidence_either(
    own: Opener, before: str, after: str, trusted: bool
) -> None:
    """Found by the state machine: swept, overwritten with neither row nor mark, and compared once all keys
    were on the dual track: a difference that was none."""
    owner = own(fs(before, 3))
    put(owner, "k")
    at = State(3, owner.trust_floor().pack().hex(), owner.next_generation().pack().hex(), at="k")
    owner.commit(Batch(cursor=(CURSOR, at.pack())))
    owner.close()
    owner = own(fs(after, 3))
    assert (owner.get("b", "k").generation >= owner.trust_floor()) is trusted
    floor = owner.trust_floor()
    owner.close()
    assert own(fs(after, 3)).trust_floor() == floor, "once is enough"


def fail_flush(_: int) -> None:
    raise OSError(errno.EIO, "injected")


def test_a_journal_that_cannot_be_written_ends_trust_durably(
    own: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_marker(tmp_path, MarkerState.KV_PRIMARY)
    owner = own(Mode(Engine.KV_PRIMARY, Decimal(1), True, 3))
    put(owner, "k")
    monkeypatch.setattr(journal_module.os, "fdatasync", fail_flush)
    assert owner.mark("b", "k") is None
    assert owner.broken
    assert owner.info().degraded
    monkeypatch.undo()
    owner.close()
    owner = own(Mode(Engine.KV_PRIMARY, Decimal(1), True, 3))
    assert not owner.broken
    assert owner.get("b", "k").generation < owner.trust_floor()
    owner.close()
    owner = own(Mode(Engine.KV_PRIMARY, Decimal(1), True, 3))
    owner.drain(lambda bucket, key: draft())
    assert owner.get("b", "k").generation >= owner.trust_floor()


def test_no_write_goes_on_while_a_broken_epoch_cannot_be_recorded(
    own: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_marker(tmp_path, MarkerState.KV_PRIMARY)
    owner = own(Mode(Engine.KV_PRIMARY, Decimal(1), True, 3))
    put(owner, "k")
    with monkeypatch.context() as failing:
        failing.setattr(journal_module.os, "fdatasync", fail_flush)
        failing.setattr(journal_module.files, "write_atomic", lambda *_: fail_flush(0))
        for _ in range(2):
            with pytest.raises(OSError, match="injected"):
                owner.mark("b", "k")
    assert owner.mark("b", "k") is None
    owner.close()
    owner = own(Mode(Engine.KV_PRIMARY, Decimal(1), True, 3))
    assert owner.get("b", "k").generation < owner.trust_floor()


def test_where_rows_alone_will_answer_a_write_without_a_mark_is_refused(
    own: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = own(Mode(Engine.KV_PRIMARY, Decimal(1), True, 3))
    write_marker(tmp_path, MarkerState.KV_ONLY)  # while the server of before still runs
    assert owner.mark("b", "k") is not None
    monkeypatch.setattr(journal_module.os, "fdatasync", fail_flush)
    for _ in range(2):
        with pytest.raises(StoreError, match="b/k"):
            owner.mark("b", "k")
    assert owner.mark(".minio.sys", "its file is the truth in every mode") is None


def test_the_store_that_the_marker_does_not_name_is_refused(own: Opener, tmp_path: Path) -> None:
    write_marker(tmp_path, MarkerState.KV_ONLY, "another-store")
    with pytest.raises(StoreVersionError, match="another-store"):
        own()


def test_an_unreadable_marker_stops_the_owner(own: Opener, tmp_path: Path) -> None:
    write_marker(tmp_path, MarkerState.KV_ONLY)
    (tmp_path / ".dualtrack/marker.json").write_text("{")
    with pytest.raises(MarkerError):
        own()
    write_marker(tmp_path, MarkerState.KV_ONLY)
    own()


# -- the drain
# -------------------------------------------------------------------------------------------------


def test_a_dirty_key_bars_a_sweep_until_it_is_drained(own: Opener) -> None:
    owner = own()
    put(owner, "k", b"old")
    sweep = owner.next_generation()
    owner.mark("b", "k")
    stale = Batch(puts=(Put(row("k", sweep, b"stale"), b"s"),))
    assert owner.commit(stale).outcomes == (Outcome.DIRTY,)
    assert owner.dirty([("b", "k"), ("b", "l")]) == {("b", "k")}
    assert owner.info().journal_depth == 1
    assert owner.drain(lambda bucket, key: draft(b"new")) == 1
    assert owner.commit(stale).outcomes == (Outcome.NEWER,)
    assert owner.get("b", "k").data == b"new"
    assert not owner.is_dirty("b", "k")


def test_keys_that_somebody_waited_for_are_forgotten_once_they_are_settled(own: Opener) -> None:
    """Also where nobody asks for them, as the drain of a level does at which rows follow at once."""
    owner = own()
    for number in range(20):
        owner.mark("b", f"k{number}")
        owner.hurry([("b", f"k{number}"), ("b", "clean")])
        assert owner._awaited == {("b", f"k{number}")}
        assert owner.drain(lambda bucket, key: draft(b"new")) == 1
    assert owner.awaited() == []


def test_a_missing_file_becomes_a_tombstone(own: Opener) -> None:
    owner = own()
    put(owner, "k")
    owner.mark("b", "k")
    assert owner.drain(lambda bucket, key: None) == 1
    assert owner.get("b", "k").state is RowState.TOMBSTONE


def test_an_undecodable_file_becomes_a_row_that_points_to_it(own: Opener) -> None:
    owner = own()
    owner.mark("b", "k")
    owner.drain(lambda bucket, key: draft(b"", summary=b"", state=RowState.FS_RESIDENT))
    assert owner.get("b", "k").state is RowState.FS_RESIDENT


def test_a_key_whose_file_cannot_be_read_stays_dirty(own: Opener) -> None:
    owner = own()
    owner.mark("b", "k")

    def failing(bucket: str, key: str) -> RowDraft | None:
        raise OSError(errno.EIO, "injected")

    assert owner.drain(failing) == 0
    assert owner.is_dirty("b", "k")


def test_a_drain_waits_for_the_writer_that_holds_the_stripe(own: Opener) -> None:
    """Else it would read the old file, clear the mark, and the rename would come after."""
    owner = own()
    file = {"k": b"old"}
    with owner.locked([("b", "k")]):
        owner.mark("b", "k")
        drain = threading.Thread(target=owner.drain, args=(lambda bucket, key: draft(file[key]),))
        drain.start()
        assert owner.is_dirty("b", "k")
        file["k"] = b"new"
    drain.join()
    assert owner.get("b", "k").data == b"new"
    assert not owner.is_dirty("b", "k")


def test_where_cleanup_has_taken_files_a_drain_never_touches_a_row(own: Opener, tmp_path: Path) -> None:
    write_marker(tmp_path, MarkerState.KV_ONLY)
    (tmp_path / ".dualtrack/hold").mkdir()
    owner = own()
    put(owner, "k", b"only")
    owner.mark("b", "k")
    assert owner.drain(lambda bucket, key: None) == 1
    assert owner.get("b", "k").data == b"only"
    assert owner.info().journal_depth == 0


# -- kills
# -----------------------------------------------------------------------------------------------------

WORKER = """
import sys
from dualtrack.engine.owner import Owner, OwnerSettings
from dualtrack.engine.rows import *
from dualtrack.engine.stores.protocol import *
owner = Owner.open(sys.argv[1], sys.argv[2], OwnerSettings(drive_id="d", map_size=64 << 20))
draft = RowDraft(NO_FILE, 0, 0, 0, 0, b"x" * 300, b"summary")
token = owner.mark("b", "marked")
print("marked", flush=True)
for i in range(10**6):
    generation = owner.next_generation()
    puts = tuple(Put(Row.of("b", f"{i}/{n}", generation, draft), b"s") for n in range(10))
    owner.commit(Batch(puts=puts, cursor=("sweep", str(i).encode())))
    print(i, generation.term, generation.counter, flush=True)
"""


@pytest.mark.parametrize("acknowledged", [1, 7, 20, 45])
def test_what_was_acknowledged_survives_a_kill_and_no_generation_comes_twice(
    own: Opener, tmp_path: Path, acknowledged: int
) -> None:
    command = [sys.executable, "-c", WORKER, str(tmp_path), str(tmp_path / "store")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "marked\n"
        for _ in range(acknowledged):
            child.stdout.readline()
        os.kill(child.pid, signal.SIGKILL)
        rest = child.stdout.read().splitlines()
    last = max([acknowledged - 1, *(int(line.split()[0]) for line in rest if len(line.split()) == 3)])
    owner = own()
    kept = owner.digest().count
    assert kept % 10 == 0
    assert kept >= 10 * (last + 1)
    assert int(owner.cursor("sweep") or b"-1") == kept // 10 - 1
    assert owner.stats().objects == {"b": kept}
    assert owner.is_dirty("b", "marked")
    newest = max(each.generation for each in owner.scan(None, 10_000))
    assert owner.next_generation() > newest


# -- the socket
# ------------------------------------------------------------------------------------------------


def test_a_client_sees_what_the_owner_sees(own: Opener, tmp_path: Path) -> None:
    owner = own(fs("0", 0))
    served = Server(owner, str(tmp_path / "store"))
    client = OwnerClient(str(tmp_path / "store"), patience=0)
    put(owner, "k")
    owner.mark("b", "dirty")
    assert client.info() == owner.info()
    assert client.get_many([("b", "k")]) == owner.get_many([("b", "k")])
    assert client.dirty([("b", "dirty"), ("b", "k")]) == {("b", "dirty")}
    assert client.next_generation() < owner.next_generation()
    client.close()
    served.close()


def test_a_socket_lies_in_a_directory_with_a_very_long_name(tmp_path: Path) -> None:
    directory = tmp_path / ("d" * 200)
    owner = Owner.open(None, str(directory), PLAIN)
    served = Server(owner, str(directory))
    with connect(None, str(directory), PLAIN) as client:
        assert isinstance(client, OwnerClient)
        assert client.info().drive_id == "d"
    served.close()
    owner.close()


def test_a_lease_keeps_the_owner_from_the_keys_and_ends_with_the_client(own: Opener, tmp_path: Path) -> None:
    owner = own()
    served = Server(owner, str(tmp_path / "store"))
    client = OwnerClient(str(tmp_path / "store"), patience=0)
    with (
        client.locked([("b", "k")]),
        pytest.raises(TimeoutError),
        owner.stripes.locked([("b", "k")], timeout=0.05),
    ):
        pytest.fail("both hold the stripe")
    with owner.stripes.locked([("b", "k")], timeout=5):
        pass
    served.close()


def test_a_lease_that_runs_out_frees_the_keys_and_is_an_error(
    own: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "LEASE_SECONDS", 0.05)
    owner = own()
    served = Server(owner, str(tmp_path / "store"))
    client = OwnerClient(str(tmp_path / "store"), patience=0)
    with (
        pytest.raises(OwnerError, match="lease"),
        client.locked([("b", "k")]),
        owner.stripes.locked([("b", "k")], timeout=10),
    ):
        pass
    served.close()


def test_a_client_knows_at_any_moment_whether_its_lease_holds(
    own: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "LEASE_SECONDS", 1.0)
    owner = own()
    served = Server(owner, str(tmp_path / "store"))
    client = OwnerClient(str(tmp_path / "store"), patience=0)

    def outlive() -> None:
        with client.locked([("b", "k")]):
            client.require_locked()
            with owner.stripes.locked([("b", "k")], timeout=60):
                client.require_locked()

    with pytest.raises(OwnerError, match="no lease"):
        client.require_locked()
    with pytest.raises(OwnerError, match="ran out before"):
        outlive()
    served.close()


def test_a_client_goes_on_after_the_owner_has_restarted(own: Opener, tmp_path: Path) -> None:
    owner = own()
    served = Server(owner, str(tmp_path / "store"))
    client = OwnerClient(str(tmp_path / "store"), patience=30)
    fence = client.begin("sweep", 0)
    earlier = client.next_generation()
    served.close()
    owner.close()
    again = own()
    served = Server(again, str(tmp_path / "store"))
    result = client.commit(Batch(fence, (Put(row("k", earlier), b"s"),)))
    assert result.outcomes == (Outcome.APPLIED,)
    assert client.next_generation() > earlier
    client.close()
    served.close()


def test_a_client_alone_never_owns_the_store(tmp_path: Path) -> None:
    where = str(tmp_path / "store")
    with (
        pytest.raises(OwnerError, match="did not answer"),
        connect(None, where, PLAIN, client_only=True, patience=0),
    ):
        pytest.fail("there is no owner")
    with connect(None, where, PLAIN) as owner:
        assert isinstance(owner, Owner)
        with pytest.raises(OwnerError), connect(None, where, PLAIN, client_only=True, patience=0):
            pytest.fail("the owner serves no socket")


def test_a_client_that_waits_for_its_server_ends_when_it_is_told_to(own: Opener, tmp_path: Path) -> None:
    owner = own()
    served = Server(owner, str(tmp_path / "store"))
    stop = threading.Event()
    client = OwnerClient(str(tmp_path / "store"), patience=600, stop=stop.is_set)
    client.info()
    served.close()
    owner.close()
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(IncompleteError, match="interrupted"):
        client.info()


def test_a_client_that_waits_for_a_digest_ends_when_it_is_told_to(
    own: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = own()
    put(owner, "k")
    summing, summed, whole = threading.Event(), threading.Event(), owner.digest()

    def slow(self: Owner, stop: Callable[[], bool] = lambda: False) -> Digest:
        summing.set()
        assert summed.wait(60)
        return whole

    monkeypatch.setattr(Owner, "digest", slow)
    served = Server(owner, str(tmp_path / "store"))
    client = OwnerClient(str(tmp_path / "store"), patience=0)
    with pytest.raises(IncompleteError, match="interrupted"):
        client.digest(summing.is_set)
    summed.set()
    assert client.digest() == whole
    client.close()
    served.close()


def test_server_stopped_is_refused_where_the_socket_answers(own: Opener, tmp_path: Path) -> None:
    served = Server(own(), str(tmp_path / "store"))
    where = str(tmp_path / "store")
    with (
        pytest.raises(OwnerError, match="stop it first"),
        connect(str(tmp_path), where, PLAIN, server_stopped=True),
    ):
        pytest.fail("a server runs")
    served.close()


def test_what_is_no_request_is_answered_or_ended_and_harms_nobody(own: Opener, tmp_path: Path) -> None:
    owner = own()
    served = Server(owner, str(tmp_path / "store"))
    where = str(tmp_path / "store")
    for garbage in (b"\xff\xff\xff\xff", b"\0\0\0\1\xc1", b"\0\0\0\2\x91"):
        with socket.socket(socket.AF_UNIX) as raw, server.socket_path(where) as path:
            raw.connect(path)
            raw.sendall(garbage)
            raw.shutdown(socket.SHUT_WR)
            assert raw.recv(100) == b""
    with socket.socket(socket.AF_UNIX) as raw, server.socket_path(where) as path:
        raw.connect(path)
        for request in (
            ["nothing"],
            ["commit", 5],
            ["commit", [None, [[1, 2, "x", 3]], [], None]],
            [[]],
            7,
            [],
        ):
            frames.send(raw, request)
            assert frames.receive(raw)[:2] == ["error", "OwnerError"]
    assert put(owner, "k") is Outcome.APPLIED
    served.close()


def test_the_origin_of_a_row_travels(own: Opener, tmp_path: Path) -> None:
    owner = own()
    served = Server(owner, str(tmp_path / "store"))
    client = OwnerClient(str(tmp_path / "store"), patience=0)
    only = replace(row("k", client.next_generation()), origin=RowOrigin.KV)
    client.commit(Batch(puts=(Put(only, b"s"),)))
    assert owner.get("b", "k") == only
    client.close()
    served.close()


def test_the_socket_outlives_a_want_of_descriptors(
    own: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept, failing = socket.socket.accept, [OSError(errno.EMFILE, "Too many open files")]

    def short(listener: socket.socket) -> tuple[socket.socket, object]:
        if failing:
            raise failing.pop()
        return accept(listener)

    monkeypatch.setattr(socket.socket, "accept", short)
    owner = own()
    served = Server(owner, str(tmp_path / "store"))
    client = OwnerClient(str(tmp_path / "store"), patience=0, answer_seconds=10)
    assert client.info() == owner.info()
    assert not failing
    client.close()
    served.close()
