"""The installation itself on a real API server: by Helm, by kubectl, its rights and its admission policy."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from dualtrack.adapters.kinds import POD, SECRET
from dualtrack.adapters.kubernetes import Forbidden, connect
from dualtrack.api.names import CRD_NAME
from dualtrack.controller.access import AccessError, review

pytestmark = pytest.mark.cluster

Object = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
APPROVE = "dualtrack.rustfs.com/approve"
APPROVED_BY = "dualtrack.rustfs.com/approved-by"


def migration(namespace: str, **annotations: str) -> Object:
    acknowledgement = {"secretRef": {"name": "ack"}}
    return {
        "apiVersion": "dualtrack.rustfs.com/v1alpha1",
        "kind": "MetadataMigration",
        "metadata": {"name": "m", "namespace": namespace, "annotations": annotations},
        "spec": {
            "target": {"name": "rustfs", "containerName": "rustfs", "acknowledgement": acknowledgement},
            "drives": [{"name": "data", "mountPath": "/data"}],
            "prometheus": {"address": "http://127.0.0.1:9"},
            "completing": {"snapshotClaimName": "snapshot"},
        },
    }


def test_helm_installs_it_and_leaves_the_crd_behind(
    admin: Any, namespace: str, helm_install: Callable[..., AbstractContextManager[None]]
) -> None:
    before = admin.get("crd", CRD_NAME, "default")["metadata"]["uid"]
    with helm_install(namespace, [namespace]):
        assert admin.get("deployment", namespace, namespace) is not None
        assert admin.get("role", namespace, namespace) is not None
        assert admin.get("serviceaccount", "dualtrack-job", namespace) is not None
        marks = admin.get("crd", CRD_NAME, "default")["metadata"]
        assert marks["annotations"]["helm.sh/resource-policy"] == "keep"
    assert admin.get("deployment", namespace, namespace) is None
    assert admin.get("crd", CRD_NAME, "default")["metadata"]["uid"] == before


def test_kubectl_applies_the_one_manifest_twice(admin: Any, release: str) -> None:
    assert release
    file = str(ROOT / "manifests" / "install.yaml")
    arguments = ("apply", "--server-side", "--force-conflicts", "-f", file)
    try:
        admin(*arguments)
        version = admin.get("deployment", "dualtrack", "dualtrack-system")["metadata"]["generation"]
        admin(*arguments)
        assert admin.get("deployment", "dualtrack", "dualtrack-system")["metadata"]["generation"] == version
    finally:
        for kinds in ("deployment,service,serviceaccount", "clusterrole,clusterrolebinding"):
            label = "app.kubernetes.io/instance=dualtrack"
            admin(
                "delete", kinds, "-n", "dualtrack-system", "-l", label, "--ignore-not-found", "--wait=false"
            )
        policies = "validatingadmissionpolicybinding,validatingadmissionpolicy"
        admin("delete", policies, "-l", "app.kubernetes.io/instance=dualtrack", "--ignore-not-found")
        # Where no controller clears namespaces this one stays, empty.
        admin.run("delete", "namespace", "dualtrack-system", "--timeout=30s")


async def test_rights_for_one_namespace_end_there(
    admin: Any,
    namespace: str,
    helm_install: Callable[..., AbstractContextManager[None]],
    kubeconfig_for: Callable[[str, str], Path],
) -> None:
    with helm_install(namespace, [namespace]):
        async with await connect(str(kubeconfig_for(namespace, namespace))) as gateway:
            await review(gateway, [namespace])
            with pytest.raises(AccessError, match="in all namespaces"):
                await review(gateway, [])
            assert not await gateway.allowed(namespace, "list", "", "secrets")
            assert not await gateway.allowed(namespace, "delete", "apps", "deployments")
            assert not await gateway.allowed("", "get", "", "secrets")
            with pytest.raises(Forbidden):
                await gateway.list_all(SECRET, namespace)
            with pytest.raises(Forbidden):
                await gateway.list_all(POD, "kube-system")
        async with await connect(str(kubeconfig_for(namespace, "dualtrack-job"))) as gateway:
            with pytest.raises(Forbidden):
                await gateway.list_all(POD, namespace)


@pytest.fixture
def person(admin: Any, namespace: str) -> Callable[..., str]:
    """Makes a user with these rights in the namespace: names of ClusterRoles, or (verb, resource)."""

    def make(*rights: str | tuple[str, str]) -> str:
        user = f"user-{uuid.uuid4().hex[:6]}"
        for number, right in enumerate(rights):
            name = f"{user}-{number}"
            if isinstance(right, tuple):
                verb, resource = right
                admin("create", "role", name, "-n", namespace, f"--verb={verb}", f"--resource={resource}")
                reference = f"--role={name}"
            else:
                reference = f"--clusterrole={right}"
            admin("create", "rolebinding", name, "-n", namespace, reference, f"--user={user}")
        return user

    return make


def test_who_may_not_patch_the_target_may_not_ask_for_its_migration(
    admin: Any, release: str, namespace: str, person: Callable[..., str]
) -> None:
    editor = person(f"{release}-editor")
    refused = admin.run("create", "--as", editor, "-f", "-", given=migration(namespace))
    assert refused.returncode != 0
    assert f"spec.target.name: {editor} may not patch Deployment {namespace}/rustfs" in refused.stderr
    allowed = person(f"{release}-editor", ("patch", "deployments.apps"))
    admin("create", "--as", allowed, "-f", "-", given=migration(namespace))
    # Others may edit the rest of it, but not turn it towards another target.
    edit = ("patch", "mmig", "m", "-n", namespace, "--as", editor, "--type=merge", "-p")
    admin(*edit, '{"spec": {"suspend": true}}')
    turned = admin.run(*edit, '{"spec": {"target": {"name": "other"}}}')
    assert "may not patch Deployment" in turned.stderr


def test_an_approval_is_by_who_gives_it_and_may(
    admin: Any, release: str, namespace: str, person: Callable[..., str]
) -> None:
    admin("create", "-f", "-", given=migration(namespace))
    editor, approver = person(f"{release}-editor"), person(f"{release}-approver")

    def annotate(user: str, *annotations: str) -> tuple[int, str]:
        done = admin.run("annotate", "mmig", "m", "-n", namespace, "--overwrite", "--as", user, *annotations)
        return done.returncode, done.stderr

    code, why = annotate(editor, f"{APPROVE}=CutOver.1.a", f"{APPROVED_BY}={editor}")
    assert code != 0
    assert f"{editor} may not approve" in why
    code, why = annotate(approver, f"{APPROVE}=CutOver.1.a", f"{APPROVED_BY}={editor}")
    assert code != 0
    assert f'"{editor}" is not who approves; must be "{approver}"' in why
    assert annotate(approver, f"{APPROVE}=CutOver.1.a")[0] != 0
    assert annotate(approver, f"{APPROVE}=CutOver.1.a", f"{APPROVED_BY}={approver}") == (0, "")
    # What was approved stays approved while others go on, and cannot be put into another's mouth.
    assert annotate(editor, "note=seen") == (0, "")
    assert annotate(editor, f"{APPROVED_BY}={editor}")[0] != 0
    assert annotate(editor, f"{APPROVE}=Purge.1.b")[0] != 0
    assert annotate(editor, f"{APPROVE}-", f"{APPROVED_BY}-") == (0, "")


def test_an_approval_cannot_be_brought_along_at_creation(
    admin: Any, release: str, namespace: str, person: Callable[..., str]
) -> None:
    user = person(f"{release}-editor", ("patch", "deployments.apps"))
    given = migration(namespace, **{APPROVE: "CutOver.1.a", APPROVED_BY: user})
    refused = admin.run("create", "--as", user, "-f", "-", given=given)
    assert refused.returncode != 0
    assert "may not approve" in refused.stderr


def test_viewers_see_and_change_nothing(
    admin: Any, release: str, namespace: str, person: Callable[..., str]
) -> None:
    admin("create", "-f", "-", given=migration(namespace))
    viewer = person(f"{release}-viewer")
    assert "m" in admin("get", "mmig", "-n", namespace, "--as", viewer)
    assert admin.run("delete", "mmig", "m", "-n", namespace, "--as", viewer).returncode != 0
    editor = person(f"{release}-editor")
    status = admin.run(
        *("patch", "mmig", "m", "-n", namespace, "--as", editor, "--subresource=status"),
        *("--type=merge", "-p", '{"status": {"phase": "Complete"}}'),
    )
    assert status.returncode != 0
