"""The dirty journal: what is on record after a crash, and what a damaged or unwritable file does."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from dualtrack.engine import journal as module
from dualtrack.engine.journal import BLOCK_SLOTS, SLOT_SIZE, Journal
from dualtrack.engine.rows import Generation
from dualtrack.errors import StoreCorruptError

NOW = Generation(3, 4)
HEADER = 4096


def places(directory: Path) -> set[tuple[str, str]]:
    journal = Journal.open(str(directory))
    found = set(journal.places())
    journal.close()
    return found


def test_a_mark_is_loaded_and_a_clear_is_remembered(tmp_path: Path) -> None:
    journal = Journal.open(str(tmp_path))
    kept, cleared = journal.mark("b", "kept/ü\udcff", NOW), journal.mark("b", "cleared", NOW)
    assert ("b", "cleared") in journal
    journal.clear([cleared])
    assert ("b", "cleared") not in journal
    assert journal.depth == 1
    journal.close()
    assert places(tmp_path) == {kept.place}


def test_a_key_marked_twice_stays_dirty_until_both_are_cleared(tmp_path: Path) -> None:
    journal = Journal.open(str(tmp_path))
    first, second = journal.mark("b", "k", NOW), journal.mark("b", "k", NOW)
    journal.clear([first, first])
    assert ("b", "k") in journal
    journal.clear([second])
    assert ("b", "k") not in journal
    journal.close()


def test_the_longest_key_fits_and_a_longer_one_is_refused_without_a_trace(tmp_path: Path) -> None:
    journal = Journal.open(str(tmp_path))
    journal.mark("b" * 63, "ü" * 512, NOW)
    with pytest.raises(OSError, match="too long"):
        journal.mark("b", "k" * 2048, NOW)
    journal.close()
    assert places(tmp_path) == {("b" * 63, "ü" * 512)}


def test_it_grows_past_its_first_block(tmp_path: Path) -> None:
    journal = Journal.open(str(tmp_path))
    tokens = [journal.mark("b", f"k{i}", NOW) for i in range(BLOCK_SLOTS + 3)]
    journal.clear(tokens[10:])
    journal.close()
    assert places(tmp_path) == {("b", f"k{i}") for i in range(10)}


@pytest.mark.parametrize("torn_at", [1, 4, 10, 17, 21, 24])
def test_a_torn_slot_is_passed_over_and_breaks_the_epoch(tmp_path: Path, torn_at: int) -> None:
    """Its mark never returned; but a damaged mark, which did, looks the same."""
    journal = Journal.open(str(tmp_path))
    journal.mark("b", "whole", NOW)
    torn = journal.mark("b", "torn", NOW)
    journal.close()
    with open(tmp_path / "journal", "r+b") as file:
        file.seek(HEADER + torn.slot * SLOT_SIZE + torn_at)
        file.write(bytes(SLOT_SIZE - torn_at))
    assert places(tmp_path) == {("b", "whole")}
    again = Journal.open(str(tmp_path))
    assert again.broken
    again.close()


@pytest.mark.parametrize("note", [b"", b"an intent"])
def test_a_record_cut_off_at_any_byte_is_whole_or_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, note: bytes
) -> None:
    """Over a slot that had a longer mark before. No cut leaves a key clean that was to be dirty, unless
    nothing of it was written; none leaves half a note, and none harms the mark beside it.
    """
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: None)
    path = tmp_path / "journal"
    journal = Journal.open(str(tmp_path))
    journal.mark("b", "whole", NOW)
    journal.clear([journal.mark("b", "longer" * 9, NOW, b"its note")])
    cleared = path.read_bytes()
    slot = journal.mark("bucket", "key", NOW, note).slot
    journal.close()
    start = HEADER + slot * SLOT_SIZE
    record = path.read_bytes()[start : start + SLOT_SIZE]
    size = record.rindex(note or b"key") + len(note or b"key")
    marked = size - (len(note) + 6 if note else 0)
    for cut in range(size + 1):
        with path.open("r+b") as file:
            file.write(cleared[: start + SLOT_SIZE])
            file.seek(start)
            file.write(record[:cut])
        again = Journal.open(str(tmp_path))
        assert ("b", "whole") in again
        tokens = again.tokens(("bucket", "key"))
        assert [each.note for each in tokens] == ([note if cut == size else b""] if cut >= marked else [])
        assert bool(tokens) != (again.broken or cut == 0)
        again.close()


def test_a_torn_slot_is_used_again(tmp_path: Path) -> None:
    journal = Journal.open(str(tmp_path))
    torn = journal.mark("b", "torn", NOW)
    journal.close()
    with open(tmp_path / "journal", "r+b") as file:
        file.seek(HEADER + torn.slot * SLOT_SIZE)
        file.write(b"\xff" * SLOT_SIZE)
    again = Journal.open(str(tmp_path))
    for i in range(BLOCK_SLOTS):
        again.mark("b", f"k{i}", NOW)
    again.close()
    assert len(places(tmp_path)) == BLOCK_SLOTS


def test_a_file_that_is_no_journal_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "journal").write_bytes(b"something else" * 1000)
    with pytest.raises(StoreCorruptError, match="does not begin like a journal"):
        Journal.open(str(tmp_path))


def test_a_crash_while_the_file_was_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "journal").write_bytes(b"")
    assert places(tmp_path) == set()
    (tmp_path / "journal").write_bytes(bytes(HEADER + BLOCK_SLOTS * SLOT_SIZE))
    assert places(tmp_path) == set()


def test_a_broken_epoch_is_remembered_until_it_is_mended(tmp_path: Path) -> None:
    journal = Journal.open(str(tmp_path))
    assert not journal.broken
    journal.break_epoch()
    journal.close()
    journal = Journal.open(str(tmp_path))
    assert journal.broken
    journal.mend_epoch()
    journal.close()
    journal = Journal.open(str(tmp_path))
    assert not journal.broken
    journal.close()


def test_marks_of_many_threads_share_flushes_and_are_all_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushes = []
    real = os.fdatasync

    def counted(descriptor: int) -> None:
        flushes.append(descriptor)
        real(descriptor)

    monkeypatch.setattr(module.os, "fdatasync", counted)
    journal = Journal.open(str(tmp_path))
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        for i in range(25):
            journal.mark("b", f"{number}/{i}", NOW)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    assert places(tmp_path) == {("b", f"{number}/{i}") for number in range(8) for i in range(25)}
    assert 25 <= len(flushes) <= 200


def test_a_mark_that_cannot_be_flushed_is_raised_and_stays_dirty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal.open(str(tmp_path))

    def failing(descriptor: int) -> None:
        raise OSError(errno.EIO, "injected")

    monkeypatch.setattr(module.os, "fdatasync", failing)
    with pytest.raises(OSError, match="injected"):
        journal.mark("b", "k", NOW)
    assert ("b", "k") in journal
    journal.close()


def test_a_mark_after_the_end_fails_and_reaches_no_other_file(tmp_path: Path) -> None:
    journal = Journal.open(str(tmp_path))
    journal.close()
    with open(tmp_path / "other", "w+b") as other:
        with pytest.raises(OSError, match="descriptor"):
            journal.mark("b", "k", NOW)
        assert other.read() == b""


def test_a_note_is_found_after_a_restart_and_forgotten_once_it_is_done(tmp_path: Path) -> None:
    journal = Journal.open(str(tmp_path))
    journal.mark("b", "k", NOW, b"intent")
    journal.close()
    journal = Journal.open(str(tmp_path))
    (token,) = journal.tokens(("b", "k"))
    assert token.note == b"intent"
    journal.forget_note(token)
    assert [each.note for each in journal.tokens(("b", "k"))] == [b""]
    journal.clear([token])
    assert ("b", "k") not in journal
    journal.close()


def test_the_note_of_an_earlier_mark_in_the_slot_is_not_taken_for_a_later_one_s(tmp_path: Path) -> None:
    journal = Journal.open(str(tmp_path))
    journal.clear([journal.mark("b", "k", NOW, b"intent")])
    journal.mark("b", "k", Generation(3, 5))
    journal.close()
    journal = Journal.open(str(tmp_path))
    assert [each.note for each in journal.tokens(("b", "k"))] == [b""]
    journal.close()


def test_a_torn_note_leaves_a_plain_mark(tmp_path: Path) -> None:
    journal = Journal.open(str(tmp_path))
    journal.mark("b", "k", NOW, b"intent")
    journal.close()
    with (tmp_path / "journal").open("r+b") as file:
        data = file.read(HEADER + SLOT_SIZE)
        file.seek(data.index(b"intent"))
        file.write(b"inten\0")
    journal = Journal.open(str(tmp_path))
    assert [each.note for each in journal.tokens(("b", "k"))] == [b""]
    journal.close()


def test_no_mark_is_durable_by_a_flush_after_the_one_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux tells a failed write-back once: the next fdatasync succeeds, and the bytes are on no disk."""
    journal = Journal.open(str(tmp_path))
    flush, both, calls = os.fdatasync, threading.Event(), []

    def failing_once(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 1:
            assert both.wait(10)
            raise OSError(errno.EIO, "injected")
        flush(descriptor)

    monkeypatch.setattr(os, "fdatasync", failing_once)
    failed: list[str] = []

    def mark(key: str) -> None:
        try:
            journal.mark("b", key, NOW)
        except OSError:
            failed.append(key)

    first = threading.Thread(target=mark, args=("first",))
    first.start()
    while not calls:
        first.join(0.001)
    second = threading.Thread(target=mark, args=("second",))
    second.start()
    while ("b", "second") not in journal:
        second.join(0.001)
    both.set()
    first.join()
    second.join()
    assert sorted(failed) == ["first", "second"]
    mark("third")
    assert "third" not in failed
    # Whoever comes late, after a later flush, is told the same.
    with pytest.raises(OSError, match="the flush that this mark was to be part of failed"):
        journal._sync(2)
    journal.close()
