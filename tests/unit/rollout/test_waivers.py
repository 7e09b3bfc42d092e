"""What a verification left out opens nothing unless each object was waived by its name and content."""

from __future__ import annotations

from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import pytest

from dualtrack.rollout.waived import ids, objection
from dualtrack.waivers import list_digest, waiver_id

HASH = sha256(b"as it is").hexdigest()


def draft(*keys: str, drive: str = "data") -> Any:
    waivers = [SimpleNamespace(drive=drive, bucket="b", key=key, sha256=HASH) for key in keys]
    drives = [SimpleNamespace(name="data")]
    return SimpleNamespace(spec=SimpleNamespace(completing=SimpleNamespace(waivers=waivers), drives=drives))


def result(quarantined: object, unwaived: object, *accepted: str) -> dict[str, Any]:
    digest = list_digest(waiver_id("b", key, HASH) for key in accepted)
    return {
        "counts": {"quarantined": quarantined, "unwaived": unwaived},
        "waiversDigest": digest,
        "unreadable": ["b/x: quarantined"],
    }


@pytest.mark.parametrize(
    ("found", "waived"),
    [
        (result(0, 0), ()),
        (result(1, 0, "x"), ("x",)),
        (result(2, 0, "x", "y", "z"), ("x", "y", "z")),
        (result(200, 0, *map(str, range(200))), tuple(map(str, range(200)))),
    ],
)
def test_what_is_waived_goes_on_however_many_there_are(
    found: dict[str, Any], waived: tuple[str, ...]
) -> None:
    assert objection(draft(*waived), found) is None


@pytest.mark.parametrize(
    ("found", "waived", "says"),
    [
        (result(1, 1), (), "are not waived: b/x"),
        (result(2, 1, "x"), ("x",), "are not waived"),
        (result(1, 0, "x"), (), "is not what this verification went by"),
        (result(1, 0, "x"), ("x", "y"), "is not what this verification went by"),
        (result(1, 0, "y"), ("x",), "is not what this verification went by"),
        (result("many", 0, "x"), ("x",), "not waived"),
        (result(1, "none", "x"), ("x",), "not waived"),
        ({"counts": {}}, (), "not in the store"),
    ],
)
def test_a_waiver_too_few_other_waivers_and_no_number_stop_it(
    found: dict[str, Any], waived: tuple[str, ...], says: str
) -> None:
    why = objection(draft(*waived), found)
    assert why is not None
    assert says in why[1]


def test_a_waiver_is_of_one_drive_one_object_and_one_content() -> None:
    assert ids(draft("x", drive="other")) == ()
    assert len({waiver_id("b", "x", HASH), waiver_id("b", "y", HASH), waiver_id("b", "x", "0" * 64)}) == 3
