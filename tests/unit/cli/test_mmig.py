"""`kubectl mmig`: what it shows of a migration, and what it writes for a person's word."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from dualtrack.api import commands
from dualtrack.api.names import ANNOTATION_APPROVE, ANNOTATION_COMMAND
from dualtrack.cli import mmig, mmig_view
from dualtrack.errors import UsageError

NOW = datetime(2026, 11, 21, 15, 30, tzinfo=UTC)


def migration(**status: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "attempt": 1,
        "phase": "Canary",
        "step": "Observing",
        "stepStartTime": "2026-11-20T08:12:00Z",
        "message": "Canary: waiting for 17 h more of good time",
        "target": {"desired": {"engine": "fs", "ratioPercent": 5, "fallback": "true", "epoch": 1}},
        "observation": {"observedSeconds": 111600, "requiredSeconds": 172800, "coveragePercent": 99},
        "gates": [
            {
                "name": "error-rate",
                "verdict": "Insufficient",
                "bad": 3,
                "samples": 412906,
                "samplesNeeded": 77,
            }
        ],
        "jobs": [{"name": "main-1-sweep", "step": "Sweep", "state": "Running", "scanned": 41210332}],
    }
    spec = {
        "phases": [{"name": "Canary"}, {"name": "FullOut"}],
        "target": {"kind": "Deployment", "name": "rustfs"},
    }
    return {"metadata": {"name": "main", "namespace": "storage"}, "spec": spec, "status": base | status}


def shown(found: dict[str, Any]) -> str:
    paper = io.StringIO()
    Console(width=160, file=paper).print(mmig_view.render(found, NOW))
    return paper.getvalue()


def test_a_look_says_where_it_is_since_when_and_what_is_awaited() -> None:
    text = shown(migration())
    assert "● Canary" in text
    assert "○ FullOut" in text
    assert "1d 7h" in text
    assert "waiting for 17 h more" in text
    assert "1d 7h of 2d" in text
    assert "412,906" in text
    assert "77" in text
    assert "41,210,332" in text


def test_a_question_is_shown_with_the_command_that_answers_it() -> None:
    pending = {"step": "CutOver", "attempt": 1, "id": "a1b2", "shown": "40,000 rows verified"}
    text = shown(migration(pendingApproval=pending))
    assert "40,000 rows verified" in text
    assert "kubectl mmig approve main -n storage --step CutOver" in text


def test_what_needs_a_person_stands_out() -> None:
    condition = {"type": "Stalled", "status": "True", "reason": "Drift", "message": "the env was reverted"}
    assert "Stalled: Drift: the env was reverted" in shown(migration(conditions=[condition]))


def test_lost_time_says_why_it_did_not_count() -> None:
    seen = {
        "observedSeconds": 10,
        "requiredSeconds": 20,
        "lostSeconds": 65,
        "message": "pod a was not scraped",
    }
    assert "1m 5s did not count: pod a was not scraped" in shown(migration(observation=seen))


def narrow(picture: Any) -> str:
    """What fits a terminal of 80 columns."""
    paper = io.StringIO()
    Console(width=80, file=paper).print(picture)
    return paper.getvalue()


def test_names_of_jobs_can_be_copied_from_a_narrow_terminal_and_their_progress_read() -> None:
    name = "rustfs-main-1-remove-directories-rustfs-0"
    job = {"name": name, "step": "RemoveDirectories", "state": "Running", "message": "x" * 90}
    job |= {"scanned": 1_210_332, "total": 9_310_500}
    text = narrow(mmig_view.render(migration(jobs=[job]), NOW))
    assert name in text
    assert "1,210,332 of 9,310,500" in text


def test_the_report_is_told_by_its_root_and_the_command_that_checks_it() -> None:
    made = {"root": "blake2b:00aa", "objects": 2777, "check": "dualtrack engine report check FILE"}
    assert mmig_view.report(migration(report=made)) == (
        "report of 2,777 objects: blake2b:00aa\ndualtrack engine report check FILE\n"
    )
    assert mmig_view.report(migration()) == ""


def test_the_history_says_when_and_why() -> None:
    entry = {"time": "2026-11-20T08:12:00Z", "attempt": 1, "from": "Canary", "to": "Paused"}
    entry |= {"cause": "GateFailed", "actor": "operator", "message": "error-rate: 9 of 412 failed"}
    text = narrow(mmig_view.history(migration(history=[entry])))
    assert "2026-11-20T08:12:00Z" in text
    assert "Canary → Paused" in text
    assert "9 of 412" in text


def test_a_gate_without_a_statistical_bound_is_explained_without_one() -> None:
    gate = {"name": "consistency", "verdict": "Pass", "bad": 0, "samples": 169, "bound": "0"}
    text = " ".join(narrow(mmig_view.explain(migration(gates=[gate]))).split())
    assert "consistency: Pass: 0 bad of 169 (the limit is 0)" in text


def test_the_last_sampled_check_is_explained_by_what_it_shows() -> None:
    sample = {"time": "2026-11-21T15:00:00Z", "round": 102, "rounds": 100, "objects": 29956, "atMostPpm": 100}
    text = " ".join(narrow(mmig_view.explain(migration(sample=sample))).split())
    assert "29,956 objects equal, so that at most 100 in a million differ (round 3 of 100" in text


def test_a_migration_that_nobody_took_up_is_shown_too() -> None:
    assert "waiting for the operator" in shown({"metadata": {"name": "main"}, "spec": {}})


def test_an_approval_names_what_was_asked() -> None:
    pending = {"step": "CutOver", "attempt": 2, "id": "a1b2"}
    value = mmig.approval_value(migration(pendingApproval=pending), "CutOver")
    parsed = commands.approval({ANNOTATION_APPROVE: value})
    assert isinstance(parsed, commands.Approval)
    assert (parsed.step, parsed.attempt, parsed.id) == ("CutOver", 2, "a1b2")


def test_an_approval_of_something_else_is_refused_before_it_is_sent() -> None:
    pending = {"step": "CutOver", "attempt": 1, "id": "a1b2"}
    with pytest.raises(UsageError, match="CutOver waits for approval, not Purge"):
        mmig.approval_value(migration(pendingApproval=pending), "Purge")
    with pytest.raises(UsageError, match="nothing waits"):
        mmig.approval_value(migration(), "Purge")


@pytest.mark.parametrize("verb", ["pause", "rollback", "abort", "force"])
def test_a_command_is_one_that_the_operator_understands(verb: str) -> None:
    value = mmig.command_value(migration(), verb, "night shift")
    parsed = commands.command({ANNOTATION_COMMAND: value})
    assert isinstance(parsed, commands.Command)
    assert (parsed.verb, parsed.attempt, parsed.reason) == (verb, 1, "night shift")


def test_resume_ends_the_very_pause_that_is_shown() -> None:
    assert mmig.command_value(migration(pause={"id": "p9"}), "resume", "") == "resume.1.p9"
    with pytest.raises(UsageError, match="not paused"):
        mmig.command_value(migration(), "resume", "")


def test_the_namespace_is_the_contexts(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "current-context: b\ncontexts:\n- {name: a}\n- {name: b, context: {namespace: storage}}\n"
    )
    assert mmig.context_namespace(str(config)) == "storage"
    assert mmig.context_namespace(str(tmp_path / "none")) == "default"
