"""The gateway and the loop's writes against a real API server: what is refused, what is not written."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from dualtrack.adapters.acknowledgement import PATH
from dualtrack.adapters.kinds import DEPLOYMENT, EVENT, JOB, LEASE, MIGRATION
from dualtrack.adapters.kubernetes import (
    AlreadyExists,
    Conflict,
    Invalid,
    KubernetesGateway,
    NotFound,
    Unavailable,
    connect,
)
from dualtrack.controller.act import execute
from dualtrack.controller.metrics import OperatorMetrics
from dualtrack.controller.reconcile import Core, PassError, Reconciler
from dualtrack.rollout.decision import Action, Apply, Create, Decision, Delete, Event, MergePatch
from dualtrack.rollout.world import Installation, Observation, Query, QueryFailure

pytestmark = pytest.mark.cluster

Object = dict[str, Any]


def deployment(namespace: str, name: str = "rustfs") -> Object:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"type": "Recreate"},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "containers": [
                        {"name": "rustfs", "image": "rustfs:1", "env": [{"name": "A", "value": "1"}]}
                    ]
                },
            },
        },
    }


def migration(namespace: str, name: str = "m") -> Object:
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
        },
    }


def env_intent(namespace: str, uid: str, value: str) -> Object:
    env = [{"name": "RUSTFS_DUAL_TRACK_RATIO", "value": value}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "rustfs", "namespace": namespace, "uid": uid},
        "spec": {"template": {"spec": {"containers": [{"name": "rustfs", "env": env}]}}},
    }


def lease(namespace: str, holder: str) -> Object:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "claim", "namespace": namespace},
        "spec": {"holderIdentity": holder},
    }


@pytest.fixture
async def gateway(admin: Any, release: str) -> AsyncIterator[KubernetesGateway]:
    assert release
    async with await connect(str(admin.kubeconfig)) as gateway:
        yield gateway


async def test_applying_our_variable_leaves_the_rest_alone(
    gateway: KubernetesGateway, namespace: str
) -> None:
    made = await gateway.create(deployment(namespace))
    await gateway.apply(env_intent(namespace, made["metadata"]["uid"], "0.05"))
    again = await gateway.apply(env_intent(namespace, made["metadata"]["uid"], "0.05"))
    (container,) = again["spec"]["template"]["spec"]["containers"]
    assert {item["name"]: item["value"] for item in container["env"]} == {
        "A": "1",
        "RUSTFS_DUAL_TRACK_RATIO": "0.05",
    }
    assert container["image"] == "rustfs:1"
    assert again["metadata"]["generation"] == 2


async def test_a_workload_that_is_gone_or_made_anew_is_not_touched(
    gateway: KubernetesGateway, namespace: str
) -> None:
    decided_about = env_intent(namespace, str(uuid.uuid4()), "0.05")
    with pytest.raises(Conflict):
        await gateway.apply(decided_about, force=True)
    assert await gateway.list_all(DEPLOYMENT, namespace) == []
    await gateway.create(deployment(namespace))
    with pytest.raises(Conflict, match="uid"):
        await gateway.apply(decided_about, force=True)


async def test_another_managers_field_is_a_conflict_unless_forced(
    gateway: KubernetesGateway, admin: Any, namespace: str
) -> None:
    made = await gateway.create(deployment(namespace))
    uid = made["metadata"]["uid"]
    theirs = env_intent(namespace, uid, "0.5")
    admin("apply", "--server-side", "--field-manager=gitops", "-f", "-", given=theirs)
    with pytest.raises(Conflict, match="gitops"):
        await gateway.apply(env_intent(namespace, uid, "0.05"))
    await gateway.apply(env_intent(namespace, uid, "0.05"), force=True)


async def test_errors_are_told_apart(gateway: KubernetesGateway, namespace: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="absent"):
        await gateway.get(DEPLOYMENT, namespace, "absent")
    await gateway.create(lease(namespace, "a"))
    with pytest.raises(AlreadyExists):
        await gateway.create(lease(namespace, "b"))
    wrong = deployment(namespace, "other")
    wrong["spec"]["template"]["spec"]["containers"][0]["image"] = ""
    with pytest.raises(Invalid, match="image"):
        await gateway.create(wrong)
    present = await gateway.get(LEASE, namespace, "claim")
    with pytest.raises(Conflict):
        await gateway.delete(LEASE, namespace, "claim", uid=str(uuid.uuid4()))
    with pytest.raises(Conflict):
        await gateway.merge_patch(LEASE, namespace, "claim", {"spec": {}}, uid=str(uuid.uuid4()))
    await gateway.delete(LEASE, namespace, "claim", uid=present["metadata"]["uid"])
    assert await gateway.list_all(LEASE, namespace) == []
    nobody = tmp_path / "kubeconfig"
    nobody.write_text(
        "{apiVersion: v1, kind: Config, current-context: c, clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}],"
        " contexts: [{name: c, context: {cluster: c, user: u}}], users: [{name: u, user: {}}]}"
    )
    async with await connect(str(nobody)) as away:
        with pytest.raises(Unavailable):
            await away.get(DEPLOYMENT, namespace, "rustfs")


async def test_long_lists_come_whole_and_with_their_kind(
    gateway: KubernetesGateway, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dualtrack.adapters.kubernetes.PAGE_SIZE", 2)
    for number in range(5):
        one = lease(namespace, "a")
        one["metadata"]["name"] = f"claim-{number}"
        one["metadata"]["labels"] = {"even": str(number % 2 == 0).lower()}
        await gateway.create(one)
    assert len(await gateway.list_all(LEASE, namespace)) == 5
    found = await gateway.list_all(LEASE, namespace, "even=true")
    assert [item["metadata"]["name"] for item in found] == ["claim-0", "claim-2", "claim-4"]
    assert {(item["apiVersion"], item["kind"]) for item in found} == {("coordination.k8s.io/v1", "Lease")}


async def test_actions_may_be_executed_twice(gateway: KubernetesGateway, namespace: str) -> None:
    create = Create(lease(namespace, "me"))
    await execute(gateway, create)
    await execute(gateway, create)
    found = await gateway.get(LEASE, namespace, "claim")
    uid = found["metadata"]["uid"]
    with pytest.raises(Conflict, match="not ours"):
        await execute(gateway, Create(lease(namespace, "another")))
    patch = MergePatch(
        "coordination.k8s.io/v1", "Lease", namespace, "claim", uid, {"spec": {"holderIdentity": "x"}}
    )
    await execute(gateway, patch)
    await execute(gateway, patch)
    assert (await gateway.get(LEASE, namespace, "claim"))["spec"]["holderIdentity"] == "x"
    delete = Delete("coordination.k8s.io/v1", "Lease", namespace, "claim", uid)
    await execute(gateway, delete)
    await execute(gateway, delete)
    await execute(gateway, create)
    await execute(gateway, delete)
    assert (await gateway.get(LEASE, namespace, "claim"))["spec"]["holderIdentity"] == "me"


class Script:
    """A core that decides what a test has written down, one decision a pass; the last one again and again."""

    def __init__(self, *decisions: Decision) -> None:
        self.decisions = list(decisions)
        self.seen: list[Observation] = []

    def decide(self, seen: Observation) -> Decision:
        self.seen.append(seen)
        return self.decisions.pop(0) if len(self.decisions) > 1 else self.decisions[0]


def status(phase: str, message: str = "waiting") -> Object:
    return {"phase": phase, "message": message}


def reconciler(gateway: KubernetesGateway, script: Script) -> tuple[Reconciler, OperatorMetrics]:
    metrics = OperatorMetrics()
    installation = Installation("image", "Never", "dualtrack-job", "0")
    core = Core(decide=script.decide, queries=lambda *_: ())
    return Reconciler(gateway, installation, core, metrics, identity="test"), metrics


def counted(metrics: OperatorMetrics, name: str) -> float:
    return sum(s.value for family in metrics.registry.collect() for s in family.samples if s.name == name)


async def test_an_unchanged_status_is_written_once(gateway: KubernetesGateway, namespace: str) -> None:
    await gateway.create(migration(namespace))
    loop, metrics = reconciler(gateway, Script(Decision(status("Pending"))))
    await loop.once(namespace, "m")
    version = (await gateway.get(MIGRATION, namespace, "m"))["metadata"]["resourceVersion"]
    for _ in range(5):
        await loop.once(namespace, "m")
    found = await gateway.get(MIGRATION, namespace, "m")
    assert found["metadata"]["resourceVersion"] == version
    assert found["status"] == status("Pending")
    assert counted(metrics, "dualtrack_status_writes_total") == 1
    another, fresh = reconciler(gateway, Script(Decision(status("Pending"))))
    await another.once(namespace, "m")
    assert counted(fresh, "dualtrack_status_writes_total") == 0


async def test_fields_that_a_status_no_longer_has_are_removed(
    gateway: KubernetesGateway, namespace: str
) -> None:
    await gateway.create(migration(namespace))
    script = Script(Decision({**status("Pending"), "epoch": 3}), Decision(status("Validating")))
    loop, _ = reconciler(gateway, script)
    await loop.once(namespace, "m")
    await loop.once(namespace, "m")
    assert (await gateway.get(MIGRATION, namespace, "m"))["status"] == status("Validating")


async def test_a_status_decided_from_an_older_version_is_not_written(
    gateway: KubernetesGateway, admin: Any, namespace: str
) -> None:
    await gateway.create(migration(namespace))

    class Meddled(Script):
        def decide(self, seen: Observation) -> Decision:
            if not self.seen:
                admin("annotate", "mmig", "m", "-n", namespace, "somebody=else")
            return super().decide(seen)

    event = Event("Normal", "PhaseBegun", "Validating has begun")
    loop, metrics = reconciler(
        gateway, Meddled(Decision(status("Validating"), (event,)), Decision(status("Canary")))
    )
    outcome = await loop.once(namespace, "m")
    assert outcome.delay_seconds <= 1
    assert "status" not in await gateway.get(MIGRATION, namespace, "m")
    assert counted(metrics, "dualtrack_status_writes_total") == 0
    assert await events(gateway, namespace) == []
    await loop.once(namespace, "m")
    assert (await gateway.get(MIGRATION, namespace, "m"))["status"] == status("Canary")
    assert await events(gateway, namespace) == ["PhaseBegun"]


async def events(gateway: KubernetesGateway, namespace: str) -> list[str]:
    found = await gateway.list_all(EVENT, namespace)
    return [item["reason"] for item in found if item.get("reportingController", "").startswith("dualtrack.")]


async def test_an_event_is_told_once_however_often_the_pass_is_made(
    gateway: KubernetesGateway, namespace: str
) -> None:
    await gateway.create(migration(namespace))
    long = "ö" * 3000
    loop, _ = reconciler(gateway, Script(Decision(status("Pending"), (Event("Warning", "Paused", long),))))
    await loop.once(namespace, "m")
    await loop.once(namespace, "m")
    await loop.once(namespace, "m")
    assert (await events(gateway, namespace)).count("Paused") <= 2
    (first, *_) = [i for i in await gateway.list_all(EVENT, namespace) if i["reason"] == "Paused"]
    assert first["regarding"]["name"] == "m"
    assert len(first["note"].encode()) <= 1024


async def test_a_failed_action_ends_the_pass_and_is_seen_by_the_next(
    gateway: KubernetesGateway, namespace: str
) -> None:
    await gateway.create(migration(namespace))
    actions: tuple[Action, ...] = (
        Create(lease(namespace, "me")),
        Apply(env_intent(namespace, str(uuid.uuid4()), "0.05")),
        Create({**lease(namespace, "me"), "metadata": {"name": "never", "namespace": namespace}}),
    )
    script = Script(Decision(status("Canary"), actions), Decision(status("Pending")))
    loop, _ = reconciler(gateway, script)
    with pytest.raises(PassError, match="Apply Deployment"):
        await loop.once(namespace, "m")
    assert "status" not in await gateway.get(MIGRATION, namespace, "m")
    assert [item["metadata"]["name"] for item in await gateway.list_all(LEASE, namespace)] == ["claim"]
    await loop.once(namespace, "m")
    assert script.seen[1].failures[0].startswith("action: Apply Deployment")
    await loop.once(namespace, "m")
    assert script.seen[2].failures == ()


async def test_what_a_pass_sees(gateway: KubernetesGateway, admin: Any, namespace: str) -> None:
    wanted = deployment(namespace)
    wanted["spec"]["template"]["spec"]["volumes"] = [
        {"name": "data", "persistentVolumeClaim": {"claimName": "drive"}}
    ]
    target = await gateway.create(wanted)
    mine = await gateway.create(migration(namespace))
    uid = mine["metadata"]["uid"]
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "drive", "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h", "namespace": namespace},
        "spec": {
            "maxReplicas": 2,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "rustfs"},
        },
    }
    other = {**scaler, "metadata": {"name": "other", "namespace": namespace}}
    other["spec"] = {**scaler["spec"], "scaleTargetRef": {**scaler["spec"]["scaleTargetRef"], "name": "web"}}
    user = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "backup", "namespace": namespace},
        "spec": {
            "automountServiceAccountToken": False,
            "containers": [{"name": "c", "image": "i"}],
            "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "drive"}}],
        },
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "m-1-inventory",
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "dualtrack"},
            "ownerReferences": [
                {"apiVersion": mine["apiVersion"], "kind": mine["kind"], "name": "m", "uid": uid}
            ],
        },
        "spec": {
            "suspend": True,
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}},
        },
    }
    strangers = {**job, "metadata": {**job["metadata"], "name": "of-another", "ownerReferences": []}}
    claim_of_target = lease(namespace, str(uuid.uuid4()))
    claim_of_target["metadata"]["name"] = f"dualtrack-{target['metadata']['uid']}"
    admin(*("apply", "-f", "-"), given=[claim, scaler, other, job, strangers, claim_of_target])
    # Without a controller manager a namespace has no default account, which a pod needs.
    admin.run("create", "serviceaccount", "default", "-n", namespace)
    admin("create", "-f", "-", given=user)
    script = Script(Decision(status("Pending")))
    loop, _ = reconciler(gateway, script)
    before = datetime.now(UTC)
    await loop.once(namespace, "m")
    (seen,) = script.seen
    assert seen.failures == ()
    assert before <= seen.now <= datetime.now(UTC)
    assert (seen.target or {})["metadata"]["uid"] == target["metadata"]["uid"]
    assert seen.pods == ()
    assert seen.lease is not None
    assert seen.lease_holder_exists is False
    assert [item["metadata"]["name"] for item in seen.claims or ()] == ["drive"]
    assert [item["metadata"]["name"] for item in seen.claim_users or ()] == ["backup"]
    assert [item["metadata"]["name"] for item in seen.autoscalers or ()] == ["h"]
    assert [view.job["metadata"]["name"] for view in seen.jobs or ()] == ["m-1-inventory"]
    patch = {"spec": {"holderIdentity": uid}}
    await gateway.merge_patch(
        LEASE, namespace, claim_of_target["metadata"]["name"], patch, uid=seen.lease["metadata"]["uid"]
    )
    await loop.once(namespace, "m")
    assert script.seen[1].lease_holder_exists is True
    assert (await gateway.list_all(JOB, namespace, "app.kubernetes.io/managed-by=dualtrack"))[0][
        "kind"
    ] == "Job"


async def test_a_migration_that_is_gone_is_done_and_leaves_no_series(
    gateway: KubernetesGateway, namespace: str
) -> None:
    made = await gateway.create(migration(namespace))
    loop, metrics = reconciler(gateway, Script(Decision(status("Pending"))))
    await loop.once(namespace, "m")
    assert b'name="m"' in metrics.render()
    await gateway.delete(MIGRATION, namespace, "m", uid=made["metadata"]["uid"])
    outcome = await loop.once(namespace, "m")
    assert outcome.done
    assert b'name="m"' not in metrics.render()


async def test_pods_are_asked_at_their_address_with_the_secrets_token(
    gateway: KubernetesGateway, admin: Any, namespace: str
) -> None:
    async def acknowledge(request: web.Request) -> web.Response:
        return web.json_response({"epoch": 1, "token": request.headers["Authorization"]})

    application = web.Application()
    application.add_routes([web.get(PATH, acknowledge)])
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.2", 0).start()
    mine = migration(namespace)
    mine["spec"]["target"]["acknowledgement"]["port"] = runner.addresses[0][1]
    await gateway.create(mine)
    await gateway.create(deployment(namespace))
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "rustfs-1", "namespace": namespace, "labels": {"app": "rustfs"}},
        # Nobody schedules it: a kubelet would write a status of its own over the address below.
        "spec": {
            "automountServiceAccountToken": False,
            "schedulerName": "nobody",
            "containers": [{"name": "rustfs", "image": "i"}],
        },
    }
    admin.run("create", "serviceaccount", "default", "-n", namespace)
    admin("create", "-f", "-", given=pod)
    addressed = '{"status": {"podIP": "127.0.0.2", "podIPs": [{"ip": "127.0.0.2"}]}}'
    admin(
        "patch", "pod", "rustfs-1", "-n", namespace, "--subresource=status", "--type=merge", "-p", addressed
    )
    script = Script(Decision(status("Pending")))
    loop, _ = reconciler(gateway, script)
    try:
        await loop.once(namespace, "m")
        admin("create", "secret", "generic", "ack", "-n", namespace, "--from-literal=token=secret")
        await loop.once(namespace, "m")
    finally:
        await runner.cleanup()
    without, asked = (seen.acknowledgements for seen in script.seen)
    assert without[0].body is None
    assert f"Secret {namespace}/ack does not exist; create it" in without[0].error
    assert [(answer.pod, answer.address) for answer in asked] == [("rustfs-1", "127.0.0.2")]
    assert asked[0].body == {"epoch": 1, "token": "Bearer secret"}


async def test_a_server_that_the_installation_does_not_name_is_not_asked(
    gateway: KubernetesGateway, namespace: str
) -> None:
    await gateway.create(migration(namespace))
    script = Script(Decision(status("Pending")))
    core = Core(decide=script.decide, queries=lambda *_: (Query("q", "up[1m]", 1.0),))
    listed = Installation("image", "Never", "dualtrack-job", "0", ("http://127.0.0.1:9",))
    for installation in (Installation("image", "Never", "dualtrack-job", "0"), listed):
        loop = Reconciler(gateway, installation, core, OperatorMetrics(), identity="test")
        await loop.once(namespace, "m")
    kinds = [
        answer.kind
        for seen in script.seen
        for answer in seen.results.values()
        if isinstance(answer, QueryFailure)
    ]
    assert kinds == ["Refused", "Unreachable"]
