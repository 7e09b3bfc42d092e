"""`dualtrack gateway`: serve one drive over S3, with settings from the environment (docs/gateway.md)."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence

from dualtrack.errors import DualTrackError
from dualtrack.gateway.logs import EventLog
from dualtrack.gateway.server import serve
from dualtrack.gateway.settings import GatewaySettings


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "gateway",
        help="serve one drive over S3",
        description="Serve one drive over S3. Settings come from RUSTFS_… variables; see docs/gateway.md.",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Serves until SIGTERM; the exit code is 0 then, and that of the error tree if the start is refused."""
    del arguments
    log = EventLog()
    try:
        asyncio.run(serve(GatewaySettings.from_env(os.environ), log))
    except DualTrackError as error:
        log.failure("start_refused", error=str(error), kind=type(error).__name__, exit_code=error.exit_code)
        return error.exit_code
    except OSError as error:
        log.failure(
            "start_refused", error=str(error), kind=type(error).__name__, exit_code=DualTrackError.exit_code
        )
        return DualTrackError.exit_code
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="dualtrack")
    add_parser(parser.add_subparsers(required=True))
    arguments = parser.parse_args(["gateway", *(sys.argv[1:] if argv is None else argv)])
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
