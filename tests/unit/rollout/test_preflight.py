"""What cannot be switched safely is refused by field, value and remedy, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from outside import Operator, World, deployment, world

Change = Callable[[World], Any]


def pod_spec(outside: World) -> dict[str, Any]:
    assert outside.deployment is not None
    found: dict[str, Any] = outside.deployment["spec"]["template"]["spec"]
    return found


def set_spec(**changes: Any) -> Change:
    return lambda w: w.deployment["spec"].update(changes)  # type: ignore[index]


def mount(**changes: Any) -> Change:
    return lambda w: pod_spec(w)["containers"][0]["volumeMounts"][0].update(changes)


REFUSED: dict[str, tuple[Change, str]] = {
    "replicas": (set_spec(replicas=2), "spec.replicas: 2"),
    "surge": (set_spec(strategy={"type": "RollingUpdate"}), "maxSurge 25%"),
    "surge of one": (
        set_spec(strategy={"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}),
        "maxSurge 1",
    ),
    "paused": (set_spec(paused=True), "spec.paused: true"),
    "container": (
        lambda w: pod_spec(w)["containers"][0].update(name="other"),
        "spec.target.containerName: rustfs is no container",
    ),
    "mount path": (mount(mountPath="/other"), "spec.drives[data].mountPath: /data is not mounted"),
    "read-only": (mount(readOnly=True), "is mounted read-only"),
    "sub path expression": (mount(subPathExpr="$(POD)"), "subPathExpr"),
    "no claim": (
        lambda w: pod_spec(w)["volumes"][0].update(persistentVolumeClaim=None, emptyDir={}),
        "is not on a PersistentVolumeClaim",
    ),
    "one pod only": (lambda w: setattr(w, "access_modes", ("ReadWriteOncePod",)), "ReadWriteOncePod"),
    "user": (lambda w: pod_spec(w).pop("securityContext"), "securityContext.runAsUser: absent"),
    "autoscaler": (
        lambda w: w.autoscalers.append(
            {
                "metadata": {"name": "hpa"},
                "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "rustfs"}},
            }
        ),
        "HorizontalPodAutoscaler hpa",
    ),
    "second workload": (
        lambda w: w.other_users.append(
            {
                "metadata": {"name": "backup", "uid": "x"},
                "spec": {"volumes": [{"persistentVolumeClaim": {"claimName": "rustfs-data"}}]},
                "status": {"phase": "Running"},
            }
        ),
        "Pod backup: uses the drive's PersistentVolumeClaim too",
    ),
    "value from": (
        lambda w: pod_spec(w)["containers"][0]["env"].append(
            {"name": "RUSTFS_METADATA_ENGINE", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}}
        ),
        "RUSTFS_METADATA_ENGINE: has valueFrom",
    ),
    "another manager": (
        lambda w: pod_spec(w)["containers"][0]["env"].append(
            {"name": "RUSTFS_FALLBACK_TO_FS", "value": "true"}
        ),
        "RUSTFS_FALLBACK_TO_FS: is set to 'true' by an unknown manager",
    ),
    "no metrics": (lambda w: w.series.clear(), "Prometheus has no rustfs_dual_track_info"),
    "threshold": (
        lambda w: w.migration["spec"]["gates"][1]["args"][1].update(value="99"),
        "99 is no bucket boundary of rustfs_put_object_latency_ms; must be one of 100",
    ),
    "gate without series": (
        lambda w: [w.series.pop(k) for k in list(w.series) if "consistency" in dict(k)["__name__"]],
        "spec.gates[consistency]",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_name_and_nothing_is_changed(case: str) -> None:
    change, message = REFUSED[case]
    outside = world()
    change(outside)
    if case in ("no metrics", "gate without series"):
        outside.scraping = False
    operator = Operator(outside)
    operator.pass_time(90)
    assert operator.place == "Validating/Preflight"
    assert operator.condition("Stalled")["reason"] == "PreflightRefused"
    assert operator.condition("Ready")["status"] == "False"
    assert message in operator.status["message"]
    assert outside.environments == []
    assert outside.created_jobs == []


def test_correcting_the_target_is_all_that_is_needed() -> None:
    outside = world()
    set_spec(replicas=2)(outside)
    operator = Operator(outside)
    operator.pass_time(60)
    set_spec(replicas=1)(outside)
    operator.run("Canary/")


def test_prometheus_away_waits_without_refusing() -> None:
    outside = world()
    outside.prometheus_up = False
    operator = Operator(outside)
    operator.pass_time(90)
    assert operator.place == "Validating/Preflight"
    assert operator.condition("MetricsAvailable")["reason"] == "PrometheusUnreachable"
    assert operator.condition("Stalled")["status"] == "False"
    outside.prometheus_up = True
    operator.run("Canary/")


def test_existing_variables_may_be_taken_over() -> None:
    outside = world()
    outside.migration["spec"]["target"]["existingEnv"] = "TakeOver"
    outside.deployment = deployment({"RUSTFS_FALLBACK_TO_FS": "true", "RUSTFS_DUAL_TRACK_EPOCH": "7"})
    operator = Operator(outside)
    operator.run("Canary/WarmUp")
    assert outside.environments[-1]["RUSTFS_DUAL_TRACK_EPOCH"] == "8"


def test_variables_left_by_an_earlier_migration_are_ours() -> None:
    outside = world()
    outside.deployment = deployment({"RUSTFS_FALLBACK_TO_FS": "true"})
    path: Any = {'k:{"name":"RUSTFS_FALLBACK_TO_FS"}': {".": {}}}
    for part in ("f:env", 'k:{"name":"rustfs"}', "f:containers", "f:spec", "f:template", "f:spec"):
        path = {part: path}
    outside.deployment["metadata"]["managedFields"] = [{"manager": "dualtrack", "fieldsV1": path}]
    Operator(outside).run("Canary/WarmUp")


def test_coverage_that_was_not_run_passes_only_by_the_explicit_opt_out() -> None:
    outside = world()
    outside.migration["spec"]["validation"] = {"policy": "Required"}
    operator = Operator(outside)
    operator.pass_time(300)
    assert operator.place == "Validating/Coverage"
    assert operator.status["validation"]["state"] == "NotRun"
    assert operator.condition("Stalled")["reason"] == "CoverageNotRun"
    outside.migration["spec"]["validation"] = {"policy": "Skip", "skipReason": "done by hand"}
    operator.run("Canary/")
    assert operator.status["validation"]["state"] == "Skipped"


def test_a_spec_that_cannot_be_accepted_changes_nothing_and_says_all_of_it() -> None:
    outside = world()
    operator = Operator(outside)
    operator.run("Canary/Observing")
    outside.migration["spec"]["gates"][0]["max"] = "lots"
    outside.migration["spec"]["goal"] = "Mirror"
    before = dict(operator.status)
    operator.pass_time(60)
    assert operator.condition("Stalled")["reason"] == "InvalidSpec"
    assert "spec.gates[error-rate].max" in operator.status["message"]
    assert operator.status["step"] == before["step"]
    assert operator.status["observation"] == before["observation"]


def test_a_dry_run_acts_on_nothing_and_tells_the_way() -> None:
    outside = world()
    outside.migration["spec"]["mode"] = "DryRun"
    operator = Operator(outside)
    operator.pass_time(200)
    assert outside.lease is None
    assert outside.created_jobs == []
    assert outside.environments == []
    assert outside.events == []
    assert "Canary: fs/0.05/true" in operator.status["message"]
    assert "CutOver (Manual)" in operator.status["message"]
    set_spec(replicas=3)(outside)
    operator.pass_time(60)
    assert "would be refused" in operator.status["message"]


@pytest.mark.parametrize("policy", ["Keep", "Rollback"])
def test_deletion(policy: str) -> None:
    outside = world()
    outside.migration["spec"]["deletionPolicy"] = policy
    operator = Operator(outside)
    operator.run("Canary/Observing")
    outside.migration["metadata"]["deletionTimestamp"] = "2027-01-15T09:00:00Z"
    for _ in range(200):
        if operator.step().done:
            break
        outside.advance(3)
    assert operator.last is not None
    assert operator.last.done
    assert outside.lease is None
    ratio = outside.environments[-1]["RUSTFS_DUAL_TRACK_RATIO"]
    assert ratio == ("0.05" if policy == "Keep" else "0")


def test_deletion_ends_when_the_target_is_gone() -> None:
    outside = world()
    outside.migration["spec"]["deletionPolicy"] = "Rollback"
    operator = Operator(outside)
    operator.run("Canary/Observing")
    outside.migration["metadata"]["deletionTimestamp"] = "2027-01-15T09:00:00Z"
    outside.deployment = None
    assert operator.step().done
