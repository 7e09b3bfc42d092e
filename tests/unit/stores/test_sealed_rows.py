"""Sealed rows of another process are taken if all holds that they promise, natively as row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from dualtrack.engine.native import library
from dualtrack.engine.rows import Fingerprint, Generation, Row, RowOrigin, RowState
from dualtrack.engine.stores import envelope, sealed
from dualtrack.engine.stores.keys import full_key
from dualtrack.engine.stores.protocol import SealedRows
from dualtrack.errors import DualTrackError, OwnerError, StoreCorruptError

DRIVE = b"6b6b8a3c-0000-4000-8000-000000000001"
ROW = Row(
    "bucket",
    "key",
    Generation(2, 7),
    RowState.PRESENT,
    RowOrigin.FS,
    Fingerprint(1, 2, 3, 4),
    0o640,
    1,
    2,
    3,
    bytes(300),
)
COUNT = 20

needs_library = pytest.mark.skipif(library.library() is None, reason="built without a C compiler")


def add(rows: SealedRows, row: Row, *, drive: bytes = DRIVE, versions: int = 3) -> None:
    full = full_key(row.bucket, row.key)
    summary = b"summary of " + full
    check = envelope.summary_check(DRIVE, full, summary)
    rows.fulls.append(full)
    rows.values.append(envelope.pack(drive, full, row, versions, check))
    rows.entries.append(envelope.pack_index(summary, check))
    rows.versions.append(3)


@pytest.fixture
def rows() -> SealedRows:
    made = SealedRows()
    for number in range(COUNT):
        bucket = "bucket" if number < 12 else "other"
        add(made, replace(ROW, bucket=bucket, key=f"key-{number:02}", data=bytes([number]) * (300 + number)))
    return made


def answer(rows: SealedRows) -> str:
    try:
        return "taken" if sealed.checked(DRIVE, rows) is rows else "something else"
    except DualTrackError as error:
        return f"{type(error).__name__}: {error}"


def both_answers(rows: SealedRows, monkeypatch: pytest.MonkeyPatch) -> str:
    found = answer(rows)
    with monkeypatch.context() as patch:
        patch.setattr(library, "library", lambda: None)
        assert answer(rows) == found
    return found


@needs_library
def test_sound_rows_are_taken_without_opening_each(rows: SealedRows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "unpack_index", None)
    assert answer(rows) == "taken"


def test_so_are_they_row_by_row(rows: SealedRows, monkeypatch: pytest.MonkeyPatch) -> None:
    assert both_answers(rows, monkeypatch) == "taken"


@needs_library
def test_every_changed_byte_and_every_cut_is_found(rows: SealedRows, monkeypatch: pytest.MonkeyPatch) -> None:
    for column in (rows.values, rows.entries):
        sound = column[7]
        for at in range(len(sound)):
            for wrong in (sound[:at], sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :]):
                column[7] = wrong
                assert both_answers(rows, monkeypatch).startswith(StoreCorruptError.__name__), at
        column[7] = sound


def other(row: Row, **changes: int) -> Callable[[SealedRows], None]:
    return lambda rows: add(rows, row, **changes)  # type: ignore[arg-type]


def exchange(rows: SealedRows) -> None:
    rows.entries[3], rows.entries[4] = rows.entries[4], rows.entries[3]


def miscount(rows: SealedRows) -> None:
    rows.versions[5] += 1


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (other(replace(ROW, key="z", generation=Generation(2, 8))), OwnerError),
        (other(replace(ROW, key="z", origin=RowOrigin.KV)), OwnerError),
        (other(replace(ROW, key="z", state=RowState.FS_RESIDENT)), OwnerError),
        (other(replace(ROW, bucket=".minio.sys", key="z")), OwnerError),
        (other(replace(ROW, key="key-03")), OwnerError),
        (other(replace(ROW, key="z"), versions=4), OwnerError),
        (exchange, StoreCorruptError),
        (miscount, OwnerError),
        (lambda rows: rows.versions.pop(), OwnerError),
    ],
)
def test_what_is_no_row_of_one_sweep_is_refused(
    rows: SealedRows,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[SealedRows], None],
    kind: type[DualTrackError],
) -> None:
    change(rows)
    assert both_answers(rows, monkeypatch).startswith(kind.__name__)


def test_rows_of_another_drive_are_refused(rows: SealedRows, monkeypatch: pytest.MonkeyPatch) -> None:
    add(rows, replace(ROW, key="z"), drive=DRIVE.replace(b"6", b"7"))
    assert both_answers(rows, monkeypatch).startswith(StoreCorruptError.__name__)


def test_none_at_all_are_taken() -> None:
    assert answer(SealedRows()) == "taken"
