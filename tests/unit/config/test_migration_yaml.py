# ruff: noqa: E501 - a table of mistakes reads best a line each
"""The guide's `migration.yaml`: accepted whole, each mistake named at its place, said again as a resource."""

from __future__ import annotations

import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from dualtrack.api.load import parse
from dualtrack.cli.main import main
from dualtrack.config.document import check
from dualtrack.config.schema import SETTINGS, Fraction, Whole, defaults

DATA = Path(__file__).resolve().parents[2] / "data" / "config"
GUIDE = DATA / "migration.yaml"
TO_CR = ["--name", "rustfs-main", "--namespace", "storage", "--target", "deployment/rustfs"]

Output = pytest.CaptureFixture[str]


def said(text: str) -> list[str]:
    return [str(each) for each in check(text).problems]


def test_the_guides_file_is_accepted_whole_and_is_the_defaults() -> None:
    checked = check(GUIDE.read_text())
    assert checked.problems == []
    assert set(checked.said) == set(SETTINGS)
    assert checked.said == defaults()


def test_a_number_may_be_written_as_yaml_writes_it() -> None:
    checked = check(
        "migration: {canary: {traffic_ratio: 2.5e-1, auto_expand_threshold: {error_rate: 1.0e-4}}}"
    )
    assert checked.problems == []
    assert checked.said["migration.canary.traffic_ratio"] == Decimal("0.25")
    assert checked.said["migration.canary.auto_expand_threshold.error_rate"] == Decimal("0.0001")


@pytest.mark.parametrize("end", ["least", "most"])
def test_what_passes_the_check_can_be_said_as_a_resource(tmp_path: Path, end: str) -> None:
    """Each setting at the end of its bounds."""
    text: dict[str, Any] = {}
    for path, setting in SETTINGS.items():
        match setting:
            case Whole():
                value: object = getattr(setting, end)
            case Fraction():
                value = float(setting.most) if end == "most" else 1e-06
            case _:
                value = setting.default
        group = text
        *groups, name = path.split(".")
        for each in groups:
            group = group.setdefault(each, {})
        group[name] = value
    file = tmp_path / "migration.yaml"
    file.write_text(yaml.safe_dump(text))
    assert main(["config", "to-cr", str(file), *TO_CR]) == 0


def test_what_is_left_out_has_its_default() -> None:
    checked = check("migration: {canary: {traffic_ratio: 0.1}}")
    assert checked.problems == []
    assert checked.values == defaults() | {"migration.canary.traffic_ratio": Decimal("0.1")}


