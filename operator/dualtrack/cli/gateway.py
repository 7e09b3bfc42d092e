"""`dualtrack gateway`: serve one drive over S3, with settings from the environment (docs/gateway.md).

There are no flags: what a workload's environment says is what the operator patches and what the gateway
acknowledges, and a flag would be a second truth.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from typing import Final

from dualtrack.errors import DualTrackError
from dualtrack.gateway.logs import EventLog, capture
from dualtrack.gateway.server import serve
from dualtrack.gateway.settings import GatewaySettings

SUMMARY: Final = "serve one drive over S3; settings come from RUSTFS_… variables"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    del parser


def execute(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM, then 0. A refused start is one line and an exit code of the error tree."""
    del arguments
    log = EventLog()
    capture(log)
    try:
        asyncio.run(serve(GatewaySettings.from_env(os.environ), log))
    except (DualTrackError, OSError) as error:
        code = error.exit_code if isinstance(error, DualTrackError) else DualTrackError.exit_code
        log.failure("start_refused", kind=type(error).__name__, error=str(error), exit_code=code)
        return code
    return 0
