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
from contextlib import nullcontext
from types import ModuleType

import dualtrack.cli
from dualtrack.cli import streams
from dualtrack.cli.jobresult import clear_result, write_failure
from dualtrack.cli.subparsers import Subparsers
from dualtrack.cli.terminated import Terminated, ending_where_it_stands
from dualtrack.errors import DualTrackError, IncompleteError, OutputError

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
    top.add_argument("--version", action="version", version=f"dualtrack {dualtrack.__version__}")
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
    """Run one command. Errors of ours, and those of a file with a name, end with a message and an exit code;
    others are bugs and show where.
    """
    if arguments is None:
        streams.speak_utf8()
    streams.prepare()
    given = list(sys.argv[1:] if arguments is None else arguments)
    top = parser(given)
    parsed, unknown = top.parse_known_args(given)
    if unknown:
        named = " ".join(filter(None, (getattr(parsed, name, None) for name in ("command", "verb", "step"))))
        top.error(f"unrecognized arguments: {' '.join(unknown)}; see: dualtrack {named} --help")
    code = 0
    try:
        clear_result(parsed)
        # The other commands are servers, or short; `bench` removes what it made first.
        with ending_where_it_stands() if parsed.command == "engine" else nullcontext():
            code = int(parsed.run(parsed))
            sys.stdout.flush()
    except OutputError as error:
        # `dualtrack engine inventory | head`: nothing is wrong, and nobody reads a message.
        return _failed(parsed, error) if not error.reader_gone else code
    except DualTrackError as error:
        return _failed(parsed, error)
    except OSError as error:
        if error.filename is None:
            raise
        return _failed(parsed, DualTrackError(f"{os.fsdecode(error.filename)}: {error.strerror}"))
    except Terminated:
        streams.drop_output()
        return _failed(parsed, IncompleteError("interrupted"))
    except KeyboardInterrupt:
        return _INTERRUPTED
    finally:
        streams.give_up_output()
    return code


def _failed(parsed: argparse.Namespace, error: DualTrackError) -> int:
    write_failure(parsed, error)
    streams.say(f"dualtrack: {error}")
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
