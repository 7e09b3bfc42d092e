"""What a verification left out opens nothing unless each object was waived by its name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dualtrack.rollout.results import _unwaived


def draft(*keys: str) -> Any:
    waivers = [SimpleNamespace(bucket="b", key=key) for key in keys]
    return SimpleNamespace(spec=SimpleNamespace(completing=SimpleNamespace(waivers=waivers)))


def result(quarantined: object, *names: str) -> dict[str, Any]:
    return {"counts": {"quarantined": quarantined}, "unreadable": [f"b/{n}: quarantined" for n in names]}


@pytest.mark.parametrize(
    ("found", "waived"), [(result(0), ()), (result(1, "x"), ("x",)), (result(2, "x", "y"), ("x", "y", "z"))]
)
def test_what_is_waived_by_name_goes_on(found: dict[str, Any], waived: tuple[str, ...]) -> None:
    assert _unwaived(draft(*waived), found) is None


@pytest.mark.parametrize(
    ("found", "waived"),
    [
        (result(1, "x"), ()),
        (result(1, "x"), ("y",)),
        (result(2, "x"), ("x", "y")),
        (result("many"), ("x",)),
        (result(1), ("x",)),
    ],
)
def test_another_name_an_unnamed_object_and_no_number_stop_it(
    found: dict[str, Any], waived: tuple[str, ...]
) -> None:
    assert _unwaived(draft(*waived), found) is not None
