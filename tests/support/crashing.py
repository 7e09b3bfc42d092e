"""One operation on an object layer, killed before the n-th thing that it does to the drive.

    crashing.py        one JSON order a line on standard input, one JSON answer a line on standard output

Each order is carried out by a child of its own that is forked from this process, which has one thread and has
opened nothing: so a case costs milliseconds. The answer names what the child did to the drive, in order, and
whether it was killed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dualtrack.engine import blake, files
from dualtrack.engine.journal import Journal
from dualtrack.engine.objects.levels import Level
from dualtrack.engine.objects.types import Attributes, Content
from dualtrack.engine.orphans.collecting import collect
from dualtrack.engine.stores.lmdb import LmdbStore
from layers import Body, opened, orphans_task

STEPS: dict[str, tuple[Any, str]] = {
    "stage": (files, "write_new"),
    "rename": (files, "rename"),
    "move": (files, "rename_exclusive"),
    "unlink": (files, "unlink"),
    "rmdir": (files, "remove_directory"),
    "sync": (files, "sync_directory"),
    "mkdir": (files, "ensure_directory"),
    "link": (files, "link"),
    "mark": (Journal, "mark"),
    "clear": (Journal, "clear"),
    "commit": (LmdbStore, "commit_many"),
}


def watch(drive: str, limit: int, trace: int) -> None:
    """From now on tell each step on `trace`, and die before the one with the number `limit`."""
    count = 0

    def wrapped(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == limit:
                os.kill(os.getpid(), signal.SIGKILL)
            result = function(*arguments, **named)
            os.write(trace, (json.dumps([name, *_paths(drive, arguments)]) + "\n").encode())
            return result

        return step

    for name, (owner, attribute) in STEPS.items():
        setattr(owner, attribute, wrapped(name, getattr(owner, attribute)))


def _paths(drive: str, arguments: tuple[Any, ...]) -> list[str]:
    texts = [os.fsdecode(each) for each in arguments if isinstance(each, str | bytes)]
    return [text.removeprefix(drive + "/") for text in texts]


def operate(order: dict[str, Any], trace: int) -> None:
    drive = order["drive"]
    if order["operation"] == "open":
        watch(drive, order["step"], trace)
    settings = {"level": Level(order["level"]), "instant": order["operation"] == "known"}
    with opened(Path(drive), order["mode"], **settings) as layer:
        if order["operation"] == "open":
            os._exit(0)
        watch(drive, order["step"], trace)
        if order["operation"] == "put":
            layer.put("bucket", order["key"], Body(order["content"].encode() * order["times"]), Attributes())
        elif order["operation"] == "known":
            content = order["content"].encode() * order["times"]
            named = Content(blake.digest(content).hex(), len(content))
            layer.put_known("bucket", order["key"], named, Attributes())
        elif order["operation"] == "collect":
            with orphans_task(layer, order["hours"]) as task:
                collect(task)
        else:
            layer.delete("bucket", order["key"])
        os._exit(0)


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                operate(order, writing)
            finally:
                os._exit(3)
        os.close(writing)
        with os.fdopen(reading) as trace:
            steps = [json.loads(each) for each in trace]
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        failed = not killed and os.waitstatus_to_exitcode(status) != 0
        print(json.dumps({"killed": killed, "failed": failed, "steps": steps}), flush=True)


class Crasher:
    """The process above, as a test drives it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, **order: Any) -> tuple[bool, list[list[str]]]:
        """Whether the child was killed, and what it did before."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert not answer["failed"], answer
        return answer["killed"], answer["steps"]

    def close(self) -> None:
        self._process.communicate()


if __name__ == "__main__":
    main()
