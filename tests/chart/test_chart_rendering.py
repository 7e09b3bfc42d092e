"""What the chart installs: hardened, with the fewest rights, the same as the code and the CRD say."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_python import HelmError, lint
from syrupy.assertion import SnapshotAssertion

from dualtrack.adapters.kinds import KINDS
from dualtrack.controller.access import RULES

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]

ROOT = Path(__file__).resolve().parents[2]
CRD = ROOT / "crds" / "dualtrack.rustfs.com_metadatamigrations.yaml"
ALL_ON: dict[str, Any] = {
    "image": {"repository": "registry.example/dualtrack", "digest": "sha256:" + "a" * 64},
    "imagePullSecrets": [{"name": "pull"}],
    "watch": {"namespaces": ["storage", "archive"]},
    "prometheus": {"allowedAddresses": ["http://prometheus.monitoring:9090", "https://thanos/tenant/a"]},
    "jobs": {
        "image": "registry.example/engine:2",
        "serviceAccount": {"imagePullSecrets": [{"name": "pull"}]},
    },
    "operator": {"extraArgs": ["--debug"], "extraEnv": [{"name": "TZ", "value": "UTC"}]},
    "nodeSelector": {"role": "infra"},
    "tolerations": [{"key": "infra", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "networkPolicy": {"enabled": True},
    "serviceMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True, "runbookUrl": "https://example.org/alerts"},
    "dashboard": {"enabled": True},
}


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def pod_of(manifests: list[Manifest]) -> Manifest:
    (deployment,) = of_kind(manifests, "Deployment")
    pod: Manifest = deployment["spec"]["template"]["spec"]
    return pod


def granted(role: Manifest) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


ASKED_FOR = {(rule.group, rule.resource, verb) for rule in RULES for verb in rule.verbs}


def test_the_operator_is_granted_what_it_asks_for_at_start(render: Render) -> None:
    (role,) = (r for r in of_kind(render(), "ClusterRole") if r["metadata"]["name"] == "dualtrack")
    assert granted(role) == ASKED_FOR


def test_watching_namespaces_grants_nothing_elsewhere(render: Render) -> None:
    manifests = render({"watch": {"namespaces": ["storage", "archive"]}, "rbac": {"userRoles": False}})
    assert of_kind(manifests, "ClusterRole") == of_kind(manifests, "ClusterRoleBinding") == []
    roles = of_kind(manifests, "Role")
    assert [role["metadata"]["namespace"] for role in roles] == ["storage", "archive"]
    assert all(granted(role) == ASKED_FOR for role in roles)
    for binding in of_kind(manifests, "RoleBinding"):
        assert binding["subjects"] == [
            {"kind": "ServiceAccount", "name": "dualtrack", "namespace": "dualtrack-system"}
        ]


def test_every_kind_that_is_handled_is_granted() -> None:
    resources = {(rule.group, rule.resource) for rule in RULES}
    assert {(kind.group, kind.plural) for kind in KINDS} <= resources


@pytest.mark.parametrize("values", [None, ALL_ON], ids=["defaults", "all-on"])
def test_no_role_has_a_wildcard_and_only_people_may_approve(render: Render, values: Manifest | None) -> None:
    manifests = render(values)
    for role in [*of_kind(manifests, "ClusterRole"), *of_kind(manifests, "Role")]:
        rights = granted(role)
        assert not [right for right in rights if "*" in right]
        approves = any(verb == "approve" for _, _, verb in rights)
        assert approves is role["metadata"]["name"].endswith("-approver")
        if approves:
            assert not [key for key in role["metadata"]["labels"] if "aggregate-to" in key]


def test_the_jobs_account_is_bound_to_nothing(render: Render) -> None:
    manifests = render(ALL_ON)
    accounts = [a for a in of_kind(manifests, "ServiceAccount") if a["metadata"]["name"] == "dualtrack-job"]
    assert {a["metadata"]["namespace"] for a in accounts} == {"dualtrack-system", "storage", "archive"}
    assert not any(a["automountServiceAccountToken"] for a in accounts)
    bindings = [*of_kind(manifests, "RoleBinding"), *of_kind(manifests, "ClusterRoleBinding")]
    assert "dualtrack-job" not in {subject["name"] for b in bindings for subject in b["subjects"]}


def test_the_pod_is_hardened(render: Render) -> None:
    pod = pod_of(render())
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert container["resources"]["requests"]
        assert container["resources"]["limits"]
        ports = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert container[probe]["httpGet"]["port"] in ports


def test_two_operators_are_never_wanted_at_once(render: Render) -> None:
    (deployment,) = of_kind(render(), "Deployment")
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}


def test_the_crd_is_the_generated_one_and_is_kept(render: Render) -> None:
    assert (ROOT / "charts/dualtrack/files/crd.yaml").read_text() == CRD.read_text()
    (crd,) = of_kind(render(), "CustomResourceDefinition")
    assert crd["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert crd == yaml.safe_load(CRD.read_text())
    assert of_kind(render({"crds": {"enabled": False}}), "CustomResourceDefinition") == []
    (bare,) = of_kind(render({"crds": {"keep": False}}), "CustomResourceDefinition")
    assert bare == yaml.safe_load(CRD.read_text())


def test_generated_files_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "hack/manifests.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_digest_goes_before_a_tag_and_jobs_take_the_operators_image(render: Render) -> None:
    values = {"image": {"repository": "r", "tag": "t"}}
    assert pod_of(render(values))["containers"][0]["image"] == "r:t"
    digest = "sha256:" + "b" * 64
    container = pod_of(render({"image": {**values["image"], "digest": digest}}))["containers"][0]
    assert container["image"] == f"r@{digest}"
    env = {item["name"]: item.get("value") for item in container["env"]}
    assert env["DUALTRACK_IMAGE"] == f"r@{digest}"


def test_what_is_optional_is_off(render: Render) -> None:
    kinds = {manifest["kind"] for manifest in render()}
    assert kinds.isdisjoint({"NetworkPolicy", "ServiceMonitor", "PrometheusRule", "ConfigMap"})


@pytest.mark.parametrize(
    "values",
    [
        {"watch": {"namespace": ["storage"]}},
        {"image": {"pullPolicy": "Sometimes"}},
        {"image": {"digest": "sha256:short"}},
        {"prometheus": {"allowedAddresses": ["prometheus:9090"]}},
        {"prometheus": {"allowedAddresses": ["http://user:secret@prometheus:9090"]}},
        {"replicas": 2},
        {"operator": {"extraArgs": "--debug"}},
    ],
)
def test_a_wrong_value_is_refused(render: Render, values: Manifest) -> None:
    with pytest.raises(HelmError):
        render(values)


def test_helm_finds_nothing_to_complain_about() -> None:
    report = lint(str(ROOT / "charts/dualtrack"), ALL_ON, strict=True)
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > 1] == []


def test_everything_switched_on(render: Render, snapshot: SnapshotAssertion) -> None:
    manifests = [m for m in render(ALL_ON) if m["kind"] not in ("CustomResourceDefinition", "ConfigMap")]
    assert yaml.safe_dump_all(manifests, sort_keys=True, width=110) == snapshot
