"""How a verb comes by a store: through the socket of whoever owns it, or by owning it.

In the cluster a Job is only ever a client (`client_only`): were it to open the store in a moment when the
server is down, the server could not start again. On one machine a verb owns the store if nobody else does. A
verb that takes files away must be told that no server runs (`server_stopped`), because a server without a
store has no socket that could say so; it is refused where a socket answers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dualtrack.engine import client
from dualtrack.engine.client import PATIENCE_SECONDS, OwnerClient
from dualtrack.engine.owner import Owner, OwnerSettings
from dualtrack.engine.owner_api import OwnerApi
from dualtrack.engine.stores.location import locate
from dualtrack.errors import OwnerError


@contextmanager
def connect(
    drive: str | None,
    store_dir: str,
    settings: OwnerSettings,
    *,
    client_only: bool = False,
    server_stopped: bool = False,
    patience: float = PATIENCE_SECONDS,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[OwnerApi]:
    """The store's owner, closed at the end. `StoreLockedError` if it is owned by one who does not answer."""
    directory = locate(store_dir, drive).directory
    if client_only or (directory and client.answers(directory)):
        if server_stopped and not client_only:
            raise OwnerError(
                f"a server owns {directory} and answers on its socket, although --server-stopped was given; "
                "stop it first"
            )
        speaker = OwnerClient(directory, patience=patience, stop=stop)
        try:
            speaker.info()
            yield speaker
        finally:
            speaker.close()
        return
    owner = Owner.open(drive, store_dir, settings)
    try:
        yield owner
    finally:
        owner.close()
