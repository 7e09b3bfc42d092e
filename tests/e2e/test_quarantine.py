"""An object that nobody can read holds the migration by its name until somebody answers for it, and stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from demo.kube import wait
from demo.scenario import Scenario
from scenes import files_below_buckets, mmig, paused, reaches, run_in_gateway

DAMAGED = "/data/xyz/o"
DAMAGE = (
    "import hashlib\n"
    f"with open('{DAMAGED}/xl.meta', 'r+b') as file:\n"
    "    file.seek(30)\n"
    "    file.write(b'damaged')\n"
    "    file.seek(0)\n"
    "    print(hashlib.sha256(file.read()).hexdigest())\n"
)


def test_a_damaged_object_holds_the_migration_until_it_is_waived_by_name(
    scene: Scenario, short: Callable[..., dict[str, Any]]
) -> None:
    sha256 = run_in_gateway(scene, DAMAGE).strip()
    scene.migrate(short())
    status = paused(scene, seconds=400)
    assert (status["phase"], status["step"]) == ("FullOut", "FullVerify")
    assert "xyz/o" in status["pause"]["message"]
    assert sha256 in status["pause"]["message"]

    waiver = {"drive": "data", "bucket": "xyz", "key": "o", "reason": "lost before the migration"}
    other = {**waiver, "sha256": "0" * 64}
    scene.migrate(short(completing={"waivers": [other]}))
    mmig(scene, "resume", "demo")
    wait(
        "the first pause to end",
        lambda: scene.status().get("pause", {}).get("id") != status["pause"]["id"],
        60,
    )
    again = paused(scene, seconds=120)
    assert "xyz/o" in again["pause"]["message"], "a waiver of another content is none"

    scene.migrate(short(completing={"waivers": [{**waiver, "sha256": sha256}]}))
    mmig(scene, "resume", "demo")
    wait(
        "the second pause to end",
        lambda: scene.status().get("pause", {}).get("id") != again["pause"]["id"],
        60,
    )
    status = reaches(scene, "Complete", seconds=600)
    assert files_below_buckets(scene) == [DAMAGED], "all went but the one that no row replaces"
    assert scene.verify_load()["wrong"] == []
