"""Small readings: results and progress of Jobs, selectors, claims, and a status that fits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dualtrack.api.fields import MESSAGE_LIMIT
from dualtrack.controller.jobs import last_progress, result_of
from dualtrack.controller.report import differs, fitting
from dualtrack.controller.selectors import claims_of, label_selector, matches, uses_any
from dualtrack.errors import InvalidResourceError

RESULT = {"verb": "migrate", "ok": True, "exitCode": 0}


def pod(phase: str, message: str, state: str = "state") -> dict[str, Any]:
    return {"status": {"phase": phase, "containerStatuses": [{state: {"terminated": {"message": message}}}]}}


def test_the_result_is_the_newest_pods_and_success_goes_first() -> None:
    failed = pod("Failed", json.dumps({**RESULT, "ok": False}))
    assert result_of([failed, pod("Succeeded", json.dumps(RESULT))]) == RESULT
    assert result_of([failed, pod("Failed", json.dumps(RESULT))]) == {**RESULT, "ok": False}
    assert result_of([pod("Running", json.dumps(RESULT), "lastState")]) == RESULT


@pytest.mark.parametrize("message", ["", "panic: out of memory", "[1]", '{"verb": "migr'])
def test_what_is_no_result_is_none(message: str) -> None:
    assert result_of([pod("Failed", message)]) is None


def test_progress_is_the_newest_whole_progress_line() -> None:
    lines = [
        '{"event": "progress", "scanned": 1}',
        '{"event": "progress", "scanned": 2}',
        '{"event": "log", "scanned": 3}',
        "Traceback (most recent call last):",
        '{"event": "progress", "scann',
    ]
    assert last_progress(lines) == {"event": "progress", "scanned": 2}
    assert last_progress(["nothing"]) is None


def test_a_selector_as_lists_take_it() -> None:
    expressions = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "old", "operator": "DoesNotExist"},
        {"key": "zone", "operator": "Exists"},
        {"key": "env", "operator": "NotIn", "values": ["test"]},
    ]
    selector = {"matchLabels": {"b": "2", "a": "1"}, "matchExpressions": expressions}
    assert label_selector(selector) == "a=1,b=2,tier in (a,b),!old,zone,env notin (test)"
    with pytest.raises(InvalidResourceError):
        label_selector({})


def test_an_empty_selector_wakes_nobody() -> None:
    assert matches({"a": "1", "b": "2"}, {"matchLabels": {"a": "1"}})
    assert not matches({"a": "2"}, {"matchLabels": {"a": "1"}})
    assert not matches({"a": "1"}, {})


def test_claims_of_a_pod() -> None:
    volumes = [
        {"name": "a", "persistentVolumeClaim": {"claimName": "drive"}},
        {"name": "b", "emptyDir": {}},
    ]
    assert claims_of({"volumes": volumes}) == ["drive"]
    assert claims_of({}) == []
    assert uses_any({"volumes": volumes}, ["other", "drive"])
    assert not uses_any({"volumes": volumes}, ["other"])


def test_an_absent_field_and_a_null_are_the_same_status() -> None:
    migration = {"status": {"phase": "Canary", "epoch": 1}}
    assert not differs(migration, {"phase": "Canary", "epoch": 1, "fence": None})
    assert differs(migration, {"phase": "Canary"})
    assert not differs({}, {})


def test_a_text_that_is_too_long_is_cut_not_refused() -> None:
    condition = {
        "type": "Stalled",
        "status": "True",
        "reason": "TargetRefused",
        "message": "y" * 40_000,
        "observedGeneration": 1,
        "lastTransitionTime": "2026-11-23T00:00:00Z",
    }
    found = fitting({"phase": "Validating", "message": "x" * 9000, "conditions": [condition], "epoch": None})
    assert len(found["message"]) == MESSAGE_LIMIT
    assert len(found["conditions"][0]["message"]) <= 32_768
    assert found["conditions"][0]["lastTransitionTime"] == "2026-11-23T00:00:00Z"
    assert set(found) == {"phase", "message", "conditions"}
    assert fitting(found) == found


def test_a_status_that_no_cutting_mends_is_refused_by_field() -> None:
    with pytest.raises(InvalidResourceError, match="epoch"):
        fitting({"epoch": -1})