WRONG = [
    ("migration:\n  canary:\n    duration_seconds: 31536000\n",
     "3:23: migration.canary.duration_seconds: '31536000' is out of bounds; write a whole number of seconds from 10 to 31535280"),
    ("migration:\n  canary:\n    auto_expand_threshold:\n      error_rate: 0.0000000000001\n",
     "4:19: migration.canary.auto_expand_threshold.error_rate: '0.0000000000001' is finer than a MetadataMigration can say; write at most 12 decimals"),
    ("migration:\n  canary:\n    traffic_ratio: 1.2.3e4\n", "3:20: migration.canary.traffic_ratio: '1.2.3e4' is no number"),
    ("migration:\n  canary:\n    traffic_ratio: .e5\n", "3:20: migration.canary.traffic_ratio: '.e5' is no number"),
    ("migration:\n  canary:\n    traffic_ratio: 0.050000000000000000000000000001\n",
     "3:20: migration.canary.traffic_ratio: '0.050000000000000000000000000001' is finer than"),
    ("migration:\n  canary:\n    traffic_ratio: 1.0e4\n",
     "3:20: migration.canary.traffic_ratio: '1.0e4' is text to YAML, for want of a sign in its exponent; write 10000"),
    ("migration:\n  enable_dual_track: !!python/name:os.system true\n",
     "2:22: migration.enable_dual_track: 'true' has the tag tag:yaml.org,2002:python/name:os.system; write the value alone"),
    ("migration:\n  canary:\n    trafic_ratio: 0.1\n",
     "3:5: migration.canary.trafic_ratio: is no setting; did you mean traffic_ratio?"),
    ("migration:\n  canary:\n    traffic-ratio: 0.1\n",
     "3:5: migration.canary.traffic-ratio: is no setting; did you mean traffic_ratio?"),
    ("migration:\n  canary:\n    traffic_ratio: 5\n",
     "3:20: migration.canary.traffic_ratio: '5' is out of bounds; write it as a share of all traffic, above 0 and at "
     "most 1"),
    ("migration:\n  canary:\n    traffic_ratio: 5%\n",
     "3:20: migration.canary.traffic_ratio: '5%' is text; write it as a share of all traffic: 0.05"),
    ("migration:\n  canary:\n    traffic_ratio: 0\n", "3:20: migration.canary.traffic_ratio: '0' is out of bounds"),
    ("migration:\n  canary:\n    traffic_ratio: -0.1\n", "3:20: migration.canary.traffic_ratio: '-0.1' is out of"),
    ("migration:\n  canary:\n    traffic_ratio: \"0.05\"\n",
     "3:20: migration.canary.traffic_ratio: '0.05' is text; write the number without quotes"),
    ("migration:\n  canary:\n    traffic_ratio: .nan\n", "3:20: migration.canary.traffic_ratio: '.nan' is no number"),
    ("migration:\n  canary:\n    duration_seconds: 48h\n",
     "3:23: migration.canary.duration_seconds: '48h' is not a whole number of seconds; write for example 172800"),
    ("migration:\n  canary:\n    duration_seconds: 3.5\n", "3:23: migration.canary.duration_seconds: '3.5' is not a"),
    ("migration:\n  canary:\n    duration_seconds:\n", "3:22: migration.canary.duration_seconds: nothing is not a"),
    ("migration:\n  canary:\n    duration_seconds: true\n", "3:23: migration.canary.duration_seconds: 'true' is not"),
    ("migration:\n  canary:\n    duration_seconds: 010\n", "3:23: migration.canary.duration_seconds: '010' is not a"),
    ("migration:\n  canary:\n    duration_seconds: 1:30\n", "3:23: migration.canary.duration_seconds: '1:30' is not"),
    (f"migration:\n  canary:\n    duration_seconds: {'9' * 20}\n",
     "3:23: migration.canary.duration_seconds: '99999999999999999999' is out of bounds; write a whole number of "
     "seconds from 10 to 31535280"),
    ("migration:\n  canary:\n    auto_expand_threshold:\n      error_rate: 1e-4\n",
     "4:19: migration.canary.auto_expand_threshold.error_rate: '1e-4' is text to YAML, for want of a dot; write "
     "0.0001"),
    ("migration:\n  enable_dual_track: yes\n",
     "2:22: migration.enable_dual_track: 'yes' is no switch; write true"),
    ("migration:\n  enable_dual_track: \"true\"\n",
     "2:22: migration.enable_dual_track: 'true' is no switch; write true"),
    ("migration:\n  enable_dual_track: maybe\n", "2:22: migration.enable_dual_track: 'maybe' is no switch; write true or"),
    ("migration:\n  migration:\n    priority_strategy: sizes\n",
     "3:24: migration.migration.priority_strategy: 'sizes' is not one of access_frequency, size, random; did you mean "
     "size?"),
    ("migration:\n  migration: 8\n", "2:14: migration.migration: has '8'; write a group of: enabled, concurrency"),
    ("migration:\n  concurrency: 8\n",
     "2:3: migration.concurrency: does not belong here; it is migration.migration.concurrency"),
    ("migration:\n  migration:\n    concurrency: 0\n", "3:18: migration.migration.concurrency: '0' is out of bounds"),
    ("migration:\n  migration:\n    concurrency: [8]\n", "3:18: migration.migration.concurrency: a list is not a whole"),
    ("consistency:\n  level: Eventual\n",
     "2:10: consistency.level: 'Eventual' is not one of strong, eventual, lazy; did you mean eventual?"),
    ("consistency: {level: eventual, level: strong}\n",
     "1:32: consistency.level: stands here again, after line 1; keep one of them"),
    ("metadata:\n  inline_data:\n    compression_algo: gzip\n",
     "3:23: metadata.inline_data.compression_algo: 'gzip' is not one of zstd"),
    ("metadata:\n  inline_data:\n    threshold_bytes: 600000\n",
     "3:22: metadata.inline_data.threshold_bytes: 600000 is more than metadata.inline_data.separate_threshold_bytes "
     "(524288); make it at most that"),
    ("metadata:\n  cache:\n    capacity: 10\n", "3:15: metadata.cache.warmup_size: 1000 is more than metadata.cache."),
    ("migrations:\n  canary: {}\n", "1:1: migrations: is no setting; did you mean migration?"),
    ("something: 1\n", "1:1: something: is no setting; here may stand: migration, consistency, metadata"),
    ("[1, 2]\n", "1:1: the file: has a list; write a group of: migration, consistency, metadata"),
    ("", "1:1: is empty; begin with `migration:`"),
    ("# nothing\n", "1:1: is empty; begin with `migration:`"),
    ("migration:\n\tcanary: {}\n", "2:1: is no YAML: found character '\\t' that cannot start any token; indent with"),
    ("migration: {canary: {traffic_ratio: 0.1}\n", "2:1: is no YAML: "),
    ("migration: {}\n# \0\n", "2:3: is no YAML: the character '\\x00' may not stand here"),
    ('"\\u001b[31m": 1\n', "1:1: \\x1b[31m: is no setting"),
    ("? [a]\n: 1\n", "1:3: this group: is no setting"),
    ("migration: {}\n---\nconsistency: {}\n", "3:1: a second document begins here; a configuration is one document"),
    ("migration: !!python/object:os.system {}\nx: 1\n", "2:1: x: is no setting"),
    ("migration: &a {canary: *a}\n", "1:16: migration.canary.canary: does not belong here; it is migration.canary"),
    ("migration: {<<: {canary: {}}}\n", "1:13: migration.<<: is no setting"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), WRONG, ids=range(len(WRONG)))
