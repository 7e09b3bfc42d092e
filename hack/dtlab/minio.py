"""A real MinIO on a drive, on loopback: the peer that must be able to read what we leave behind."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dtlab import tools
from dtlab.paths import tool_bin
from dtlab.pki import Authority
from dtlab.shell import LabError, wait_for

ACCESS_KEY = "peeradmin"
SECRET_KEY = "peersecret123"
# With this key MinIO reads the encrypted objects of the drives in tests/data.
KMS_KEY = "peer-key:" + base64.b64encode(b"k" * 32).decode()
_WAITING = re.compile(r"Waiting for a minimum of \d+ drives to come online")


@dataclass(frozen=True, slots=True)
class Server:
    """A running MinIO."""

    address: str
    pid: int
    authority: Path | None = None
    """Who signed its certificate; without, it speaks plain HTTP."""

    @property
    def url(self) -> str:
        return f"{'https' if self.authority else 'http'}://{self.address}"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def certificates(folder: Path) -> Path:
    """A folder that MinIO takes its certificate from, made anew; `ca.crt` in it is who signed it."""
    authority = Authority(folder)
    authority.create()
    authority.issue("minio", "/CN=minio", "IP:127.0.0.1")
    shutil.copy(folder / "minio.crt", folder / "public.crt")
    shutil.copy(folder / "minio.key", folder / "private.key")
    return folder


def command(drives: Sequence[Path], port: int, tls: Path | None = None) -> list[str]:
    # The console listens too; port 0 lets the kernel choose.
    return [
        str(tool_bin() / "minio"),
        "server",
        *(("--certs-dir", str(tls)) if tls else ()),
        "--address",
        f"127.0.0.1:{port}",
        "--console-address",
        f"127.0.0.1:{free_port()}",
        *map(str, drives),
    ]


def environment(drives: Sequence[Path]) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("MINIO_")},
        "MINIO_ROOT_USER": ACCESS_KEY,
        "MINIO_ROOT_PASSWORD": SECRET_KEY,
        "MINIO_KMS_SECRET_KEY": KMS_KEY,
        "MINIO_CI_CD": "1",  # several drives on one file system
        **_set_size(drives[0]),
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",
        "MINIO_CALLHOME_ENABLE": "off",
    }


def _set_size(drive: Path) -> dict[str, str]:
    """MinIO takes eight drives for one set, and refuses those that are formatted as two sets of four."""
    try:
        xl = json.loads((drive / ".minio.sys" / "format.json").read_text())["xl"]
    except FileNotFoundError:
        return {}
    return {"MINIO_ERASURE_SET_DRIVE_COUNT": str(len(xl["sets"][0]))} if len(xl["sets"]) > 1 else {}


@contextlib.contextmanager
def running(
    *drives: Path,
    port: int | None = None,
    log: Path | None = None,
    seconds: float = 60,
    tls: Path | None = None,
) -> Iterator[Server]:
    """MinIO on these drives (several of them form one server), ready within `seconds`; ended at the exit.

    `log` gets its output, which is dropped otherwise. `tls` is a folder of `certificates`.
    """
    with _started(drives, port or free_port(), log or Path(os.devnull), tls) as (server, process):
        trust = ssl.create_default_context(cafile=server.authority) if server.authority else None

        def ready() -> bool:
            if process.poll() is not None:
                raise LabError(
                    f"MinIO on {drives[0]} ended with {process.returncode}; {log or 'give log= to see why'}"
                )
            return all(_answers(f"{server.url}/minio/health/{each}", trust) for each in ("ready", "cluster"))

        wait_for(f"MinIO on {drives[0]}", ready, seconds=seconds)
        yield server


def refusal(*drives: Path, log: Path, seconds: float = 60) -> str:
    """Why MinIO does not serve these drives, from its `log`. LabError where it serves them, or says nothing.

    On a single drive it ends; of a set it waits for drives, for ever, and answers S3 requests with 503.
    """
    with _started(drives, free_port(), log) as (server, process):

        def said() -> bool:
            if _answers(f"{server.url}/minio/health/cluster", None):
                raise LabError(f"MinIO serves {', '.join(map(str, drives))}")
            return process.poll() is not None or bool(_WAITING.search(log.read_text()))

        wait_for(f"MinIO to refuse {drives[0]}", said, seconds=seconds)
        if process.poll() is None:
            try:
                urllib.request.urlopen(f"{server.url}/bucket/key", timeout=5).close()
            except urllib.error.HTTPError as error:
                return f"answers {error.code}: {_WAITING.findall(log.read_text())[-1]}"
            raise LabError(f"MinIO on {drives[0]} waits for drives and answers a request all the same")
        return f"ended with {process.returncode}: {log.read_text().strip().splitlines()[-1]}"


@contextlib.contextmanager
def _started(
    drives: Sequence[Path], port: int, log: Path, tls: Path | None = None
) -> Iterator[tuple[Server, subprocess.Popen[bytes]]]:
    tools.build(tools.MINIO)
    with log.open("ab") as output:
        process = subprocess.Popen(
            command(drives, port, tls),
            env=environment(drives),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield Server(f"127.0.0.1:{port}", process.pid, tls and tls / "ca.crt"), process
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str, trust: ssl.SSLContext | None) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2, context=trust) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
