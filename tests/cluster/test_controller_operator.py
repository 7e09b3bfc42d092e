"""The operator's process against a real API server, with the chart's rights and the real core.

There is no node here: pods never run, so a migration gets as far as its target allows. What is tested is
the process: it claims, refuses, survives, writes no more than needed, and lets go.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.cluster

Object = dict[str, Any]
PATIENCE_SECONDS = 60.0


def deployment(namespace: str, **spec: Any) -> Object:
    mount = {"name": "data", "mountPath": "/data"}
    claim = {"name": "data", "persistentVolumeClaim": {"claimName": "drive"}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "rustfs", "namespace": namespace},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "rustfs"}},
            "strategy": {"type": "Recreate"},
            "template": {
                "metadata": {"labels": {"app": "rustfs"}},
                "spec": {
                    "containers": [{"name": "rustfs", "image": "rustfs:1", "volumeMounts": [mount]}],
                    "volumes": [claim],
                },
            },
            **spec,
        },
    }


def claim(namespace: str, name: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }


def secret(namespace: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "ack", "namespace": namespace},
        "stringData": {"token": "secret"},
    }


def migration(namespace: str, name: str = "m", **spec: Any) -> Object:
    return {
        "apiVersion": "dualtrack.rustfs.com/v1alpha1",
        "kind": "MetadataMigration",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "target": {
                "name": "rustfs",
                "containerName": "rustfs",
                "acknowledgement": {"secretRef": {"name": "ack"}},
            },
            "drives": [{"name": "data", "mountPath": "/data"}],
            "prometheus": {"address": "http://127.0.0.1:9"},
            "validation": {"policy": "Skip", "skipReason": "a test"},
            "completing": {"snapshotClaimName": "snapshot"},
            **spec,
        },
    }


def scene(namespace: str, **target: Any) -> list[Object]:
    return [
        deployment(namespace, **target),
        claim(namespace, "drive"),
        claim(namespace, "snapshot"),
        secret(namespace),
    ]


class World:
    """What the tests look at, with waiting."""

    def __init__(self, admin: Any, namespace: str, until: Callable[..., Any]) -> None:
        self.admin = admin
        self.namespace = namespace
        self.until = until

    def apply(self, *manifests: Object) -> None:
        self.admin("apply", "-f", "-", given=list(manifests))

    def status(self, name: str = "m") -> Object:
        found = self.admin.get("mmig", name, self.namespace) or {}
        status: Object = found.get("status") or {}
        return status

    def version(self, name: str = "m") -> str:
        return str(self.admin.get("mmig", name, self.namespace)["metadata"]["resourceVersion"])

    def leases(self) -> list[Object]:
        found: list[Object] = self.admin.items("lease", self.namespace)
        return found

    def claimed(self, name: str = "m") -> Object:
        """Wait for the claim to be on record; gives the Lease."""
        self.until("the claim recorded", lambda: (self.status(name).get("target") or {}).get("leaseName"))
        (lease,) = self.leases()
        return lease

    def condition(self, kind: str, name: str = "m") -> Object:
        found = [c for c in self.status(name).get("conditions") or () if c["type"] == kind]
        return found[0] if found else {}

    def settled(self, name: str = "m") -> str:
        """Wait until several passes have left the object alone; gives its version."""

        def quiet() -> str | None:
            before = self.version(name)
            self.poke()
            self.poke()
            return before if self.version(name) == before else None

        return str(self.until("a status that does not change", quiet))

    def poke(self) -> None:
        """Change the target where it does not matter, and wait for the pass that this wakes."""
        before = self.passes()
        value = json.dumps({"metadata": {"annotations": {"poke": str(before)}}})
        self.admin("patch", "deployment", "rustfs", "-n", self.namespace, "--type=merge", "-p", value)
        self.until("a pass after a poke", lambda: self.passes() > before)

    passes: Callable[[], float]


@pytest.fixture
def world(admin: Any, namespace: str, operator: Any) -> World:
    from_conftest = operator.until
    found = World(admin, namespace, from_conftest)
    found.passes = lambda: operator.metric("dualtrack_reconcile_passes_total", namespace=namespace)
    return found


def test_it_claims_the_target_and_says_so(world: World) -> None:
    world.apply(*scene(world.namespace), migration(world.namespace))
    lease = world.claimed()
    found = world.admin.get("mmig", "m", world.namespace)
    assert lease["spec"]["holderIdentity"] == found["metadata"]["uid"]
    assert lease["metadata"]["ownerReferences"][0]["uid"] == found["metadata"]["uid"]
    assert found["metadata"]["finalizers"] == ["dualtrack.rustfs.com/operator"]
    assert "annotations" not in found["metadata"] or not [
        key for key in found["metadata"]["annotations"] if "kopf" in key or "last-handled" in key
    ]
    target = world.admin.get("deployment", "rustfs", world.namespace)
    assert found["status"]["target"]["uid"] == target["metadata"]["uid"]
    assert found["status"]["message"]
    rows = world.admin("get", "mmig", "-n", world.namespace)
    assert found["status"]["phase"] in rows


def test_a_target_that_does_not_exist_is_named_and_taken_up_when_it_comes(world: World) -> None:
    world.apply(migration(world.namespace))
    world.until("stalled", lambda: world.condition("Stalled").get("status") == "True")
    assert f"Deployment {world.namespace}/rustfs does not exist; create it" in world.status()["message"]
    assert world.condition("Ready")["status"] == "False"
    assert world.leases() == []
    world.apply(*scene(world.namespace))
    world.claimed()


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ({"replicas": 2}, ("spec.replicas", "2")),
        ({"strategy": {"type": "RollingUpdate"}}, ("spec.strategy", "Recreate")),
        ({"paused": True}, ("spec.paused",)),
    ],
)
def test_a_target_that_cannot_be_switched_safely_is_refused_by_name(
    world: World, target: Object, words: tuple[str, ...]
) -> None:
    world.apply(*scene(world.namespace, **target), migration(world.namespace))
    world.until("stalled", lambda: world.condition("Stalled").get("status") == "True")
    for word in words:
        assert word in world.status()["message"]
    environment = world.admin.get("deployment", "rustfs", world.namespace)
    assert "env" not in environment["spec"]["template"]["spec"]["containers"][0]


def test_a_second_migration_on_the_target_is_told_who_has_it(world: World) -> None:
    world.apply(*scene(world.namespace), migration(world.namespace))
    holder = world.claimed()["spec"]["holderIdentity"]
    world.apply(migration(world.namespace, "second"))
    world.until("the second stalled", lambda: world.condition("Stalled", "second").get("status") == "True")
    assert holder in world.status("second")["message"]
    assert world.condition("Stalled", "second")["reason"] == "ClaimedByAnother"
    world.admin("delete", "mmig", "m", "-n", world.namespace, "--timeout=60s")
    world.claimed("second")


def test_nothing_is_written_while_nothing_changes(world: World, operator: Any) -> None:
    world.apply(migration(world.namespace), deployment(world.namespace, replicas=2))
    world.until("stalled", lambda: world.condition("Stalled").get("status") == "True")
    version = world.settled()
    written = operator.metric("dualtrack_status_writes_total", namespace=world.namespace)
    for _ in range(5):
        world.poke()
    assert world.version() == version
    assert operator.metric("dualtrack_status_writes_total", namespace=world.namespace) == written


def test_killed_anywhere_it_goes_on_as_before(world: World, operator: Any) -> None:
    world.apply(*scene(world.namespace), migration(world.namespace))
    lease = world.claimed()
    operator.kill()
    before = world.status()
    world.admin("patch", "deployment", "rustfs", "-n", world.namespace, "-p", '{"spec": {"replicas": 2}}')
    operator.start()
    (again,) = world.leases()
    assert again["metadata"]["uid"] == lease["metadata"]["uid"]
    world.poke()
    after = world.status()
    for field in ("attempt", "epoch", "fence", "target"):
        assert (after.get(field) or {}) == (before.get(field) or {}) or field == "target"
    assert after["target"]["uid"] == before["target"]["uid"]


def test_killed_while_starting_up_again_and_again_it_claims_once(world: World, operator: Any) -> None:
    world.apply(*scene(world.namespace), migration(world.namespace))
    for _ in range(3):
        operator.kill()
        operator.start()
    lease = world.claimed()
    assert lease["spec"]["holderIdentity"] == world.admin.get("mmig", "m", world.namespace)["metadata"]["uid"]


def test_two_operators_at_once_do_no_harm(world: World, release: str, new_operator: Any) -> None:
    second = new_operator(release, home=release)
    second.start()
    world.apply(*scene(world.namespace), migration(world.namespace))
    world.claimed()
    (lease,) = world.leases()
    assert lease["spec"]["holderIdentity"]
    world.settled()
    reasons = [event["reason"] for event in world.admin.items("events.events.k8s.io", world.namespace)]
    assert "Claimed" not in reasons or reasons.count("Claimed") <= 2


def test_a_deleted_migration_goes_and_leaves_nothing_of_itself(world: World, operator: Any) -> None:
    world.apply(*scene(world.namespace), migration(world.namespace))
    world.claimed()
    assert operator.metric("dualtrack_migration_info", namespace=world.namespace, name="m") == 1
    before = world.admin.get("deployment", "rustfs", world.namespace)["spec"]
    world.admin("delete", "mmig", "m", "-n", world.namespace, "--timeout=60s")
    assert world.leases() == []
    assert world.admin.get("deployment", "rustfs", world.namespace)["spec"] == before

    def forgotten() -> bool:
        text = operator.fetch(operator.metrics_port, "/metrics")[1]
        return f'namespace="{world.namespace}"' not in text

    world.until("no series left", forgotten)


def test_a_migration_deleted_while_the_operator_is_away_goes_when_it_is_back(
    world: World, operator: Any
) -> None:
    world.apply(*scene(world.namespace), migration(world.namespace))
    world.claimed()
    operator.kill()
    world.admin("delete", "mmig", "m", "-n", world.namespace, "--wait=false")
    assert world.admin.get("mmig", "m", world.namespace) is not None
    operator.start()
    world.until("gone", lambda: world.admin.get("mmig", "m", world.namespace) is None)


def test_it_lives_is_ready_and_ends_when_told_to(operator: Any) -> None:
    assert operator.fetch(operator.liveness_port, "/healthz")[0] == 200
    assert operator.fetch(operator.metrics_port, "/readyz")[0] == 200
    assert operator.stop() == 0
    lines = [json.loads(line) for line in operator.log.read_text().splitlines() if line.strip()]
    assert {"starting", "ready"} <= {line.get("message") for line in lines}


def test_without_its_rights_it_does_not_start_and_says_which(
    admin: Any, namespace: str, new_operator: Callable[..., Any]
) -> None:
    admin("create", "serviceaccount", "poor", "-n", namespace)
    operator = new_operator("poor")
    operator.start(ready=False)
    assert operator.process.wait(timeout=PATIENCE_SECONDS) == 40
    operator.process = None
    text = operator.log.read_text()
    assert f"patch deployments.apps in namespace {namespace}" in text
    assert f"create leases.coordination.k8s.io in namespace {namespace}" in text
