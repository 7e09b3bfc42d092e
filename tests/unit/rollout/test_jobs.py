"""Jobs: what counts, what does not, what is told, and what their manifests promise."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from dualtrack.cli.main import parser
from dualtrack.waivers import list_digest, waiver_id
from outside import Operator

At = Callable[[str], Operator]


def sweep(operator: Operator) -> dict[str, Any]:
    return next(j for j in operator.status["jobs"] if j["step"] == "Sweep")


def test_a_wrong_image_is_named_within_a_minute(at: At) -> None:
    operator = at("FullOut/Sweep")
    operator.world.broken_image = True
    operator.pass_time(60)
    assert "ImagePullBackOff" in operator.status["message"]
    assert "registry/dualtrack:1" in sweep(operator)["message"]
    assert [e.reason for e in operator.world.events].count("JobBlocked") == 1
    operator.world.broken_image = False
    operator.run("FullOut/FullVerify")


def test_a_failed_job_pauses_and_resume_starts_the_next_under_a_higher_fence(at: At) -> None:
    operator = at("FullOut/Sweep")
    operator.world.failing_steps["Sweep"] = 1
    operator.pass_time(60)
    assert operator.status["pause"]["cause"] == "VerificationDiffers"  # exit code 51
    assert "a row differs" in operator.status["pause"]["message"]
    fence = operator.status["fence"]
    operator.pass_time(300)
    assert len([n for n in operator.world.created_jobs if "sweep" in n]) == 1
    operator.command(f"resume.1.{operator.status['pause']['id']}")
    operator.run("FullOut/FullVerify")
    assert [n for n in operator.world.created_jobs if "sweep" in n][-1].endswith("-1")
    assert sweep(operator)["fence"] == fence + 1


def test_a_job_that_somebody_deleted_is_started_again_under_a_higher_fence(at: At) -> None:
    operator = at("FullOut/Sweep")
    operator.world.job_seconds = 60
    operator.pass_time(20)
    (name,) = (n for n in operator.world.created_jobs if "sweep" in n)
    del operator.world.jobs[name]
    operator.run("FullOut/FullVerify")
    assert [n for n in operator.world.created_jobs if "sweep" in n] == [name, f"{name}-1"]


@pytest.mark.parametrize("change", ["uid", "owner", "runID", "fence", "ok", "result"])
def test_only_our_job_with_its_own_good_result_counts(at: At, change: str) -> None:
    operator = at("FullOut/Sweep")
    operator.world.job_seconds = 40
    operator.pass_time(20)
    (name,) = (n for n in operator.world.created_jobs if "sweep" in n)
    job = operator.world.jobs[name]
    if change == "uid":
        job["metadata"]["uid"] = "another"
    elif change == "owner":
        job["metadata"]["ownerReferences"] = []
    operator.world.advance(60)
    if change in ("runID", "fence", "ok"):
        job["_result"][change] = {"runID": "another", "fence": 99, "ok": False}[change]
    elif change == "result":
        job["_result"] = None
    operator.pass_time(90)
    assert operator.place == "FullOut/Sweep"
    assert operator.status["pause"]["cause"] in ("JobFailed", "VerificationDiffers")


def test_quarantined_objects_that_nobody_waived_hold_the_verification(at: At) -> None:
    operator = at("FullOut/FullVerify")
    operator.pass_time(10)
    operator.world.advance(60)
    (name,) = (n for n in operator.world.created_jobs if "full-verify" in n)
    counts = operator.world.jobs[name]["_result"]["counts"]
    counts |= {"quarantined": 2, "unwaived": 2}
    operator.world.jobs[name]["_result"]["waiversDigest"] = list_digest(())
    operator.world.jobs[name]["_result"]["unreadable"] = ["bucket/a", "bucket/b"]
    operator.step()
    assert operator.status["pause"]["cause"] == "VerificationDiffers"
    assert "bucket/a" in operator.status["pause"]["message"]


def test_a_verification_is_told_what_is_waived_and_passes_with_it(at: At) -> None:
    """However many there are: ids, not names, go with the Job, and the digest of all comes back."""
    operator = at("FullOut/FullVerify")
    waived = [{"drive": "data", "bucket": "b", "key": f"k{n}", "sha256": f"{n:064x}"} for n in range(200)]
    operator.world.migration["spec"]["completing"]["waivers"] = [{**w, "reason": "known"} for w in waived]
    operator.pass_time(10)
    (name,) = (n for n in operator.world.created_jobs if "full-verify" in n)
    job = operator.world.jobs[name]
    arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
    ids = {waiver_id(w["bucket"], w["key"], w["sha256"]) for w in waived}
    assert parser(arguments).parse_args(arguments).waivers == ids
    operator.world.advance(60)
    job["_result"]["counts"] |= {"quarantined": 200, "unwaived": 0}
    job["_result"]["waiversDigest"] = list_digest(ids)
    operator.step()
    assert operator.place == "FullOut/Observing"


def test_a_repair_is_told_of(at: At) -> None:
    """H23: it mends the object and hides the fault; whoever watches has to hear of it."""
    operator = at("FullOut/FullVerify")
    operator.pass_time(10)
    operator.world.advance(60)
    (name,) = (n for n in operator.world.created_jobs if "full-verify" in n)
    operator.world.jobs[name]["_result"]["counts"]["repairedSince"] = 3
    operator.step()
    (event,) = (e for e in operator.world.events if e.reason == "Repaired")
    assert event.type == "Warning"
    assert event.message.startswith("3 objects were repaired")


def test_another_drive_under_the_mount_is_noticed(at: At) -> None:
    operator = at("FullOut/FullVerify")
    operator.pass_time(10)
    operator.world.advance(60)
    (name,) = (n for n in operator.world.created_jobs if "full-verify" in n)
    operator.world.jobs[name]["_result"]["drive"]["driveID"] = "drive-2"
    operator.step()
    assert "another drive" in operator.status["pause"]["message"]


def test_a_running_sweep_is_told_another_pace_and_only_when_it_changes(at: At) -> None:
    operator = at("FullOut/Sweep")
    operator.world.job_seconds = 600
    operator.pass_time(20)
    (name,) = (n for n in operator.world.created_jobs if "sweep" in n)
    quotas = {"objectsPerDay": 100_000, "percentPerWeek": 20, "objects": 1000, "concurrency": 8}
    assert told(operator, name) == {**quotas, "priority": "access_frequency"}
    assert sweep(operator)["objectsPerDay"] == 1000 * 20 // 700, "the slower of both"

    operator.world.configs.clear()
    operator.pass_time(60)
    assert operator.world.configs == {}, "nothing is written while nothing changes"

    zone = {"signal": "IoPressure", "low": 20, "high": 40}
    changed = {
        "objectsPerDay": 7,
        "percentPerWeek": 20,
        "concurrency": 2,
        "priority": "Size",
        "heed": [zone],
    }
    operator.world.migration["spec"]["sweep"] = changed
    operator.pass_time(20)
    heed = {"ioPressure": [20, 40]}
    tuned = {"objectsPerDay": 7, "concurrency": 2, "priority": "size", "heed": heed}
    assert told(operator, name) == {**quotas, **tuned}
    assert sweep(operator)["objectsPerDay"] == 7
    (event,) = (e.message for e in operator.world.events if e.reason == "PaceChanged")
    assert event == (
        f"Job {name}: objectsPerDay 7 instead of 100000, concurrency 2 instead of 8, priority size instead of"
        " access_frequency, heed.ioPressure [20, 40] instead of none"
    )
    assert [n for n in operator.world.created_jobs if "sweep" in n] == [name]


def test_a_sweep_finds_the_metrics_of_the_pod_that_serves_now(at: At) -> None:
    operator = at("FullOut/Sweep")
    operator.world.job_seconds = 600
    zone = {"signal": "RequestLatency", "low": 20, "high": 50}
    operator.world.migration["spec"]["sweep"] = {"heed": [zone]}
    operator.pass_time(20)
    (name,) = (n for n in operator.world.created_jobs if "sweep" in n)
    (pod,) = operator.world.pods
    for address, host in ((pod["status"]["podIP"],) * 2, ("fd00::7", "[fd00::7]"), ("", "no-pod.invalid")):
        pod["status"]["podIP"] = address
        operator.step()
        heed = told(operator, name)["heed"]
        assert heed == {"p99Ms": [20, 50], "metricsURL": f"http://{host}:9000/metrics"}
    told_of = [e.message for e in operator.world.events if e.reason == "PaceChanged"]
    assert len(told_of) == 0, "an address is nobody's choice"


def told(operator: Operator, job: str) -> dict[str, Any]:
    config = operator.world.configs[f"{job}-pace"]
    return dict(json.loads(config["pace"]))


@pytest.mark.parametrize("root", [None, "", "blake2b:short", "blake2b:" + 64 * "a" + "; rm -r /"])
def test_a_report_that_says_no_root_pauses_and_is_made_again(at: At, root: str | None) -> None:
    operator = at("Completing/Report")
    operator.step()
    operator.world.advance(60)
    operator.world.jobs["main-1-report-rustfs-0"]["_result"]["root"] = root
    operator.step()
    assert "does not say its root" in operator.status["pause"]["message"]
    assert "report" not in operator.status
    operator.command(f"resume.1.{operator.status['pause']['id']}")
    operator.run("Complete/")
    assert operator.status["report"]["root"] == "blake2b:" + 64 * "a"


def test_an_ended_job_shows_what_it_had_done_at_its_end(at: At) -> None:
    """Its last line of progress may be seconds older."""
    operator = at("FullOut/Sweep")
    operator.pass_time(10)
    operator.world.advance(60)
    (name,) = (n for n in operator.world.created_jobs if "sweep" in n)
    operator.world.jobs[name]["_result"]["scanned"] = 2_783
    operator.step()
    assert sweep(operator)["state"] == "Complete"
    assert sweep(operator)["scanned"] == 2_783


def test_a_sweep_is_told_which_deletions_are_meant(at: At) -> None:
    operator = at("FullOut/Sweep")
    wanted = [{"bucket": "photos", "objects": 12_000}, {"bucket": "a=b", "objects": 1}]
    operator.world.migration["spec"].setdefault("sweep", {})["acceptedDeletions"] = wanted
    operator.pass_time(10)
    (arguments,) = arguments_of(operator, "sweep")
    assert parser(arguments).parse_args(arguments).accept_deletions_of == [("photos", 12_000), ("a=b", 1)]


@pytest.mark.parametrize(("device", "accepted"), [(None, False), ("Another", False), ("Any", True)])
def test_a_snapshot_on_the_drives_disk_is_for_the_user_to_accept(
    at: At, device: str | None, accepted: bool
) -> None:
    operator = at("Completing/ApprovePurge")
    if device is not None:
        operator.world.migration["spec"]["completing"]["snapshotDevice"] = device
    operator.step()
    assert ("on whatever disk" in operator.status["pendingApproval"]["shown"]) is accepted
    operator.approve()
    operator.run("Completing/RemoveDirectories")
    (arguments,) = arguments_of(operator, "purge")
    assert parser(arguments).parse_args(arguments).accept_same_device is accepted


def arguments_of(operator: Operator, step: str) -> list[list[str]]:
    """Of each Job of this step."""
    jobs = [operator.world.jobs[name] for name in operator.world.created_jobs if f"-{step}-" in name]
    return [job["spec"]["template"]["spec"]["containers"][0]["args"] for job in jobs]


def test_progress_is_shown(at: At) -> None:
    operator = at("FullOut/Sweep")
    operator.world.job_seconds = 100
    operator.pass_time(40)
    assert sweep(operator)["scanned"] > 0
    assert operator.status["display"]["progress"].endswith("%")


def test_the_manifest_keeps_its_promises(at: At) -> None:
    operator = at("Complete/Watching")
    for name, job in operator.world.jobs.items():
        pod = job["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        args = container["args"]
        assert len(name) <= 63
        assert job["metadata"]["ownerReferences"][0]["uid"] == "mig-1"
        assert "ttlSecondsAfterFinished" not in job["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["restartPolicy"] == "Never"
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["fsGroupChangePolicy"] == "OnRootMismatch"
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        (term,) = pod["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        assert term["labelSelector"] == {"matchLabels": {"app": "rustfs"}}
        claims = {
            v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persistentVolumeClaim" in v
        }
        snapshot = "snapshot" in name or "purge" in name
        assert claims == ({"rustfs-data", "snapshot"} if snapshot else {"rustfs-data"})
        assert args[args.index("--store") + 1] == "/data/.dualtrack/store"
        assert args[args.index("--run-id") + 1] == name
        assert args[args.index("--migration-uid") + 1] == "mig-1"
        assert "--client-only" in args


def test_a_target_that_runs_as_root_has_jobs_that_run_as_root(at: At) -> None:
    operator = at("FullOut/Sweep")
    assert operator.world.deployment is not None
    context = operator.world.deployment["spec"]["template"]["spec"]["securityContext"]
    context["runAsUser"] = 0
    operator.pass_time(10)
    (name,) = (n for n in operator.world.created_jobs if "sweep" in n)
    security = operator.world.jobs[name]["spec"]["template"]["spec"]["securityContext"]
    assert (security["runAsUser"], security["runAsNonRoot"]) == (0, False)
