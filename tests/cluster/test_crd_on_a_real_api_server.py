"""The CRD on a real API server: cost limits of CEL, refusals, what is fixed when, defaults, columns.

It needs `KUBECONFIG` and `kubectl` (or the path of one in `KUBECTL`), and no controllers: an API server with
its etcd is enough. The CRD is applied and stays; resources live in a namespace of the test's own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dualtrack.api.load import parse
from dualtrack.api.names import CRD_NAME

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).resolve().parents[2]
CRD = ROOT / "crds" / "dualtrack.rustfs.com_metadatamigrations.yaml"
WRONG = sorted((ROOT / "tests/data/wrong-crs").glob("*.yaml"))
SAMPLES = sorted((ROOT / "manifests/samples").glob("*.yaml"))
ANNOTATION = "tests.dualtrack.rustfs.com/"
KUBECTL = os.environ.get("KUBECTL") or shutil.which("kubectl")
Object = dict[str, Any]


def kubectl(*arguments: str, given: Object | None = None) -> subprocess.CompletedProcess[str]:
    assert KUBECTL is not None
    return subprocess.run(
        [KUBECTL, *arguments],
        input=json.dumps(given) if given is not None else None,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def done(*arguments: str, given: Object | None = None) -> str:
    result = kubectl(*arguments, given=given)
    assert result.returncode == 0, result.stderr
    return result.stdout


def served() -> None:
    """Wait for the kind in discovery, which follows Established by a moment."""
    deadline = time.monotonic() + 60
    while (result := kubectl("get", "mmig", "--all-namespaces")).returncode != 0:
        assert time.monotonic() < deadline, result.stderr
        time.sleep(0.2)


def read(path: Path) -> Object:
    loaded: Object = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """A namespace on a server that has the CRD established."""
    if not os.environ.get("KUBECONFIG") or KUBECTL is None:
        pytest.skip("needs KUBECONFIG and kubectl")
    done("apply", "--server-side", "--force-conflicts", "--field-manager=dualtrack-tests", "-f", str(CRD))
    established = "--for=jsonpath={.status.conditions[?(@.type=='Established')].status}=True"
    done("wait", established, "--timeout=60s", f"crd/{CRD_NAME}")
    served()
    name = f"crd-{uuid.uuid4().hex[:10]}"
    done("create", "namespace", name)
    yield name
    done("delete", "mmig", "--all", "-n", name, "--wait=false")
    done("delete", "namespace", name, "--wait=false")


@pytest.fixture
def claimed(namespace: str) -> Object:
    """A migration in its second phase: its target claimed, 5 and 25 percent begun."""
    migration = read(ROOT / "manifests/samples/production.yaml")
    migration["metadata"] = {"name": f"m-{uuid.uuid4().hex[:10]}", "namespace": namespace}
    done("create", "--validate=strict", "-f", "-", given=migration)
    status = {
        "attempt": 1,
        "phase": "Expand",
        "reachedRatioPercent": 25,
        "target": {"uid": "u", "leaseName": "dualtrack-u"},
    }
    patch(migration, {"status": status}, "--subresource=status")
    return migration


def patch(
    migration: Object, change: Object, *options: str, refused: bool = False, kind: str = "merge"
) -> subprocess.CompletedProcess[str]:
    metadata = migration["metadata"]
    result = kubectl(
        *("patch", "mmig", metadata["name"], "-n", metadata["namespace"]),
        *(f"--type={kind}", "-p", json.dumps(change), *options),
    )
    assert (result.returncode != 0) is refused, result.stdout + result.stderr
    return result


def get(migration: Object) -> Object:
    metadata = migration["metadata"]
    found: Object = json.loads(
        done("get", "mmig", metadata["name"], "-n", metadata["namespace"], "-o", "json")
    )
    return found


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_is_accepted(namespace: str, path: Path) -> None:
    sample = read(path)
    sample["metadata"]["namespace"] = namespace
    done("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", given=sample)


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_a_wrong_resource_is_refused_by_server_or_operator(namespace: str, path: Path) -> None:
    wrong = read(path)
    expected = wrong["metadata"]["annotations"]
    wrong["metadata"]["namespace"] = namespace
    result = kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", given=wrong)
    if expected[ANNOTATION + "refused-by"] == "operator":
        # What the operator says about it is the matter of the unit tests; here: that it gets that far.
        assert result.returncode == 0, result.stderr
        return
    assert result.returncode != 0
    assert expected[ANNOTATION + "field"] in result.stderr
    assert expected[ANNOTATION + "message"] in result.stderr


def test_the_servers_defaults_are_the_models_defaults(namespace: str) -> None:
    short = read(ROOT / "manifests/samples/minimal.yaml")
    short["metadata"] = {"name": f"m-{uuid.uuid4().hex[:10]}", "namespace": namespace}
    done("create", "--validate=strict", "-f", "-", given=short)
    ours = parse(short).model_dump(mode="json", by_alias=True, exclude_none=True)
    stored = get(short)
    assert parse(stored).spec == parse(short).spec
    # Every default that the server fills in is one of ours, and the other way round. An empty list says
    # nothing: the server keeps it where a default has it.
    assert without_empty_lists(stored["spec"]) == without_empty_lists(ours["spec"])


def without_empty_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_empty_lists(item) for key, item in value.items() if item != []}
    if isinstance(value, list):
        return [without_empty_lists(item) for item in value]
    return value


def test_the_whole_example_status_is_kept(namespace: str) -> None:
    example = read(ROOT / "tests/data/api/example.yaml")
    example["metadata"] = {"name": f"m-{uuid.uuid4().hex[:10]}", "namespace": namespace}
    done("create", "--validate=strict", "-f", "-", given=example)
    patch(example, {"status": example["status"]}, "--subresource=status")
    assert get(example)["status"] == example["status"]


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("spec.target", {"target": {"name": "other"}}),
        ("spec.target", {"target": {"acknowledgement": {"port": 9001}}}),
        ("spec.drives", {"drives": [{"name": "data", "mountPath": "/elsewhere"}]}),
        ("spec.store", {"store": {"maxSizeBytes": 10_737_418_240}}),
        (
            "spec.phases",
            {"phases": [{"name": "Canary", "ratioPercent": 5}, {"name": "Full", "ratioPercent": 100}]},
        ),
    ],
)
def test_what_is_fixed_once_the_target_is_claimed(claimed: Object, field: str, change: Object) -> None:
    message = patch(claimed, {"spec": change}, refused=True).stderr
    assert field in message
    assert "must st" in message  # "must stay as it was", "must still begin with"


@pytest.mark.parametrize(
    ("index", "change"), [(0, {"ratioPercent": 6}), (1, {"name": "Grow"}), (1, {"ratioPercent": 30})]
)
def test_begun_phases_keep_name_and_ratio(claimed: Object, index: int, change: Object) -> None:
    phases = claimed["spec"]["phases"]
    phases[index] |= change
    message = patch(claimed, {"spec": {"phases": phases}}, refused=True).stderr
    assert 'fixed up to the phase at 25; must still begin with ["Canary", "Expand"] at [5, 25]' in message


def test_no_phase_slips_in_before_the_current_one(claimed: Object) -> None:
    phases = claimed["spec"]["phases"]
    phases.insert(1, {"name": "Between", "ratioPercent": 10})
    assert "must still begin with" in patch(claimed, {"spec": {"phases": phases}}, refused=True).stderr


def test_pace_bounds_and_later_phases_stay_editable(claimed: Object) -> None:
    phases = claimed["spec"]["phases"]
    phases[1]["observationSeconds"] = 86_400
    phases.insert(2, {"name": "Half", "ratioPercent": 50})
    change = {"phases": phases, "sweep": {"objectsPerDay": 5}, "suspend": True}
    patch(claimed, {"spec": change})
    assert [p["name"] for p in get(claimed)["spec"]["phases"]] == ["Canary", "Expand", "Half", "FullOut"]


def test_everything_is_editable_before_the_claim(namespace: str) -> None:
    migration = read(ROOT / "manifests/samples/minimal.yaml")
    migration["metadata"] = {"name": f"m-{uuid.uuid4().hex[:10]}", "namespace": namespace}
    done("create", "-f", "-", given=migration)
    patch(migration, {"spec": {"target": {"name": "other"}, "drives": [{"name": "d", "mountPath": "/d"}]}})
    assert get(migration)["spec"]["target"]["name"] == "other"


def test_the_attempt_may_only_grow(claimed: Object) -> None:
    patch(claimed, {"spec": {"attempt": 3}})
    message = patch(claimed, {"spec": {"attempt": 2}}, refused=True).stderr
    assert "spec.attempt: 2 is less than before; must be at least 3" in message


def test_a_status_write_cannot_change_the_spec_and_a_spec_write_not_the_status(claimed: Object) -> None:
    patch(claimed, {"spec": {"attempt": 9}, "status": {"epoch": 4}}, "--subresource=status")
    patch(claimed, {"spec": {"suspend": True}, "status": {"epoch": 5}})
    found = get(claimed)
    assert (found["spec"]["attempt"], found["status"]["epoch"]) == (1, 4)


def test_columns_show_what_people_look_for(claimed: Object) -> None:
    now = "2026-11-20T08:12:00Z"
    status = {
        "display": {"ratio": "25%", "observed": "31h/48h", "progress": "41%"},
        "observation": {"verdict": "Pass"},
        "message": "Expand: waiting for 17 h more of good time",
        "conditions": [
            {
                **{"type": "Ready", "status": "True", "reason": "Observing", "message": "on course"},
                **{"observedGeneration": 1, "lastTransitionTime": now},
            }
        ],
    }
    patch(claimed, {"status": status}, "--subresource=status")
    metadata = claimed["metadata"]
    header, row = done("get", "mmig", metadata["name"], "-n", metadata["namespace"]).splitlines()
    columns = ("name", "phase", "ratio", "observed", "verdict", "progress", "ready", "message", "age")
    assert header.lower().split() == list(columns)
    for shown in ("Expand", "25%", "31h/48h", "Pass", "41%", "True", "waiting for 17 h more"):
        assert shown in row


def test_fields_are_explained(namespace: str) -> None:
    assert namespace
    text = done("explain", "metadatamigrations.spec.gates.evidence.confidencePercent")
    assert "Clopper-Pearson" in text
