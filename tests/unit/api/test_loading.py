"""Accepting and refusing whole resources, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from dualtrack.api.load import InvalidMigrationError, parse
from dualtrack.api.resource import MetadataMigration
from dualtrack.errors import InvalidResourceError

ROOT = Path(__file__).resolve().parents[3]
WRONG = sorted((ROOT / "tests/data/wrong-crs").glob("*.yaml"))
SAMPLES = sorted((ROOT / "manifests/samples").glob("*.yaml"))
ANNOTATION = "tests.dualtrack.rustfs.com/"


def read(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def without_entry_names(path: str) -> str:
    """`spec.gates[x].max` as `spec.gates.max`."""
    out, depth = "", 0
    for character in path:
        depth += character == "["
        out += character if depth == 0 else ""
        depth -= character == "]"
    return out


def test_there_are_wrong_resources_and_samples() -> None:
    assert len(WRONG) >= 20
    assert [path.name for path in SAMPLES] == ["minimal.yaml", "production.yaml"]


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_a_wrong_resource_is_refused_with_its_field(path: Path) -> None:
    raw = read(path)
    expected = raw["metadata"]["annotations"]
    with pytest.raises(InvalidMigrationError) as caught:
        parse(raw)
    fields = [without_entry_names(problem.field) for problem in caught.value.problems]
    assert any(field.startswith(expected[ANNOTATION + "field"]) for field in fields), fields
    assert all(problem.remedy for problem in caught.value.problems)
    if expected[ANNOTATION + "refused-by"] == "operator":
        assert expected[ANNOTATION + "message"] in str(caught.value)


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_a_wrong_resource_has_one_fault_only(path: Path) -> None:
    with pytest.raises(InvalidMigrationError) as caught:
        parse(read(path))
    assert len(caught.value.problems) == 1, [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_is_accepted(path: Path) -> None:
    migration = parse(read(path))
    assert migration.spec.phases[-1].ratio_percent == 100
    assert migration.spec.completing.snapshot_claim_name == "rustfs-kv-snapshot"


def test_defaults_are_the_guides_numbers() -> None:
    spec = parse(read(ROOT / "manifests/samples/minimal.yaml")).spec
    assert [(p.name, p.ratio_percent, p.observation_seconds) for p in spec.phases] == [
        ("Canary", 5, 172_800),
        ("Expand", 25, 172_800),
        ("FullOut", 100, 172_800),
    ]
    assert [(g.name, g.max, g.severity) for g in spec.gates] == [
        ("error-rate", "0.0001", "Normal"),
        ("put-latency", "0.01", "Normal"),
        ("consistency", "0", "Critical"),
    ]
    assert {a.step: a.policy for a in spec.completing.approvals} == {"CutOver": "Manual", "Purge": "Manual"}


def test_the_example_keeps_every_name_of_spec_and_status() -> None:
    raw = read(ROOT / "tests/data/api/example.yaml")
    dumped = parse(raw).model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert dumped == raw


def test_seconds_instead_of_days_are_accepted() -> None:
    raw = read(ROOT / "manifests/samples/minimal.yaml")
    raw["spec"]["prometheus"]["scrapeIntervalSeconds"] = 1
    raw["spec"]["evaluation"] = {"intervalSeconds": 2, "failureWindowSeconds": 10}
    raw["spec"]["phases"] = [
        {"name": "FullOut", "ratioPercent": 100, "warmupSeconds": 4, "observationSeconds": 10}
    ]
    raw["spec"]["completing"]["observationSeconds"] = 10
    raw["spec"]["completing"]["soakSeconds"] = 0
    assert parse(raw).spec.phases[0].observation_seconds == 10


def test_all_problems_are_listed_at_once_and_entries_by_name() -> None:
    raw = read(ROOT / "manifests/samples/production.yaml")
    raw["spec"]["goal"] = "Mirror"
    raw["spec"]["gates"][0]["max"] = "7"
    raw["spec"]["phases"][1]["ratioPercent"] = 5
    with pytest.raises(InvalidResourceError) as caught:
        parse(raw)
    assert isinstance(caught.value, InvalidMigrationError)
    assert [str(problem).partition(":")[0] for problem in caught.value.problems] == [
        "spec.goal",
        "spec.gates[error-rate].max",
        "spec.phases",
    ]
    assert "storage/rustfs-main" in str(caught.value)


def test_a_number_is_not_taken_for_a_flag_nor_text_for_a_number() -> None:
    raw = read(ROOT / "manifests/samples/minimal.yaml")
    raw["spec"]["suspend"] = 1
    raw["spec"]["attempt"] = "1"
    with pytest.raises(InvalidMigrationError) as caught:
        parse(raw)
    assert {problem.field for problem in caught.value.problems} == {"spec.attempt", "spec.suspend"}


def test_a_newer_operators_status_is_read() -> None:
    raw = read(ROOT / "manifests/samples/minimal.yaml")
    raw["status"] = {"phase": "Teleporting", "warp": 9, "observation": {"verdict": "Splendid", "hue": "blue"}}
    status = parse(raw).status
    assert (status.phase, status.observation and status.observation.verdict) == ("Teleporting", "Splendid")


def test_a_long_message_is_cut_and_times_are_written_in_utc() -> None:
    raw = read(ROOT / "manifests/samples/minimal.yaml")
    raw["status"] = {"message": "m" * 5000, "stepStartTime": "2026-11-20T10:12:00.25+02:00"}
    dumped = parse(raw).status.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert len(dumped["message"]) == 2048
    assert dumped["message"].endswith("…")
    assert dumped["stepStartTime"] == "2026-11-20T08:12:00.250Z"


def test_a_migration_cannot_be_changed_in_place() -> None:
    migration: MetadataMigration = parse(read(ROOT / "manifests/samples/minimal.yaml"))
    with pytest.raises(ValueError, match="frozen"):
        migration.spec.attempt = 2  # type: ignore[misc]


def test_a_resource_without_any_shape_is_refused() -> None:
    with pytest.raises(InvalidMigrationError, match="spec: is missing; must be set"):
        parse({"apiVersion": "dualtrack.rustfs.com/v1alpha1", "kind": "MetadataMigration"})
