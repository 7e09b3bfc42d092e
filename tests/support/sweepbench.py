"""A real drive with a store beside it, and tasks on them as the command line makes them."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dualtrack.engine.client import OwnerClient
from dualtrack.engine.departed import NOTHING, Accepted
from dualtrack.engine.drive import Drive
from dualtrack.engine.migrate import Sweep
from dualtrack.engine.native import library
from dualtrack.engine.owner import Owner, OwnerSettings
from dualtrack.engine.owner_api import OwnerApi
from dualtrack.engine.pace import Pace
from dualtrack.engine.server import Server
from dualtrack.engine.task import Task
from dualtrack.engine.verify import Verification

MAP = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Bench:
    drive: Path
    store: Path

    @contextmanager
    def owner(self) -> Iterator[Owner]:
        settings = OwnerSettings(drive_id=Drive.open(self.drive).drive_id, map_size=MAP)
        owner = Owner.open(str(self.drive), str(self.store), settings)
        try:
            yield owner
        finally:
            owner.close()

    def task(self, owner: OwnerApi, **changes: Any) -> Task:
        run_id = f"test-{uuid.uuid4()}"
        fence = owner.begin(run_id, 0)
        return Task(Drive.open(self.drive), str(self.store), owner, fence, run_id, **changes)

    def migrate(self, *, accepted: Accepted = NOTHING, **changes: Any) -> Task:
        with self.owner() as owner:
            task = self.task(owner, **changes)
            Sweep(task, Pace(None, None, lambda: 0.0), accepted).run()
            return task

    def verify(
        self,
        *,
        final: bool = False,
        waived: frozenset[str] = frozenset(),
        strict: bool = True,
        **changes: Any,
    ) -> Task:
        with self.owner() as owner:
            task = self.task(owner, **changes)
            Verification(task, final, waived, strict).run()
            return task

    @contextmanager
    def served(self) -> Iterator[tuple[Owner, OwnerClient]]:
        """The store's owner, and a client on its socket."""
        with self.owner() as owner:
            server = Server(owner, str(self.store))
            client = OwnerClient(str(self.store), patience=0)
            try:
                yield owner, client
            finally:
                client.close()
                server.close()

    def verify_beside(self, *, final: bool = False) -> Task:
        """What `verify` does, as a client of the store's owner."""
        with self.served() as (_, client):
            task = self.task(client)
            Verification(task, final).run()
            return task

    def record(self) -> dict[str, Any] | None:
        with self.owner() as owner:
            value = owner.meta("verified")
        return json.loads(value) if value else None

    def file(self, bucket: str, key: str) -> Path:
        return self.drive / bucket / key / "xl.meta"


def unreadable(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """From now on this directory cannot be listed, by Python or by the native reader.

    As root every mode lets one in, so the error is injected where the kernel would give it.
    """

    def failing(real: Callable[..., Any]) -> Callable[..., Any]:
        def fail(*arguments: Any) -> Any:
            path = arguments[-1]
            name = os.readlink(f"/proc/self/fd/{path}") if isinstance(path, int) else str(path)
            if name == str(directory):
                raise OSError(5, "injected")
            return real(*arguments)

        return fail

    monkeypatch.setattr(os, "scandir", failing(os.scandir))
    monkeypatch.setattr(library.Reader, "names", failing(library.Reader.names))
