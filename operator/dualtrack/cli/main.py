"""`dualtrack`: finds the command, runs it, and turns an error of ours into a message and its exit code.

Commands are found, not listed: `engine_NAME.py` in this package is `dualtrack engine NAME` (dashes for
underscores), and the modules in `COMMANDS` are the others. Only the module of the command that was asked for
is imported, because the operator's libraries take longer to load than most engine verbs take to run; where
none was, all are, for the help.

A verb's module has `add_parser(subparsers)` and `run(arguments) -> int`; a command's module has `SUMMARY`,
`add_arguments(parser)` and `execute(arguments) -> int`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from types import ModuleType

import dualtrack.cli
from dualtrack.cli.jobresult import clear_result, write_failure
from dualtrack.cli.subparsers import Subparsers
from dualtrack.errors import DualTrackError

COMMANDS = ("operator", "gateway", "config", "bench")
_VERB = "engine_"
_INTERRUPTED = 130


def engine_verbs() -> dict[str, str]:
    """The engine's verbs and their modules, by what lies in this package."""
    found = (module.name for module in pkgutil.iter_modules(dualtrack.cli.__path__))
    return {
        name.removeprefix(_VERB).replace("_", "-"): f"dualtrack.cli.{name}"
        for name in sorted(found)
        if name.startswith(_VERB)
    }


def parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser for these arguments: whole for the command that they name, names only for the others."""
    words = [word for word in arguments if not word.startswith("-")]
    top = argparse.ArgumentParser(
        prog="dualtrack", description="Move an object store's metadata, with proof."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        module = f"dualtrack.cli.{name}"
        # Without a command this is a call for help, which tells of all of them.
        if words[:1] in ([], [name]):
            _add_command(commands, name, importlib.import_module(module))
        else:
            commands.add_parser(name)
    engine = commands.add_parser("engine", help="work on a drive and its store")
    verbs = engine.add_subparsers(dest="verb", required=True, metavar="VERB")
    for name, module in engine_verbs().items():
        if words[:2] in (["engine"], ["engine", name]):
            importlib.import_module(module).add_parser(verbs)
        else:
            verbs.add_parser(name)
    return top


def _add_command(commands: Subparsers, name: str, module: ModuleType) -> None:
    command = commands.add_parser(name, help=module.SUMMARY, description=module.SUMMARY)
    module.add_arguments(command)
    command.set_defaults(run=module.execute)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Errors of ours end with their own exit code; others are bugs and show where."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parsed = parser(given).parse_args(given)
    try:
        clear_result(parsed)
        return int(parsed.run(parsed))
    except DualTrackError as error:
        write_failure(parsed, error)
        print(f"dualtrack: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # `dualtrack engine inventory | head`: nothing is wrong, and nobody reads a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return _INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
