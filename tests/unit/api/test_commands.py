"""Annotations in, values out."""

from __future__ import annotations

import pytest

from dualtrack.api.commands import Approval, Command, Malformed, Verb, approval, command
from dualtrack.api.names import ANNOTATION_APPROVE, ANNOTATION_APPROVED_BY, ANNOTATION_COMMAND


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pause.1.a1", Command(Verb.PAUSE, 1, "a1")),
        ("resume.12.p-7", Command(Verb.RESUME, 12, "p-7")),
        ("rollback.1.x.disk is dying, v1.2.3", Command(Verb.ROLLBACK, 1, "x", "disk is dying, v1.2.3")),
        ("abort.3.x.", Command(Verb.ABORT, 3, "x")),
        (" force.1.pod-0.node is gone ", Command(Verb.FORCE, 1, "pod-0", "node is gone")),
    ],
)
def test_a_command_is_read(text: str, expected: Command) -> None:
    assert command({ANNOTATION_COMMAND: text}) == expected


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("stop.1.a", "verb 'stop' must be one of pause, resume, rollback, abort, force"),
        ("Pause.1.a", "verb 'Pause'"),
        ("pause", "attempt '' must be a number from 1 on"),
        ("pause.0.a", "attempt '0'"),
        ("pause.one.a", "attempt 'one'"),
        ("pause.1", "id '' must be 1 to 63"),
        ("pause.1.a b", "id 'a b'"),
        ("pause.1." + "a" * 64, "must be 1 to 63"),
        ("pause.1.a." + "r" * 257, "257 characters; must be at most 256"),
        ("force.1.pod-0", "force needs a reason"),
        ("force.1.pod-0.  ", "force needs a reason"),
        ("pause.１.a", "must be a number"),
    ],
)
def test_a_command_that_cannot_be_read_says_why(text: str, why: str) -> None:
    parsed = command({ANNOTATION_COMMAND: text})
    assert isinstance(parsed, Malformed)
    assert why in parsed.why
    assert parsed.message.startswith("dualtrack.rustfs.com/command: ")


def test_an_approval_is_read_with_its_user() -> None:
    annotations = {ANNOTATION_APPROVE: "CutOver.1.e-5", ANNOTATION_APPROVED_BY: "ada@example.org"}
    parsed = approval(annotations)
    assert parsed == Approval("CutOver", 1, "e-5", "ada@example.org")
    assert isinstance(parsed, Approval)
    assert parsed.text == "CutOver.1.e-5"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("cutover.1.a", "step 'cutover' must be the name of a step"),
        ("CutOver.x.a", "attempt 'x'"),
        ("CutOver.1.", "id ''"),
        ("CutOver.1.a.b", "must end after the id"),
        ("CutOver.1.a.", "must end after the id"),
    ],
)
def test_an_approval_that_cannot_be_read_says_why(text: str, why: str) -> None:
    parsed = approval({ANNOTATION_APPROVE: text})
    assert isinstance(parsed, Malformed)
    assert why in parsed.why


def test_a_user_too_long_is_named_as_the_fault() -> None:
    parsed = approval({ANNOTATION_APPROVE: "Purge.1.a", ANNOTATION_APPROVED_BY: "u" * 254})
    assert isinstance(parsed, Malformed)
    assert parsed.annotation == ANNOTATION_APPROVED_BY


@pytest.mark.parametrize("annotations", [{}, {ANNOTATION_COMMAND: "", ANNOTATION_APPROVE: " "}])
def test_nothing_written_is_nothing(annotations: dict[str, str]) -> None:
    assert command(annotations) is None
    assert approval(annotations) is None


def test_a_long_value_is_shown_in_part() -> None:
    parsed = command({ANNOTATION_COMMAND: "x" * 100_000})
    assert isinstance(parsed, Malformed)
    assert len(parsed.message) < 400


def test_the_reason_is_no_part_of_what_is_remembered() -> None:
    parsed = command({ANNOTATION_COMMAND: "pause.1.a.because of 1.2"})
    assert isinstance(parsed, Command)
    assert parsed.text == "pause.1.a"
