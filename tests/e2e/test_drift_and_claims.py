"""Others at the target: an env that is put back, a second migration, an installation with a wrong image."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from demo import installation
from demo.kube import wait
from demo.scenario import Scenario
from scenes import reaches, target_env


def revert(scene: Scenario, engine: str, ratio: str) -> None:
    """What `helm upgrade` or a GitOps tool would do: write our variables as somebody else."""
    env = (f"RUSTFS_METADATA_ENGINE={engine}", f"RUSTFS_DUAL_TRACK_RATIO={ratio}")
    scene.kube.run("set", "env", "deployment/rustfs", *env)


def test_an_env_put_back_by_another_manager_is_applied_again(
    scene: Scenario, short: Callable[..., dict[str, Any]]
) -> None:
    scene.migrate(short(completing={"soakSeconds": 600}))
    reaches(scene, "Canary", "Observing", seconds=180)
    wanted = mode(scene)
    revert(scene, "fs", "0")
    wait("the canary's env again", lambda: mode(scene) == wanted and reapplied(scene), 60)

    reaches(scene, "Completing", "Soak", seconds=600)
    wanted = mode(scene)
    revert(scene, "fs", "0")
    wait("the cut-over's env again", lambda: mode(scene) == wanted and reapplied(scene), 60)
    scene.kube.rolled_out("deployment/rustfs")
    load = scene.verify_load()
    assert load["wrong"] == []
    assert load["unreadable"] == []


def mode(scene: Scenario) -> tuple[str, ...]:
    """What the target's env asks for. The epoch may rise: while the env was reverted, rows fell behind."""
    env = target_env(scene)
    names = ("RUSTFS_METADATA_ENGINE", "RUSTFS_DUAL_TRACK_RATIO", "RUSTFS_FALLBACK_TO_FS")
    return tuple(env[name] for name in names)


def reapplied(scene: Scenario) -> bool:
    return bool(scene.status()["target"]["reapplyCount"] >= 1)


def test_a_second_migration_of_the_same_target_does_nothing(
    scene: Scenario, short: Callable[..., dict[str, Any]]
) -> None:
    scene.migrate(short())
    reaches(scene, "Canary", seconds=120)
    scene.migrate(short(), name="second")

    def refused() -> dict[str, Any] | None:
        found = scene.condition("Ready", "second")
        return found if found.get("status") == "False" and "demo" in found.get("message", "") else None

    wait("a refusal of the second that names the first", refused, 60)
    assert scene.status("second").get("jobs", []) == []


@pytest.fixture
def wrong_image(scene: Scenario) -> Any:
    """An installation whose Jobs cannot start, put right again afterwards."""
    names = [f"e2e-{number}" for number in range(1, 33)]
    installation.install(scene.kube, scene.images.product, names, jobs_image="nowhere.invalid/dualtrack:gone")
    yield
    installation.install(scene.kube, scene.images.product, names)


@pytest.mark.usefixtures("wrong_image")
def test_a_wrong_job_image_is_named_within_a_minute(
    scene: Scenario, short: Callable[..., dict[str, Any]]
) -> None:
    scene.migrate(short())

    def named() -> str | None:
        message = str(scene.status().get("message", ""))
        return message if "nowhere.invalid" in message or "ImagePull" in message else None

    assert wait("the image that cannot be pulled, in the message", named, 90)
