"""Kubernetes' API conventions, looked for in every corner of the generated CRD."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dualtrack.api import crdgen

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "crds" / "dualtrack.rustfs.com_metadatamigrations.yaml"
Schema = dict[str, Any]


def fields(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every field below `schema` with its path; list items as `path[]`."""
    for name, child in schema.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        yield here, child
        yield from fields(child, here)
    if "items" in schema:
        yield f"{path}[]", schema["items"]
        yield from fields(schema["items"], f"{path}[]")


DEFINITION: Schema = yaml.safe_load(FILE.read_text(encoding="utf-8"))
VERSION: Schema = DEFINITION["spec"]["versions"][0]
ROOT_SCHEMA: Schema = VERSION["schema"]["openAPIV3Schema"]
ALL = [(path, field) for path, field in fields(ROOT_SCHEMA) if path not in {"apiVersion", "kind", "metadata"}]
BY_TYPE = {
    kind: [(path, field) for path, field in ALL if field.get("type") == kind]
    for kind in ("string", "integer", "boolean", "array", "object")
}


def test_the_committed_file_is_what_the_models_say() -> None:
    assert FILE.read_text(encoding="utf-8") == crdgen.render()


def test_another_process_with_another_hash_seed_renders_the_same(tmp_path: Path) -> None:
    for seed in ("1", "2"):
        output = tmp_path / f"crd-{seed}.yaml"
        command = [sys.executable, "-m", "dualtrack.api.crdgen", "--output", str(output)]
        subprocess.run(command, check=True, env={"PYTHONHASHSEED": seed}, cwd=tmp_path)
        assert output.read_text(encoding="utf-8") == FILE.read_text(encoding="utf-8")


def test_check_tells_a_file_that_is_out_of_date(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "crd.yaml"
    assert crdgen.main(["--check", "--output", str(output)]) == 1
    assert crdgen.main(["--output", str(output)]) == 0
    assert crdgen.main(["--check", "--output", str(output)]) == 0
    output.write_text(output.read_text(encoding="utf-8").replace("Canary", "Kanarie"), encoding="utf-8")
    assert crdgen.main(["--check", "--output", str(output)]) == 1
    assert "out of date" in capsys.readouterr().err


def test_every_field_has_a_type_and_a_description() -> None:
    assert len(ALL) > 200
    assert [path for path, field in ALL if "type" not in field] == []
    undescribed = [path for path, field in ALL if not field.get("description") and not path.endswith("[]")]
    assert undescribed == []


def test_only_structural_keywords_are_used() -> None:
    allowed = {
        *("type", "description", "properties", "required", "items", "default", "enum", "pattern", "format"),
        *("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"),
        *("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-validations"),
    }
    strange = {path: set(field) - allowed for path, field in ALL if set(field) - allowed}
    assert strange == {}


def test_strings_are_bounded() -> None:
    bounds = {"maxLength", "enum", "format"}
    assert [path for path, field in BY_TYPE["string"] if not bounds & set(field)] == []


def test_integers_are_bounded_and_there_is_no_float() -> None:
    assert [path for path, field in BY_TYPE["integer"] if not {"minimum", "maximum"} <= set(field)] == []
    assert {field["type"] for _, field in ALL} == {"string", "integer", "boolean", "array", "object"}


def test_suspend_is_the_one_boolean() -> None:
    assert [path for path, _ in BY_TYPE["boolean"]] == ["spec.suspend"]


def test_lists_are_bounded_and_say_how_they_merge() -> None:
    for path, field in BY_TYPE["array"]:
        assert "maxItems" in field, path
        assert field["x-kubernetes-list-type"] in {"map", "set", "atomic"}, path
        if field["x-kubernetes-list-type"] == "map":
            for key in field["x-kubernetes-list-map-keys"]:
                assert key in field["items"]["properties"], path
                assert key in field["items"]["required"], path


def test_objects_name_their_fields() -> None:
    assert [path for path, field in BY_TYPE["object"] if not field.get("properties")] == []


def test_durations_are_whole_seconds() -> None:
    endings = ("Deadline", "Timeout", "Interval", "Window", "Duration", "Period")
    assert [path for path, _ in ALL if path.startswith("spec") and path.endswith(endings)] == []
    times = [(path, f) for path, f in ALL if path.startswith("spec") and path.endswith("Seconds")]
    assert len(times) >= 12
    assert {field["type"] for _, field in times} == {"integer"}


def test_a_demo_of_seconds_is_possible() -> None:
    minimums = {path: field.get("minimum") for path, field in ALL}
    assert minimums["spec.phases[].observationSeconds"] == 10
    assert minimums["spec.completing.observationSeconds"] == 10
    assert minimums["spec.evaluation.intervalSeconds"] == 2
    assert minimums["spec.prometheus.scrapeIntervalSeconds"] == 1


def test_a_narrower_bound_of_a_field_wins_over_its_types() -> None:
    bounds = {path: (field.get("minimum"), field.get("maximum")) for path, field in ALL}
    assert bounds["spec.prometheus.requestTimeoutSeconds"] == (1, 300)
    assert bounds["spec.evaluation.intervalSeconds"] == (2, 3600)
    assert bounds["spec.evaluation.consecutiveFailureLimit"] == (1, 1000)
    assert bounds["spec.gates[].evidence.confidencePercent"] == (50, 99)


def test_rules_speak_and_say_what_must_be() -> None:
    found = [
        rule for _, field in [("", ROOT_SCHEMA), *ALL] for rule in field.get("x-kubernetes-validations", [])
    ]
    assert len(found) >= 20
    for rule in found:
        assert "must" in rule.get("messageExpression", rule["message"]), rule["rule"]


def test_status_is_a_subresource_and_optional_throughout() -> None:
    assert VERSION["subresources"] == {"status": {}}
    assert ROOT_SCHEMA["required"] == ["spec"]
    status = ROOT_SCHEMA["properties"]["status"]
    assert "required" not in status
    assert "default" not in status


def test_columns_names_and_aliases() -> None:
    columns = {column["name"]: column.get("priority", 0) for column in VERSION["additionalPrinterColumns"]}
    assert columns == {
        **{"Phase": 0, "Step": 1, "Ratio": 0, "Observed": 0, "Verdict": 0, "Progress": 0, "Ready": 0},
        **{"Message": 0, "Age": 0},
    }
    assert DEFINITION["spec"]["names"]["shortNames"] == ["mmig"]
    assert DEFINITION["spec"]["names"]["categories"] == ["rustfs"]
    assert DEFINITION["metadata"]["name"] == "metadatamigrations.dualtrack.rustfs.com"
