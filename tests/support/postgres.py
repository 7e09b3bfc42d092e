"""A real PostgreSQL for tests: Debian's, as an unprivileged user, on a socket in a directory of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

BIN = Path("/usr/lib/postgresql/15/bin")
_ACCOUNT = "nobody"


def _as_nobody(directory: Path) -> dict[str, int]:
    """PostgreSQL refuses to run as root."""
    if os.getuid():
        return {}
    account = pwd.getpwnam(_ACCOUNT)
    os.chown(directory, account.pw_uid, account.pw_gid)
    return {"user": account.pw_uid, "group": account.pw_gid}


class Postgres:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self._as = _as_nobody(directory)

    @property
    def url(self) -> str:
        return f"postgresql://postgres:secret@/postgres?host={quote(str(self.directory), safe='')}"

    def run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(BIN / program), *arguments],
            cwd=self.directory,
            env={"PATH": str(BIN), "LC_ALL": "C", "TZ": "UTC"},
            capture_output=True,
            text=True,
            **self._as,  # type: ignore[call-overload]
        )
        assert done.returncode == 0, done.stderr + done.stdout

    def create(self) -> None:
        password = self.directory / "password"
        password.write_text("secret\n")
        password.chmod(0o644)
        login = ["--username=postgres", "--auth=scram-sha-256", f"--pwfile={password}"]
        self.run("initdb", f"--pgdata={self.data}", "--no-sync", *login)

    def start(self, settings: Mapping[str, str] = {}) -> None:
        options = {"listen_addresses": "", "unix_socket_directories": str(self.directory)} | dict(settings)
        words = " ".join(f"-c {name}='{value}'" for name, value in options.items())
        log = str(self.directory / "log")
        self.run("pg_ctl", "-D", str(self.data), "-l", log, "-w", "-o", words, "start")

    def stop(self) -> None:
        """As a crash would: connections are cut and the next start recovers from the log."""
        self.run("pg_ctl", "-D", str(self.data), "-m", "immediate", "-w", "stop")

    def restart(self, settings: Mapping[str, str] = {}) -> None:
        if self.running:
            self.stop()
        self.start(settings)

    @property
    def running(self) -> bool:
        return (self.data / "postmaster.pid").exists()


@contextmanager
def postgres(directory: Path) -> Iterator[Postgres]:
    """A server that runs until the end of the block. `directory` must be short: sockets have 107 bytes."""
    if not (BIN / "initdb").exists():
        pytest.fail("PostgreSQL 15 is missing: make tools, or apt-get install postgresql-15")
    directory.mkdir(parents=True)
    server = Postgres(directory)
    try:
        server.create()
        server.start()
        yield server
    finally:
        if server.running:
            server.stop()
        shutil.rmtree(directory)
