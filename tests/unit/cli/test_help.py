"""What a newcomer sees who asks for help: every command and verb, each with a word on what it does."""

from __future__ import annotations

import re

import pytest

from dualtrack.cli.main import COMMANDS, engine_verbs, main


def explained(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> set[str]:
    """The names in a help text that have a text beside or below them."""
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
    return set(re.findall(r"^    ([a-z-]+)\s{2,}\w", capsys.readouterr().out, re.MULTILINE))


def test_every_command_is_listed_and_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert explained([], capsys) >= {*COMMANDS, "engine"}


def test_every_verb_is_listed_and_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert explained(["engine"], capsys) == set(engine_verbs())


@pytest.mark.parametrize(
    "verb",
    [
        "cleanup hold",
        "cleanup purge",
        "cleanup directories",
        "restore",
        "rebuild",
        "mark",
        "migrate",
        "repair",
    ],
)
def test_a_verb_that_takes_something_away_says_how_it_is_taken_back(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["engine", *verb.split(), "--help"])
    assert "undo" in capsys.readouterr().out
