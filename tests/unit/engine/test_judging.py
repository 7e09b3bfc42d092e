"""One object's file, row and index entry: the verdict on every combination."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dualtrack.engine.formats import xlmeta
from dualtrack.engine.judging import Evidence, Verdict, judge
from dualtrack.engine.listing import Found, Problem
from dualtrack.engine.rows import NO_FILE, ZERO, Fingerprint, Generation, Row, RowOrigin, RowState
from dualtrack.engine.summary import summary

DATA = xlmeta.encode(xlmeta.empty())
ENTRY = summary(xlmeta.decode(DATA)).pack()
STATUS = Fingerprint(9, len(DATA), 5, 6)
FILE = Found("b", "k", "b/k/xl.meta", STATUS, 0o644, 1, 2, DATA)
CORRUPT = replace(FILE, data=b"XL2 nothing")
LINK = Problem("b", "k", "b/k", "symlink", "is a symbolic link", False)
ROW = Row("b", "k", Generation(1, 1), RowState.PRESENT, RowOrigin.FS, STATUS, 0o644, 1, 2, 5, DATA)
ONLY = replace(ROW, origin=RowOrigin.KV)
GONE = Row.tombstone("b", "k", Generation(1, 1))
GONE_ONLY = Row.tombstone("b", "k", Generation(1, 1), RowOrigin.KV)
ASIDE = replace(ROW, state=RowState.FS_RESIDENT)
ASIDE_WITHOUT = replace(ASIDE, fingerprint=NO_FILE, data=b"")

EITHER = [
    (None, None, None, Verdict.ABSENT),
    (None, None, ENTRY, Verdict.INDEX),
    (None, GONE, None, Verdict.ABSENT),
    (None, GONE, ENTRY, Verdict.INDEX),
    (FILE, None, None, Verdict.MISSING_ROW),
    (FILE, ROW, ENTRY, Verdict.EQUAL),
    (FILE, ROW, None, Verdict.INDEX),
    (FILE, ROW, ENTRY + b"x", Verdict.INDEX),
    (FILE, replace(ROW, data=DATA + b"x"), ENTRY, Verdict.CONTENT),
    (FILE, replace(ROW, mode=0o600), ENTRY, Verdict.ATTRIBUTES),
    (FILE, replace(ROW, uid=7), ENTRY, Verdict.ATTRIBUTES),
    (FILE, replace(ROW, gid=7), ENTRY, Verdict.ATTRIBUTES),
    (FILE, replace(ROW, mtime_ns=7), ENTRY, Verdict.ATTRIBUTES),
    (FILE, replace(ROW, fingerprint=replace(STATUS, inode=8, ctime_ns=8)), ENTRY, Verdict.EQUAL),
    (None, ROW, ENTRY, Verdict.MISSING_FILE),
    (FILE, GONE, None, Verdict.DELETED),
    (FILE, ASIDE, None, Verdict.CONTENT),
    (CORRUPT, ROW, ENTRY, Verdict.NOT_SET_ASIDE),
    (CORRUPT, ASIDE, None, Verdict.RESIDENT),
    (CORRUPT, ASIDE, ENTRY, Verdict.NOT_SET_ASIDE),
    (CORRUPT, None, None, Verdict.MISSING_ROW),
    (LINK, ASIDE, None, Verdict.RESIDENT),
    (LINK, ASIDE_WITHOUT, None, Verdict.RESIDENT),
    (None, ASIDE_WITHOUT, None, Verdict.RESIDENT),
    (None, ASIDE, None, Verdict.MISSING_FILE),
]
FULL = [
    (FILE, ONLY, ENTRY, Verdict.EQUAL),
    (None, ONLY, ENTRY, Verdict.MISSING_FILE),
    (FILE, GONE_ONLY, None, Verdict.DELETED),
]
FINAL = [
    (FILE, ONLY, ENTRY, Verdict.SUPERSEDED),
    (CORRUPT, ONLY, ENTRY, Verdict.SUPERSEDED),
    (None, ONLY, ENTRY, Verdict.KV_ONLY),
    (None, ONLY, None, Verdict.INDEX),
    (FILE, GONE_ONLY, None, Verdict.SUPERSEDED),
    (None, GONE_ONLY, None, Verdict.ABSENT),
    (None, GONE_ONLY, ENTRY, Verdict.INDEX),
]
CASES = [
    *((*case, final) for case in EITHER for final in (False, True)),
    *((*case, False) for case in FULL),
    *((*case, True) for case in FINAL),
]


@pytest.mark.parametrize(("file", "row", "entry", "verdict", "final"), CASES)
def test_the_verdict(
    file: Found | Problem | None, row: Row | None, entry: bytes | None, verdict: Verdict, final: bool
) -> None:
    assert judge(Evidence(file, row, entry), ZERO, final=final) is verdict


@pytest.mark.parametrize("final", [False, True])
def test_a_row_below_the_trust_floor_proves_nothing(final: bool) -> None:
    assert judge(Evidence(FILE, ROW, ENTRY), Generation(1, 2), final=final) is Verdict.UNTRUSTED
    assert judge(Evidence(FILE, ROW, ENTRY), Generation(1, 1), final=final) is Verdict.EQUAL


def test_a_tombstone_below_the_trust_floor_proves_no_deletion() -> None:
    generation = Generation(1, 1)
    gone = Row.tombstone("bucket", "key", generation)
    seen = Evidence(None, gone, None)
    assert judge(seen, Generation(1, 2), final=False) is Verdict.UNTRUSTED
    assert judge(seen, generation, final=False) is Verdict.ABSENT


def test_a_damaged_row_is_a_difference_whatever_the_file_says() -> None:
    for file in (FILE, None, CORRUPT):
        for final in (False, True):
            seen = Evidence(file, None, ENTRY, "its check does not match")
            assert judge(seen, ZERO, final=final) is Verdict.DAMAGED_ROW


def test_only_differences_differ() -> None:
    assert {verdict for verdict in Verdict if not verdict.differs} == {
        Verdict.EQUAL,
        Verdict.ABSENT,
        Verdict.RESIDENT,
        Verdict.SUPERSEDED,
        Verdict.KV_ONLY,
    }
