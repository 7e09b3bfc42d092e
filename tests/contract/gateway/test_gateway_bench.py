"""`dualtrack bench` over HTTP, on the gateway and a real MinIO, in buckets that hold what is not ours."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from minio import Minio
from minio.commonconfig import ENABLED, GOVERNANCE
from minio.objectlockconfig import DAYS, ObjectLockConfig
from minio.versioningconfig import VersioningConfig

from dtlab import minio as lab
from dtlab.shell import wait_for
from dualtrack.bench.s3 import S3System
from dualtrack.bench.s3client import Endpoint
from dualtrack.bench.workloads import Payload, Workload
from dualtrack.engine.marker import MarkerState
from dualtrack.gateway.auth import Credentials
from layers import mark

PATIENCE = 60
SMALL = (
    "--objects",
    "12",
    "--large-objects",
    "2",
    "--large-size",
    "200000",
    "--rounds",
    "2",
    "--listings",
    "1",
)


def command(bucket: str, *given: str) -> list[str]:
    return [sys.executable, "-m", "dualtrack.cli.main", "bench", "--bucket", bucket, "--id", "test", *given]


def environment() -> dict[str, str]:
    return {**os.environ, "AWS_ACCESS_KEY_ID": lab.ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": lab.SECRET_KEY}


def bench(bucket: str, *given: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(bucket, *given),
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


def names(client: Minio, bucket: str) -> list[tuple[str | None, bool]]:
    """Every version, delete markers too."""
    found = client.list_objects(bucket, recursive=True, include_version=True)
    return [(each.object_name, each.is_delete_marker) for each in found]


def put(client: Minio, bucket: str, key: str) -> None:
    client.put_object(bucket, key, io.BytesIO(b"theirs"), 6)


@pytest.fixture
def gateway(drive: Path, start: Any) -> Any:
    """In a mode that offers instant upload."""
    switched = {
        "RUSTFS_METADATA_ENGINE": "kv_primary",
        "RUSTFS_DUAL_TRACK_RATIO": "1",
        "RUSTFS_DUAL_TRACK_EPOCH": "1",
        "RUSTFS_INSTANT_UPLOAD": "true",
    }
    mark(drive, MarkerState.KV_PRIMARY)
    return start(drive, **switched)


@pytest.fixture
def client(gateway: Any) -> Minio:
    found = gateway.client()
    found.make_bucket("scratch")
    put(found, "scratch", "theirs")
    return found


def test_a_gateway_and_a_real_minio_side_by_side(gateway: Any, client: Minio, tmp_path: Path) -> None:
    (tmp_path / "minio").mkdir()
    with lab.running(tmp_path / "minio") as server:
        peer = Minio(server.address, lab.ACCESS_KEY, lab.SECRET_KEY, secure=False)
        peer.make_bucket("scratch")
        put(peer, "scratch", "theirs")

        ended = bench(
            "scratch", "--endpoint", f"minio={server.url}", "--endpoint", f"gateway=http://{gateway.address}",
            "--clients", "2", "--format", "json", *SMALL,
        )  # fmt: skip

        assert ended.returncode == 0, ended.stderr
        assert names(peer, "scratch") == names(client, "scratch") == [("theirs", False)]
    results: Sequence[dict[str, Any]] = json.loads(ended.stdout)["results"]
    assert all(each["count"] and not each["failed"] for each in results)
    assert {each["system"]: each["sentInFull"] for each in results if each["workload"] == "instant"} == {
        "minio": 2,
        "gateway": 0,
    }


def test_in_a_versioned_bucket_no_version_and_no_marker_is_left(gateway: Any, client: Minio) -> None:
    client.set_bucket_versioning("scratch", VersioningConfig(ENABLED))
    client.remove_object("scratch", "theirs")
    before = names(client, "scratch")
    assert len(before) == 2

    ended = bench("scratch", "--endpoint", f"http://{gateway.address}", *SMALL)

    assert ended.returncode == 0, ended.stderr
    assert names(client, "scratch") == before


def test_a_prefix_that_is_not_empty_is_refused_and_stays(gateway: Any, client: Minio) -> None:
    put(client, "scratch", "dualtrack-bench-test/kept")
    before = names(client, "scratch")

    ended = bench("scratch", "--endpoint", f"http://{gateway.address}", *SMALL)

    assert ended.returncode == 40
    assert "scratch/dualtrack-bench-test/kept is there already" in ended.stderr
    assert names(client, "scratch") == before


def test_a_delete_marker_alone_makes_a_prefix_not_empty(gateway: Any, client: Minio) -> None:
    client.set_bucket_versioning("scratch", VersioningConfig(ENABLED))
    client.remove_object("scratch", "dualtrack-bench-test/gone")

    ended = bench("scratch", "--endpoint", f"http://{gateway.address}", *SMALL)

    assert (ended.returncode, ("dualtrack-bench-test/gone", True) in names(client, "scratch")) == (40, True)


@pytest.fixture
def running(gateway: Any, client: Minio) -> Iterator[subprocess.Popen[str]]:
    """A benchmark of many objects that has begun to write."""
    given = command("scratch", "--endpoint", f"http://{gateway.address}", "--workloads", "small", "--objects")
    child = subprocess.Popen([*given, "100000"], env=environment(), stderr=subprocess.PIPE, text=True)
    try:
        wait_for(
            "objects", lambda: len(names(client, "scratch")) > 5 or child.poll() is not None, seconds=PATIENCE
        )
        assert child.poll() is None
        yield child
    finally:
        child.kill()
        child.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 50), (signal.SIGINT, 130)])
def test_a_signal_removes_what_was_written(
    running: subprocess.Popen[str], client: Minio, number: signal.Signals, code: int
) -> None:
    running.send_signal(number)
    _, told = running.communicate(timeout=PATIENCE)

    assert running.returncode == code, told
    assert names(client, "scratch") == [("theirs", False)]


def test_what_somebody_else_put_below_the_prefix_stays_and_is_named(
    running: subprocess.Popen[str], client: Minio
) -> None:
    put(client, "scratch", "dualtrack-bench-test/127.0.0.1/theirs")
    running.send_signal(signal.SIGTERM)
    _, told = running.communicate(timeout=PATIENCE)

    assert running.returncode == 50
    assert "not removed: 127.0.0.1: scratch/dualtrack-bench-test/127.0.0.1/theirs" in told
    assert names(client, "scratch") == [("dualtrack-bench-test/127.0.0.1/theirs", False), ("theirs", False)]


def test_a_server_that_goes_away_ends_the_run_and_names_what_is_left(
    running: subprocess.Popen[str], gateway: Any
) -> None:
    gateway.kill()
    _, told = running.communicate(timeout=PATIENCE)

    assert running.returncode == 50, told
    assert f"not removed: http://{gateway.address}/scratch/dualtrack-bench-test/" in told


@pytest.mark.parametrize(
    ("given", "code", "told"),
    [
        (("absent", "--endpoint", "http://{address}"), 2, "bucket absent is not there"),
        (("scratch", "--endpoint", "http://{address}", "--access-key", "wrong"), 2, "InvalidAccessKeyId"),
        (("scratch", "--endpoint", "http://127.0.0.1:1"), 60, "is it the right --endpoint"),
    ],
)
def test_a_server_that_does_not_let_us_in_is_told(
    given: tuple[str, ...], code: int, told: str, gateway: Any, client: Minio
) -> None:
    bucket, *words = (word.format(address=gateway.address) for word in given)

    ended = bench(bucket, *words, *SMALL)

    assert (ended.returncode, told in ended.stderr) == (code, True), ended.stderr


def test_a_write_whose_answer_never_came_is_removed_too(gateway: Any, client: Minio) -> None:
    client.set_bucket_versioning("scratch", VersioningConfig(ENABLED))
    before = names(client, "scratch")
    credentials = Credentials(lab.ACCESS_KEY, lab.SECRET_KEY, "us-east-1")
    system = S3System("g", Endpoint.parse(f"http://{gateway.address}"), credentials, "scratch", "test")
    place = system.open(Workload.SMALL)
    with place.session() as session:
        for key in ("answered", "lost", "lost"):
            session.put(key, Payload.of(b"x"))
    place.made = [made for made in place.made if not made[0].endswith("lost")]

    assert place.remove() == []
    assert names(client, "scratch") == before


def test_over_tls_a_server_is_trusted_by_its_authority_alone(tmp_path: Path) -> None:
    (tmp_path / "tls").mkdir()
    (tmp_path / "minio").mkdir()
    with lab.running(tmp_path / "minio", tls=lab.certificates(tmp_path / "tls")) as server:
        given = ("--endpoint", server.url, "--workloads", "small", *SMALL)
        trusted = (*given, "--ca-file", str(server.authority))
        assert bench("scratch", *given).returncode == 60
        assert bench("scratch", *trusted).returncode == 2, "there is no bucket yet, which is said over TLS"


def test_what_a_retention_keeps_is_named(tmp_path: Path) -> None:
    (tmp_path / "minio").mkdir()
    with lab.running(tmp_path / "minio") as server:
        peer = Minio(server.address, lab.ACCESS_KEY, lab.SECRET_KEY, secure=False)
        peer.make_bucket("locked", object_lock=True)
        peer.set_object_lock_config("locked", ObjectLockConfig(GOVERNANCE, 1, DAYS))

        ended = bench("locked", "--endpoint", f"minio={server.url}", "--workloads", "large", *SMALL)

        assert ended.returncode == 50, ended.stderr
        kept = [name for name, marker in names(peer, "locked") if not marker]
        assert kept
        assert all(f"not removed: minio: locked/{name}" in ended.stderr for name in kept)
