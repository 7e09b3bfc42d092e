"""What each strategy does with one object: a table over what is there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dualtrack.engine.formats import xlmeta
from dualtrack.engine.judging import Evidence, judge
from dualtrack.engine.listing import Found, Problem
from dualtrack.engine.naming import MetaName
from dualtrack.engine.repair.strategies import Action, Setting, Strategy, choose
from dualtrack.engine.rows import ZERO, Fingerprint, Generation, Row, RowOrigin, RowState
from dualtrack.engine.summary import summary

DATA = xlmeta.encode(xlmeta.empty())
ENTRY = summary(xlmeta.decode(DATA)).pack()
STATUS = Fingerprint(9, len(DATA), 5, 6)
FILE = Found("b", "k", "b/k/xl.meta", STATUS, 0o644, 1, 2, DATA)
OLDER = replace(FILE, mode=0o600, fingerprint=replace(STATUS, ctime_ns=5))
CORRUPT = replace(FILE, data=b"XL2 nothing")
LINK = Problem("b", "k", "b/k", "symlink", "is a symbolic link", False)
AWAY = Problem("b", "k", "b/k", "EIO", "does not answer", True)
ROW = Row("b", "k", Generation(1, 1), RowState.PRESENT, RowOrigin.FS, STATUS, 0o644, 1, 2, 5, DATA)
WRONG = replace(ROW, data=DATA + b"x")
GONE = Row.tombstone("b", "k", Generation(1, 1))
ASIDE = replace(ROW, state=RowState.FS_RESIDENT)
SYSTEM = replace(WRONG, bucket=".minio.sys")

TO_KV, TO_FS, USE_KV, USE_FS = (
    Strategy.SYNC_TO_KV,
    Strategy.SYNC_TO_FS,
    Strategy.USE_KV,
    Strategy.USE_FS,
)


def chosen(strategy: Strategy, seen: Evidence, **changes: bool) -> tuple[Action, str]:
    verdict = judge(seen, ZERO, final=strategy is USE_KV)
    choice = choose(seen, verdict, Setting(strategy, ZERO, changes.pop("files_answer", True), **changes))
    return choice.action, choice.why


@pytest.mark.parametrize(
    ("strategy", "file", "row", "entry", "action"),
    [
        (TO_KV, FILE, WRONG, ENTRY, Action.PUT_ROW),
        (TO_KV, FILE, None, None, Action.PUT_ROW),
        (TO_KV, FILE, GONE, None, Action.PUT_ROW),
        (TO_KV, FILE, ROW, None, Action.PUT_ROW),
        (USE_FS, FILE, WRONG, ENTRY, Action.RETIRE_ROW),
        (USE_FS, FILE, None, None, Action.RETIRE_ROW),
        (USE_FS, None, ROW, ENTRY, Action.BURY_ROW),
        (TO_FS, OLDER, ROW, ENTRY, Action.WRITE_FILE),
        (TO_FS, None, ROW, ENTRY, Action.WRITE_FILE),
        (USE_KV, FILE, WRONG, ENTRY, Action.HOLD_FILE),
        (USE_KV, FILE, GONE, None, Action.HOLD_FILE),
        (USE_KV, None, ROW, ENTRY, Action.KEEP_ROW),
        (USE_KV, None, GONE, None, Action.NOTHING),
    ],
)
def test_a_sound_side_that_is_believed_wins(
    strategy: Strategy, file: Found | None, row: Row | None, entry: bytes | None, action: Action
) -> None:
    assert chosen(strategy, Evidence(file, row, entry)) == (action, "")


@pytest.mark.parametrize("strategy", Strategy)
def test_what_is_equal_is_left_alone(strategy: Strategy) -> None:
    assert chosen(strategy, Evidence(FILE, ROW, ENTRY)) == (Action.NOTHING, "")
    assert chosen(strategy, Evidence(None, None, None)) == (Action.NOTHING, "")


@pytest.mark.parametrize(
    ("strategy", "file", "row", "says"),
    [
        (TO_KV, None, ROW, "no file to copy"),
        (TO_KV, CORRUPT, ROW, "sets it aside by name"),
        (TO_KV, LINK, ROW, "sets it aside by name"),
        (TO_KV, AWAY, ROW, "cannot be read now"),
        (USE_FS, CORRUPT, ROW, "sets it aside by name"),
        (USE_FS, AWAY, ROW, "cannot be read now"),
        (TO_FS, FILE, WRONG, "newer than its row"),
        (TO_FS, FILE, None, "no bytes to write"),
        (TO_FS, FILE, GONE, "no strategy deletes a file"),
        (TO_FS, FILE, ASIDE, "no bytes to write"),
        (TO_FS, LINK, WRONG, "something else stands"),
        (TO_FS, FILE, replace(SYSTEM, key="k"), "rows are a backup"),
        (USE_KV, FILE, None, "has no row"),
        (USE_KV, FILE, ASIDE, "nothing would be left"),
        (USE_KV, LINK, WRONG, "not one that cleanup would take"),
        (USE_KV, None, ASIDE, "nothing would be left"),
        (USE_KV, FILE, replace(SYSTEM, key="k"), "in every mode"),
        (USE_KV, FILE, replace(WRONG, name=MetaName.XL_JSON), "restore the drive"),
    ],
)
def test_what_would_lose_something_is_refused_with_the_reason(
    strategy: Strategy, file: Found | Problem | None, row: Row | None, says: str
) -> None:
    action, why = chosen(strategy, Evidence(file, row, ENTRY if row and row.present else None))
    assert action is Action.REFUSE
    assert says in why


@pytest.mark.parametrize("strategy", Strategy)
def test_no_row_is_put_over_a_damaged_one(strategy: Strategy) -> None:
    action, why = chosen(strategy, Evidence(FILE, None, ENTRY, "its check does not match"))
    assert action is Action.REFUSE
    assert "rebuild the store" in why


def test_a_newer_file_is_replaced_only_where_somebody_says_so() -> None:
    assert chosen(TO_FS, Evidence(FILE, WRONG, ENTRY), accept_newer=True)[0] is Action.WRITE_FILE


def test_a_row_is_not_retired_while_rows_answer_listings() -> None:
    action, why = chosen(USE_FS, Evidence(FILE, WRONG, ENTRY), files_answer=False)
    assert action is Action.REFUSE
    assert "use sync-to-kv" in why


@pytest.mark.parametrize("strategy", [TO_FS, USE_KV])
def test_a_row_below_the_trust_floor_is_not_believed(strategy: Strategy) -> None:
    floor = Generation(2, 0)
    seen = Evidence(OLDER, WRONG, ENTRY)
    verdict = judge(seen, floor, final=strategy is USE_KV)
    choice = choose(seen, verdict, Setting(strategy, floor, True))
    assert choice.action is Action.REFUSE
    assert "trust floor" in choice.why
