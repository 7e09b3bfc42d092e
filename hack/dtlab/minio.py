"""A real MinIO on a drive, on loopback: the peer that must be able to read what we leave behind."""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dtlab import tools
from dtlab.paths import tool_bin
from dtlab.shell import LabError, wait_for

ACCESS_KEY = "peeradmin"
SECRET_KEY = "peersecret123"
# With this key MinIO reads the encrypted objects of the drives in tests/data.
KMS_KEY = "peer-key:" + base64.b64encode(b"k" * 32).decode()


@dataclass(frozen=True, slots=True)
class Server:
    """A running MinIO."""

    address: str
    pid: int

    @property
    def url(self) -> str:
        return f"http://{self.address}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(drives: Sequence[Path], port: int) -> list[str]:
    # The console listens too; port 0 lets the kernel choose.
    return [
        str(tool_bin() / "minio"),
        "server",
        "--quiet",
        "--address",
        f"127.0.0.1:{port}",
        "--console-address",
        f"127.0.0.1:{free_port()}",
        *map(str, drives),
    ]


def environment() -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("MINIO_")},
        "MINIO_ROOT_USER": ACCESS_KEY,
        "MINIO_ROOT_PASSWORD": SECRET_KEY,
        "MINIO_KMS_SECRET_KEY": KMS_KEY,
        "MINIO_CI_CD": "1",  # several drives on one file system
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
        "MINIO_CALLHOME_ENABLE": "off",
    }


@contextlib.contextmanager
def running(
    *drives: Path, port: int | None = None, log: Path | None = None, seconds: float = 60
) -> Iterator[Server]:
    """MinIO on these drives (several of them form one server), ready within `seconds`; ended at the exit.

    `log` gets its output, which is dropped otherwise.
    """
    tools.build(tools.MINIO)
    chosen = port or free_port()
    with (log or Path(os.devnull)).open("ab") as output:
        process = subprocess.Popen(
            command(drives, chosen), env=environment(), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    server = Server(f"127.0.0.1:{chosen}", process.pid)

    def ready() -> bool:
        if process.poll() is not None:
            raise LabError(
                f"MinIO on {drives[0]} ended with {process.returncode}; {log or 'give log= to see why'}"
            )
        return _answers(server.url + "/minio/health/ready") and _answers(server.url + "/minio/health/cluster")

    try:
        wait_for(f"MinIO on {drives[0]}", ready, seconds=seconds)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
