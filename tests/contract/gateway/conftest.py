"""The real gateway, as a process of its own, on a copy of a drive that a real MinIO filled."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
import urllib3
from minio import Minio

ACCESS, SECRET, TOKEN = "peeradmin", "peersecret123", "acknowledge"
PATIENCE = 60


@dataclass
class Process:
    """One run of `dualtrack gateway`; its log lines arrive as they are written."""

    child: subprocess.Popen[str]
    lines: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self._queue: Queue[dict[str, Any] | None] = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._pools: list[urllib3.PoolManager] = []

    def _read(self) -> None:
        assert self.child.stderr is not None
        with self.child.stderr:
            for line in self.child.stderr:
                self._queue.put(json.loads(line))
        self._queue.put(None)

    def wait_for(self, event: str) -> dict[str, Any]:
        """The next line of that event; fails if the process ends first."""
        while True:
            line = self._queue.get(timeout=PATIENCE)
            assert line is not None, f"the gateway ended before {event}: {self.lines}"
            self.lines.append(line)
            if line["event"] == event:
                return line

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def client(self) -> Minio:
        pool = urllib3.PoolManager(retries=False, maxsize=16)
        self._pools.append(pool)
        return Minio(self.address, ACCESS, SECRET, secure=False, region="us-east-1", http_client=pool)

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def acknowledgement(self) -> tuple[int, dict[str, Any]]:
        status, body = self.get("/dualtrack/v1/acknowledgement", {"Authorization": f"Bearer {TOKEN}"})
        return status, json.loads(body)

    def samples(self) -> dict[str, float]:
        lines = self.get("/metrics")[1].splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def terminate(self) -> int:
        self.child.send_signal(signal.SIGTERM)
        return self.ended()

    def kill(self) -> None:
        self.child.kill()
        self.ended()

    def ended(self) -> int:
        code = self.child.wait(PATIENCE)
        self._reader.join(PATIENCE)
        for pool in self._pools:
            pool.clear()
        return code


Start = Callable[..., Process]


def launch(drive: Path, environment: dict[str, str], prefix: Sequence[str] = ()) -> Process:
    settings = {
        "PATH": os.environ["PATH"],
        "RUSTFS_VOLUMES": str(drive),
        "RUSTFS_ADDRESS": "127.0.0.1:0",
        "RUSTFS_ACCESS_KEY": ACCESS,
        "RUSTFS_SECRET_KEY": SECRET,
        "RUSTFS_DUAL_TRACK_ACK_TOKEN": TOKEN,
        **environment,
    }
    command = [*prefix, sys.executable, "-m", "dualtrack.cli.main", "gateway"]
    child = subprocess.Popen(
        command,
        env={name: value for name, value in settings.items() if value},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    return Process(child)


def serving(drive: Path, environment: dict[str, str], prefix: Sequence[str] = ()) -> Process:
    process = launch(drive, environment, prefix)
    process.port = int(process.wait_for("listening")["address"].rpartition(":")[2])
    process.wait_for("ready")
    return process


def end(process: Process) -> None:
    if process.child.poll() is None:
        process.kill()
    else:
        process.ended()


@pytest.fixture
def start() -> Iterator[Start]:
    """Start gateways; what still runs at the test's end is killed."""
    running: list[Process] = []

    def begin(drive: Path, *, ready: bool = True, prefix: Sequence[str] = (), **environment: str) -> Process:
        process = serving(drive, environment, prefix) if ready else launch(drive, environment, prefix)
        running.append(process)
        return process

    yield begin
    for process in running:
        end(process)


@pytest.fixture
def drive(pristine: Callable[[str], Path], tmp_path: Path) -> Path:
    """A small drive of one's own: MinIO's system volume and bucket `plain`."""
    source = pristine("minio-single") / "d1"
    target = tmp_path / "drive"
    target.mkdir()
    for name in (".minio.sys", "plain"):
        subprocess.run(["cp", "--archive", str(source / name), str(target)], check=True)
    for left_out in (target / ".minio.sys" / "buckets").iterdir():
        if left_out.is_dir() and left_out.name not in ("plain",) and not left_out.name.startswith("."):
            subprocess.run(["rm", "--recursive", str(left_out)], check=True)
    return target


@pytest.fixture(scope="session")
def whole(pristine: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A gateway in fs/0 on a copy of the whole drive, for tests that only read."""
    target = tmp_path_factory.mktemp("gateway-whole")
    subprocess.run(["cp", "--archive", str(pristine("minio-single") / "d1"), str(target)], check=True)
    process = serving(target / "d1", {})
    yield process
    assert process.terminate() == 0


@pytest.fixture(scope="session")
def shared(pristine: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A gateway for tests that write into buckets of their own."""
    target = tmp_path_factory.mktemp("gateway-shared") / "drive"
    target.mkdir()
    source = pristine("minio-single") / "d1"
    subprocess.run(["cp", "--archive", str(source / ".minio.sys"), str(target)], check=True)
    process = serving(target, {})
    yield process
    assert process.terminate() == 0


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def client(shared: Process) -> Minio:
    return shared.client()


@pytest.fixture
def bucket(client: Minio, request: pytest.FixtureRequest) -> str:
    """A bucket of this test's own."""
    name = "b" + hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:20]
    client.make_bucket(name)
    return name