def test_what_is_wrong_is_named_at_its_place(text: str, expected: str) -> None:
    found = said(text)
    assert len(found) == 1
    assert found[0].startswith(expected)


def test_everything_wrong_is_told_at_once_and_in_order(tmp_path: Path, capsys: Output) -> None:
    file = tmp_path / "m.yaml"
    file.write_text("consistency:\n  levle: lazy\nmigration:\n  canary:\n    traffic_ratio: 2\n  extra: 1\n")
    assert main(["config", "check", str(file)]) == 2
    told = capsys.readouterr().err.splitlines()
    assert [line.removeprefix(f"{file}:").partition(" ")[0] for line in told[:3]] == ["2:3:", "5:20:", "6:3:"]
    assert told[3] == f"dualtrack: {file} has 3 problems; nothing was made of it"


def test_a_sound_file_is_said_to_be_one(capsys: Output) -> None:
    assert main(["config", "check", str(GUIDE)]) == 0
    assert capsys.readouterr().out == f"{GUIDE}: 22 of 22 settings, all of them valid\n"


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, capsys: Output) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"migration:\n  # caf\xe9\n")
    for name in (str(tmp_path / "none.yaml"), str(tmp_path), str(latin)):
        assert main(["config", "check", name]) == 2
    assert "latin.yaml:2: is no UTF-8" in capsys.readouterr().err


def test_standard_input_is_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(GUIDE.read_bytes())))
    assert main(["config", "check", "-"]) == 0


def test_the_guides_file_becomes_this_resource(capsys: Output) -> None:
    assert main(["config", "to-cr", str(GUIDE), *TO_CR]) == 0
    told = capsys.readouterr()
    assert told.out == (DATA / "migration.cr.yaml").read_text()
    made = parse(yaml.safe_load(told.out))
    assert (made.metadata.namespace, made.metadata.name) == ("storage", "rustfs-main")
    comments = [line for line in told.out.splitlines() if line.startswith("# - ")]
    warnings = [line for line in told.err.splitlines() if line.startswith("dualtrack: warning: ")]
    assert [each.removeprefix("# - ") for each in comments] == [
        each.removeprefix("dualtrack: warning: ") for each in warnings
    ]


def test_every_setting_is_in_the_resource_or_in_a_note(tmp_path: Path, capsys: Output) -> None:
    """Each one changed by itself changes what is printed."""
    other = {
        bool: lambda value: str(not value).lower(),
        int: lambda value: str(value - 1),
        Decimal: lambda value: str(value / 2),
        str: lambda value: {"eventual": "lazy", "access_frequency": "random"}.get(value, value),
    }
    main(["config", "to-cr", str(GUIDE), *TO_CR])
    usual = capsys.readouterr().out
    for path, setting in SETTINGS.items():
        if path == "metadata.inline_data.compression_algo":
            continue  # has one value only
        text = other[type(setting.default)](setting.default)
        for part in reversed(path.split(".")):
            text = f"{{{part}: {text}}}"
        file = tmp_path / "migration.yaml"
        file.write_text(text)
        assert main(["config", "to-cr", str(file), *TO_CR]) == 0
        assert capsys.readouterr().out != usual, path


@pytest.mark.parametrize(
    ("ratio", "ladder"),
    [
        ("0.05", [5, 25, 100]), ("0.01", [1, 25, 100]), ("0.001", [1, 25, 100]), ("0.25", [25, 100]),
        ("0.5", [50, 100]), ("0.999", [99, 100]), ("1", [100]), ("0.055", [5, 25, 100]),
    ],
)  # fmt: skip
def test_the_ladder_begins_with_the_canary(
    ratio: str, ladder: list[int], tmp_path: Path, capsys: Output
) -> None:
    file = tmp_path / "migration.yaml"
    file.write_text(f"migration: {{canary: {{traffic_ratio: {ratio}, duration_seconds: 31000000}}}}")
    assert main(["config", "to-cr", str(file), *TO_CR]) == 0
    made = yaml.safe_load(capsys.readouterr().out)
    assert [each["ratioPercent"] for each in made["spec"]["phases"]] == ladder


@pytest.mark.parametrize(
    "more",
    [
        ["--target", "statefulset/rustfs"], ["--target", "rustfs"], ["--target", "deployment/"],
        ["--prometheus", "prometheus"], ["--namespace", "x", "--name", "A B"], ["--mount-path", "data"],
    ],
)  # fmt: skip
def test_surroundings_that_cannot_be_accepted_are_named(more: list[str], capsys: Output) -> None:
    assert main(["config", "to-cr", str(GUIDE), *TO_CR, *more]) in (2, 3)
    told = capsys.readouterr()
    assert told.out == ""
    assert "dualtrack: " in told.err
