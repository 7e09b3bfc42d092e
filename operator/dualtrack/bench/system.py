"""What can be measured: a system that opens, for one workload, a place of its own to write to.

Everything that is written lies in that place, which was empty, and `remove` takes it away again.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from dualtrack.bench.workloads import Payload, Workload

PAGE = 1000
"""Keys a page of a listing, which is S3's own limit."""


class OperationFailed(Exception):
    """One operation did not succeed: it is counted and named, and is no figure."""


class Session(Protocol):
    """One client: one thread's, and one connection where there are any. All raise `OperationFailed`."""

    def put(self, key: str, payload: Payload) -> None: ...

    def put_known(self, key: str, payload: Payload) -> bool:
        """An object of content that the system has, without its bytes; False if it wants them after all."""
        ...

    def get(self, key: str) -> bytes: ...

    def page(self, prefix: str, after: str) -> tuple[list[str], str]:
        """Keys below a prefix, at most `PAGE`, and what to go on after; "" at the end."""
        ...


class Place(Protocol):
    def session(self) -> AbstractContextManager[Session]: ...

    def settle(self) -> None:
        """Wait until the work that answered operations left for later is done."""
        ...

    def remove(self) -> list[str]:
        """Take away what was written, and nothing else; the names of what could not be removed."""
        ...


class System(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def told(self) -> str:
        """What it is and where, for the report; no secrets."""
        ...

    def open(self, workload: Workload) -> Place:
        """`RefusedError` where the place is not empty, `UnavailableError` where nobody answers. Raises with
        nothing left behind."""
        ...
