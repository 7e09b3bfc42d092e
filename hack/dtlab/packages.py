"""Debian packages that the local cluster, the image and the tests need; no daemon of theirs is started."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from dtlab.paths import cache
from dtlab.shell import LabError, locked, run, say

# Package -> a program of it, by which we see that it is there.
PROGRAMS = {
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "iproute2": "ip",
    "openssl": "openssl",
    "prometheus": "prometheus",
    "postgresql-15": "/usr/lib/postgresql/15/bin/postgres",
    "debootstrap": "debootstrap",
    "strace": "strace",
    "buildah": "buildah",
    "containernetworking-plugins": "/usr/lib/cni/ptp",
}
POLICY = Path("/usr/sbin/policy-rc.d")


def missing() -> list[str]:
    """The packages whose program is not found."""
    path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return [name for name, program in PROGRAMS.items() if shutil.which(program, path=path) is None]


@contextlib.contextmanager
def _daemons_stay_down() -> Iterator[None]:
    """Debian's own switch: while policy-rc.d answers 101, no maintainer script starts a daemon."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def install() -> list[str]:
    """Install what is missing, without recommended packages; returns the names."""
    with locked(cache() / "locks" / "apt"):
        names = missing()
        if not names:
            return []
        if shutil.which("apt-get") is None:
            raise LabError(
                f"this is no Debian; install by hand: {', '.join(names)}, or use CLUSTER=kind or existing"
            )
        say(f"installing Debian packages: {' '.join(names)}")
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        options = ["-q", "-o", "DPkg::Lock::Timeout=300"]
        with _daemons_stay_down():
            run(["apt-get", "update", *options], env=quiet)
            run(["apt-get", "install", "-y", "--no-install-recommends", *options, *names], env=quiet)
        return names
