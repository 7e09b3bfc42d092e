"""Generates the CustomResourceDefinition from the models: `python -m dualtrack.api.crdgen [--check]`.

pydantic speaks JSON Schema 2020, a CRD the older structural subset. The differences, each dealt with below:
references are inlined, `X | None` becomes an absent-able X (Kubernetes' `nullable` is another thing), titles
go, `const` becomes a one-value enum, `additionalProperties: false` goes because pruning does that work,
and defaults lose what is null. Default objects are written out in full, because the API server tries a
default against the CEL rules before it fills in the defaults within it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

import yaml

from dualtrack.api import names
from dualtrack.api.resource import MetadataMigration

Schema = dict[str, Any]
FILE: Final = Path(__file__).resolve().parents[3] / "crds" / f"{names.GROUP}_{names.PLURAL}.yaml"
HEADER: Final = "# Generated from the models in operator/dualtrack/api by `make manifests`. Do not edit.\n"
_DROPPED: Final = frozenset({"title", "additionalProperties", "$defs"})
_COLUMNS: Final = (
    ("Phase", "string", ".status.phase", 0, "Where the migration is"),
    ("Step", "string", ".status.step", 1, "Step within the phase"),
    ("Ratio", "string", ".status.display.ratio", 0, "Traffic on the new track"),
    ("Observed", "string", ".status.display.observed", 0, "Good time of the window"),
    ("Verdict", "string", ".status.observation.verdict", 0, "Last verdict over all gates"),
    ("Progress", "string", ".status.display.progress", 0, "Progress of the current Job"),
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', 0, "Accepted and on course"),
    ("Message", "string", ".status.message", 0, "What is awaited, and what would unblock it"),
    ("Age", "date", ".metadata.creationTimestamp", 0, "Time since creation"),
)


def schema() -> Schema:
    """The structural schema of the resource."""
    raw = MetadataMigration.model_json_schema(by_alias=True)
    root = _structural(raw, raw["$defs"])
    properties = root["properties"]
    for name in ("apiVersion", "kind"):
        properties[name] = {"type": "string", "description": properties[name]["description"]}
    properties["metadata"] = {"type": "object"}
    properties["status"].pop("default", None)
    # The API server sees to metadata; the root's `required` lists what a user must write.
    root["required"] = ["spec"]
    return root


def _structural(node: Schema, defs: dict[str, Schema]) -> Schema:
    node = _resolved(node, defs)
    out: Schema = {}
    for key, value in node.items():
        match key:
            case "properties":
                out[key] = {name: _structural(child, defs) for name, child in value.items()}
            case "items":
                out[key] = _structural(value, defs)
            case "const":
                out["enum"] = [value]
            case "default":
                if value is not None:
                    out[key] = _without_nulls(value)
            case "description":
                out[key] = " ".join(value.split())
            case _ if key not in _DROPPED:
                out[key] = value
    return out


def _resolved(node: Schema, defs: dict[str, Schema]) -> Schema:
    """`node` with references and optional unions replaced; what stands beside them wins."""
    if "$ref" in node:
        beside = {key: value for key, value in node.items() if key != "$ref"}
        referred = _resolved(defs[node["$ref"].rpartition("/")[2]], defs)
        both = [*referred.get(_CEL, []), *beside.get(_CEL, [])]
        return {**referred, **beside, **({_CEL: both} if both else {})}
    if "anyOf" in node:
        (only,) = (option for option in node["anyOf"] if option != {"type": "null"})
        beside = {key: value for key, value in node.items() if key != "anyOf"}
        return _resolved({**only, **beside}, defs)
    return node


_CEL: Final = "x-kubernetes-validations"


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def definition() -> Schema:
    """The whole CustomResourceDefinition."""
    columns = [
        # The server drops a priority of 0; written out, it would make every other applier's copy a conflict.
        {"name": name, "type": kind, "jsonPath": path, "description": description}
        | ({"priority": priority} if priority else {})
        for name, kind, path, priority, description in _COLUMNS
    ]
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": names.CRD_NAME,
            "labels": {names.LABEL_PART_OF: "dualtrack"},
        },
        "spec": {
            "group": names.GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": names.KIND,
                "listKind": names.LIST_KIND,
                "plural": names.PLURAL,
                "singular": names.SINGULAR,
                "shortNames": list(names.SHORT_NAMES),
                "categories": list(names.CATEGORIES),
            },
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                    "schema": {"openAPIV3Schema": schema()},
                }
            ],
        },
    }


def render() -> str:
    """The file's text; the same for the same models, byte for byte."""
    return HEADER + yaml.dump(definition(), Dumper=_Plain, sort_keys=False, width=110, allow_unicode=True)


class _Plain(yaml.SafeDumper):
    """Without anchors, which people and some tools do not read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def main(arguments: list[str] | None = None) -> int:
    """Write the file, or with `--check` say whether it is up to date (exit 1 if not)."""
    parser = argparse.ArgumentParser(prog="dualtrack.api.crdgen", description="Generate the CRD.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 if the file is out of date"
    )
    parser.add_argument("--output", type=Path, default=FILE, help="the file to write or to check")
    options = parser.parse_args(arguments)
    text = render()
    if not options.check:
        options.output.write_text(text, encoding="utf-8")
        return 0
    if options.output.is_file() and options.output.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"{options.output} is out of date; run python -m dualtrack.api.crdgen\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
