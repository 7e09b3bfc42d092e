"""A command line that has loaded everything and forks for each command: for tests that run thousands.

Most of what `strace` costs a short command is its start: ten thousand calls that open modules, each stopped
twice. Here only the command itself is traced. It is the same code from `main` on, in a process of its own
that ends as any does; what differs from a fresh one is that the imports have happened.

A child that is to be traced waits for the other end of a FIFO, so that `strace` can take hold of it first.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import pkgutil
import sys
import threading
from typing import Any

import dualtrack.cli
import dualtrack.engine
from dualtrack.engine.native import library

_PR_SET_PTRACER = 0x59616D61


def load() -> None:
    """Import what the engine's verbs may import, and see that no thread lives that a fork would lose."""
    for package in (dualtrack.engine, dualtrack.cli):
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            library = module.name.rpartition(".")[2].startswith("_")
            if not library and module.name.startswith(("dualtrack.engine.", "dualtrack.cli.engine_")):
                importlib.import_module(module.name)
    assert threading.active_count() == 1


def serve() -> dict[str, Any] | None:
    """Fork for each line of standard input; a child returns with its request, the server at the end."""
    for line in sys.stdin.buffer:
        child = os.fork()
        if not child:
            return dict(json.loads(line))
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return None


def become(request: dict[str, Any]) -> None:
    """Take the streams of the command that was asked for, and its user."""
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        flags = os.O_RDONLY if name == "stdin" else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        opened = os.open(request.get(name, os.devnull), flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.argv = ["dualtrack", *request["words"]]
    if "gate" in request:
        # Where Linux lets only ancestors trace (Yama), a process may say that anybody may.
        ctypes.CDLL(None).prctl(_PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)
        os.close(os.open(request["gate"], os.O_RDONLY))
    if "user" in request:
        library.library()  # while whatever it lies in can be read
        os.setgroups([])
        os.setresgid(*3 * [request["user"]])
        os.setresuid(*3 * [request["user"]])


if __name__ == "__main__":
    load()
    asked = serve()
    if asked is not None:
        from dualtrack.cli.main import main

        become(asked)
        sys.exit(main())
