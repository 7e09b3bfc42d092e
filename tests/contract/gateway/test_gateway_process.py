"""The gateway as a process: starts that are refused, stops that lose nothing, kills that lose nothing."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import os
import socket
import subprocess
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import urllib3
from minio import Minio
from minio.error import S3Error

from dualtrack.engine import marker
from dualtrack.engine.marker import MarkerState

KV_PRIMARY = {"RUSTFS_METADATA_ENGINE": "kv_primary", "RUSTFS_DUAL_TRACK_RATIO": "1"}
KV_ONLY = {
    "RUSTFS_METADATA_ENGINE": "kv_only",
    "RUSTFS_DUAL_TRACK_RATIO": "1",
    "RUSTFS_FALLBACK_TO_FS": "false",
}


def put(client: Minio, key: str, content: bytes, bucket: str = "plain") -> None:
    client.put_object(bucket, key, io.BytesIO(content), len(content))


def get(client: Minio, key: str, bucket: str = "plain") -> bytes:
    answer = client.get_object(bucket, key)
    try:
        return bytes(answer.data)
    finally:
        answer.release_conn()


def mark(drive: Path, state: MarkerState) -> None:
    marker.write(
        str(drive),
        marker.Marker().moved(state, store_uuid="", epoch=1, migration_uid="uid-1", now=datetime.now(UTC)),
    )


@pytest.mark.parametrize(
    ("environment", "code", "named"),
    [
        ({"RUSTFS_ACCESS_KEY": ""}, 2, "RUSTFS_ACCESS_KEY"),
        ({"RUSTFS_SECRET_KEY": ""}, 2, "RUSTFS_SECRET_KEY"),
        ({"RUSTFS_VOLUMES": ""}, 2, "RUSTFS_VOLUMES"),
        ({"RUSTFS_VOLUMES": "/nowhere/at/all"}, 20, "RUSTFS_VOLUMES"),
        ({"RUSTFS_DUAL_TRACK_RATIO": "2"}, 2, "RUSTFS_DUAL_TRACK_RATIO"),
        ({"RUSTFS_METADATA_ENGINE": "kv_only"}, 2, "kv_only"),
        ({"RUSTFS_METADATA_ENGINE": "kv_primary", "RUSTFS_DUAL_TRACK_RATIO": "0.5"}, 2, "kv_primary"),
        ({"RUSTFS_FALLBACK_TO_FS": "false"}, 2, "fs/0/false"),
        ({"RUSTFS_DUAL_TRACK_RATIO": "0.5"}, 41, "FsAuthoritative"),
        (KV_PRIMARY, 41, "FsAuthoritative"),
        (KV_ONLY, 41, "FsAuthoritative"),
    ],
)
def test_a_wrong_environment_ends_the_start_with_one_line(
    start: Callable[..., Any], drive: Path, environment: dict[str, str], code: int, named: str
) -> None:
    process = start(drive, ready=False, **environment)
    line = process.wait_for("start_refused")
    assert process.ended() == code
    assert named in line["error"]
    assert line["exit_code"] == code
    assert "peersecret123" not in json.dumps(process.lines)


@pytest.mark.parametrize("state", [MarkerState.KV_PRIMARY, MarkerState.KV_ONLY, MarkerState.PURGED])
def test_a_marker_that_forbids_files_is_obeyed(
    start: Callable[..., Any], drive: Path, state: MarkerState
) -> None:
    mark(drive, state)
    process = start(drive, ready=False)
    assert state.value in process.wait_for("start_refused")["error"]
    assert process.ended() == 41


def test_a_directory_that_is_no_drive_is_refused(start: Callable[..., Any], tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    process = start(empty, ready=False)
    assert "format.json" in process.wait_for("start_refused")["error"]
    assert process.ended() == 20
    assert list(empty.iterdir()) == []


def test_every_series_is_at_zero_at_the_start(start: Callable[..., Any], drive: Path) -> None:
    process = start(drive)
    found = {name: value for name, value in process.samples().items() if "_created" not in name}
    for operation in ("put_object", "get_object", "delete_object", "list_objects"):
        for track in ("fs", "dual", "kv"):
            for name in ("total", "errors_total", "latency_ms_count"):
                assert found[f'rustfs_{operation}_{name}{{track="{track}"}}'] == 0
    info = [name for name in found if name.startswith("rustfs_dual_track_info")]
    assert len(info) == 1
    assert 'engine="fs"' in info[0]
    client = process.client()
    put(client, "k", b"x")
    get(client, "k")
    with pytest.raises(S3Error):
        get(client, "none")
    found = process.samples()
    assert found['rustfs_put_object_total{track="fs"}'] == 1
    assert found['rustfs_get_object_total{track="fs"}'] == 2
    assert found['rustfs_get_object_errors_total{track="fs"}'] == 0
    assert found["rustfs_fs_write_latency_ms_count"] >= 1


def test_acknowledgement_of_a_dual_track(start: Callable[..., Any], drive: Path) -> None:
    mark(drive, MarkerState.DUAL_WRITE)
    process = start(drive, RUSTFS_DUAL_TRACK_RATIO="0.5", RUSTFS_DUAL_TRACK_EPOCH="1")
    status, body = process.acknowledgement()
    assert status == 200
    assert (body["migrationUID"], body["epoch"], body["engine"], body["ratio"]) == ("uid-1", 1, "fs", "0.5")
    assert (body["fallback"], body["ready"], body["degraded"]) == ("true", True, False)
    (one,) = body["drives"]
    assert one["path"] == str(drive)
    assert one["marker"] == "DualWrite"
    assert one["epochBroken"] is False
    assert process.get("/dualtrack/v1/acknowledgement")[0] == 401


def test_both_tracks_are_counted_by_the_keys_share(start: Callable[..., Any], drive: Path) -> None:
    mark(drive, MarkerState.DUAL_WRITE)
    process = start(drive, RUSTFS_DUAL_TRACK_RATIO="0.5", RUSTFS_DUAL_TRACK_EPOCH="1")
    client = process.client()
    contents = {f"share/{number}": os.urandom(100) for number in range(40)}
    for key, content in contents.items():
        put(client, key, content)
        assert get(client, key) == content
    found = process.samples()
    dual, alone = (found[f'rustfs_put_object_total{{track="{track}"}}'] for track in ("dual", "fs"))
    assert dual + alone == 40
    assert 8 < dual < 32
    assert found['rustfs_get_object_total{track="dual"}'] == dual
    assert found["rustfs_consistency_errors_total"] == 0


def write_until_killed(process: Any, acknowledged: dict[str, bytes], prefix: str, wanted: int) -> None:
    """Four writers; the process is killed in the midst of them once `wanted` writes are acknowledged."""
    client, enough = process.client(), threading.Event()

    def write(number: int) -> None:
        for count in range(1000):
            key, content = f"{prefix}/{number}/{count}", os.urandom(3000)
            try:
                put(client, key, content)
            except (urllib3.exceptions.HTTPError, S3Error):
                return
            acknowledged[key] = content
            if len(acknowledged) >= wanted:
                enough.set()

    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for writer in writers:
        writer.start()
    assert enough.wait(60)
    process.kill()
    for writer in writers:
        writer.join()


def test_kill_and_restart_keep_every_acknowledged_write(start: Callable[..., Any], drive: Path) -> None:
    mark(drive, MarkerState.DUAL_WRITE)
    environment = {"RUSTFS_DUAL_TRACK_RATIO": "1", "RUSTFS_DUAL_TRACK_EPOCH": "1"}
    acknowledged: dict[str, bytes] = {}
    for number in range(3):
        write_until_killed(start(drive, **environment), acknowledged, f"kill/{number}", 60 * (number + 1))
    process = start(drive, **environment)
    client = process.client()
    for key, content in acknowledged.items():
        assert get(client, key) == content
    listed = {found.object_name for found in client.list_objects("plain", "kill/", recursive=True)}
    assert acknowledged.keys() <= listed
    assert process.samples()["rustfs_consistency_errors_total"] == 0
    assert process.terminate() == 0


def slow_put(process: Any, size: int) -> tuple[http.client.HTTPConnection, bytes]:
    """A presigned PUT of which the head and half of the body are sent."""
    url = process.client().presigned_put_object("plain", "slow")
    connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=60)
    content = os.urandom(size)
    connection.putrequest("PUT", url.removeprefix(f"http://{process.address}"))
    connection.putheader("Content-Length", str(size))
    connection.endheaders(content[: size // 2])
    return connection, content


@pytest.mark.parametrize("size", [1000, 3_000_000])
def test_sigterm_finishes_a_put_in_flight(start: Callable[..., Any], drive: Path, size: int) -> None:
    process = start(drive)
    connection, content = slow_put(process, size)
    assert process.get("/health")[0] == 200
    process.child.terminate()
    process.wait_for("stopping")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", process.port), timeout=5)
    connection.send(content[size // 2 :])
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.headers["ETag"].strip('"') == hashlib.md5(content, usedforsecurity=False).hexdigest()
    connection.close()
    assert process.ended() == 0
    again = start(drive)
    assert get(again.client(), "slow") == content


def test_a_put_that_is_killed_half_way_leaves_the_old_object(start: Callable[..., Any], drive: Path) -> None:
    process = start(drive)
    put(process.client(), "slow", b"old")
    connection, _ = slow_put(process, 3_000_000)
    assert process.get("/health")[0] == 200
    process.kill()
    connection.close()
    again = start(drive)
    assert get(again.client(), "slow") == b"old"


def test_a_second_gateway_on_the_drive_is_degraded_and_does_not_acknowledge(
    start: Callable[..., Any], drive: Path
) -> None:
    start(drive)
    second = start(drive)
    assert second.get("/health/ready")[0] == 200
    assert second.acknowledgement()[0] == 503
    assert second.samples()["rustfs_kv_degraded"] == 1


def test_own_writes_are_read_across_every_switch(start: Callable[..., Any], drive: Path) -> None:
    """fs/0, fs/1, kv_primary with and without fallback, and the way back: each sees what the others wrote."""
    epoch = {"RUSTFS_DUAL_TRACK_EPOCH": "1"}
    dual = {"RUSTFS_DUAL_TRACK_RATIO": "1"}
    strict = KV_PRIMARY | {"RUSTFS_FALLBACK_TO_FS": "false"}
    written: dict[str, bytes] = {}
    steps = (
        (MarkerState.DUAL_WRITE, dual, "dual"),
        (MarkerState.KV_PRIMARY, KV_PRIMARY, "kv"),
        (MarkerState.KV_PRIMARY, strict, "kv"),
        (MarkerState.DUAL_WRITE, dual, "dual"),
    )
    for number, (state, environment, track) in enumerate(steps):
        mark(drive, state)
        process = start(drive, **environment, **epoch)
        client = process.client()
        for name in ("new", "over"):
            key = "over" if name == "over" else f"new/{number}"
            written[key] = os.urandom(2000)
            put(client, key, written[key])
        assert {key: get(client, key) for key in written} == written
        listed = {found.object_name for found in client.list_objects("plain", "new/", recursive=True)}
        assert listed == written.keys() - {"over"}
        found = process.samples()
        assert found[f'rustfs_get_object_total{{track="{track}"}}'] == len(written)
        assert found["rustfs_consistency_errors_total"] == 0
        assert process.acknowledgement()[0] == 200
        assert process.terminate() == 0


def peak_memory(process: Any) -> int:
    """Bytes."""
    status = Path(f"/proc/{process.child.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def test_memory_does_not_grow_with_the_object(start: Callable[..., Any], drive: Path) -> None:
    process = start(drive)
    client = process.client()
    piece = os.urandom(1024 * 1024)
    size = 150 * len(piece)
    put(client, "warm", piece)
    before = peak_memory(process)
    url = client.presigned_put_object("plain", "large").removeprefix(f"http://{process.address}")
    connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=60)
    connection.request("PUT", url, body=(piece for _ in range(150)), headers={"Content-Length": str(size)})
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"")
    connection.close()
    content = client.get_object("plain", "large")
    received = sum(map(len, content.stream(1024 * 1024)))
    content.release_conn()
    assert received == size
    assert peak_memory(process) - before < 60 * 1024 * 1024


AS_IN_THE_CHART = """
set -e
mount --bind "$1" "$1"
mount -o remount,bind,ro /
shift
exec setpriv --reuid=10001 --regid=10001 --clear-groups "$@"
"""


def test_runs_as_another_user_without_a_writable_root(start: Callable[..., Any], drive: Path) -> None:
    """As the chart runs it: uid 10001, no home, a root file system that cannot be written."""
    isolate = ["unshare", "--mount", "--propagation", "private", "sh", "-c", AS_IN_THE_CHART, "sh"]
    probe = subprocess.run([*isolate, str(drive), "true"], check=False, capture_output=True)
    if probe.returncode != 0:
        pytest.skip("only root may make a mount namespace and become another user")
    subprocess.run(["chown", "--recursive", "10001:10001", str(drive)], check=True)
    for parent in drive.parents:
        if parent.owner() == "root" and str(parent).startswith("/tmp/"):
            parent.chmod(0o755)
    process = start(drive, prefix=[*isolate, str(drive)])
    client = process.client()
    put(client, "k", b"content")
    assert get(client, "k") == b"content"
    assert (drive / "plain" / "k" / "xl.meta").stat().st_uid == 10001
    assert process.terminate() == 0
