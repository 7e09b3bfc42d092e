"""A real Prometheus on loopback, and targets that say whatever a test wants."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

PATIENCE_SECONDS = 30.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(what: str, condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; fail where it does not in time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not in {PATIENCE_SECONDS} s: {what}"
        time.sleep(0.05)


class Quiet(BaseHTTPRequestHandler):
    """Answers GET with what `answer` says; logs nothing."""

    def log_message(self, *_: Any) -> None:
        pass


@dataclass
class Target:
    """A process that exports metrics; None is one that is gone."""

    port: int
    text: str | None = ""
    scrapes: int = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def says(self, text: str | None) -> None:
        """Export this from now on, and wait until it was scraped twice."""
        self.text = text
        seen = self.scrapes
        until("two scrapes", lambda: self.scrapes >= seen + 2)


def serve(handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


@contextmanager
def exporting() -> Iterator[Target]:
    """A target that says nothing yet."""
    target = Target(0)

    class Exporter(Quiet):
        def do_GET(self) -> None:
            target.scrapes += 1
            body = (target.text or "").encode()
            self.send_response(200 if target.text is not None else 500)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = serve(Exporter)
    target.port = server.server_address[1]
    try:
        yield target
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class Prometheus:
    """A running server; `stop` and `start` keep its data."""

    address: str
    command: Sequence[str]
    log: Path
    process: subprocess.Popen[bytes] | None = field(default=None)

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)
        until("Prometheus ready", self._ready)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=PATIENCE_SECONDS)
            self.process = None

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            with urllib.request.urlopen(f"{self.address}/-/ready", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@contextmanager
def prometheus(folder: Path, targets: Sequence[Target], more: str = "") -> Iterator[Prometheus]:
    """A Prometheus that scrapes the targets five times a second, from five seconds after its start on."""
    binary = shutil.which("prometheus")
    if binary is None:
        pytest.skip("needs the program prometheus")
    folder.mkdir()
    addresses = ", ".join(f"'{target.address}'" for target in targets)
    (folder / "prometheus.yml").write_text(
        "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
        f"scrape_configs: [{{job_name: rustfs, static_configs: [{{targets: [{addresses}]}}]}}]\n{more}"
    )
    port = free_port()
    command = [
        binary,
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    server = Prometheus(f"http://127.0.0.1:{port}", command, folder / "log")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@dataclass(frozen=True, slots=True)
class Scraped:
    """A Prometheus with targets that nobody has used yet."""

    server: Prometheus
    unused: list[Target]

    @property
    def address(self) -> str:
        return self.server.address

    def target(self) -> Target:
        return self.unused.pop()


@dataclass(frozen=True, slots=True)
class Servers:
    """Prometheus only looks for targets every five seconds: all that the tests need wait at the same time."""

    shared: Scraped
    """For all tests. Each asks for the series of its own targets."""
    partial: Scraped
    """Knows a second store, which does not answer."""
    stopped: Scraped
    """For the one test that stops it."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("prometheus")
    nowhere = "remote_read: [{url: 'http://127.0.0.1:1/read', read_recent: true}]\n"
    with ExitStack() as running:

        def start(name: str, count: int, more: str = "") -> Scraped:
            targets = [running.enter_context(exporting()) for _ in range(count)]
            return Scraped(running.enter_context(prometheus(folder / name, targets, more)), targets)

        yield Servers(start("shared", 6), start("partial", 1, nowhere), start("stopped", 1))
