"""What `ls`, `du` and `find` have in common: the store they look into, and names on a terminal.

A name is up to 1,024 bytes of anything. On a terminal and in text, control characters and bytes that are no
UTF-8 are written as escapes, so that no name can move the cursor or pass for two lines; JSON and `-0` are
lossless.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from dualtrack.cli import cycles, streams
from dualtrack.engine.browse.keys import Browsed
from dualtrack.engine.browse.together import Together
from dualtrack.engine.entries import rfc3339
from dualtrack.engine.look import look
from dualtrack.errors import IncompleteError

_UNITS = ("", "K", "M", "G", "T", "P")


def add_look_arguments(parser: argparse.ArgumentParser) -> None:
    """The store, and where in it."""
    parser.add_argument("path", nargs="?", metavar="BUCKET[/PREFIX]", help="where to look [all buckets]")
    parser.add_argument(
        "--store",
        action="append",
        required=True,
        metavar="STORE",
        help="DIR, rocksdb:DIR or postgresql://…; a snapshot, too. Repeated for every drive of the server: "
        "what their sets hold",
    )
    parser.add_argument("--client-only", action="store_true", help="never open the store, only ask its owner")


@contextmanager
def looking(arguments: argparse.Namespace) -> Iterator[Browsed]:
    """The store, or those of several drives together, for reading alone. IncompleteError at the end where the
    drives cannot decide what their sets hold.
    """
    cycles.look_rarely()
    with ExitStack() as stack:
        looks = [
            stack.enter_context(look(store, client_only=arguments.client_only)) for store in arguments.store
        ]
        if len(looks) == 1:
            yield looks[0]
            return
        together = Together.of(arguments.store, looks)
        yield together
        sys.stdout.flush()
        undecided, notes = together.troubles()
    for line in (*notes, *(f"undecided: {each}" for each in undecided)):
        streams.say(printable(line))
    if undecided:
        raise IncompleteError(f"{len(undecided)} things cannot be decided: {undecided[0]}")


def printable(name: str) -> str:
    """One line, whatever the name is."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else _escape(each) for each in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def human(number: int) -> str:
    """`1.5K`, in units of 1,024; exact below."""
    value = float(number)
    for unit in _UNITS:
        if value < 1024 or unit == _UNITS[-1]:
            break
        value /= 1024
    return str(number) if not unit else f"{value:.1f}{unit}"


def day(nanoseconds: int) -> str:
    """To the second: `2026-11-26T03:40:00Z`."""
    return rfc3339(nanoseconds).partition(".")[0] + "Z"


def columns(rows: Iterable[Sequence[str]], heads: Sequence[str], right: frozenset[str]) -> None:
    """A table on a terminal, as wide as it has to be; piped, tab-separated lines without heads, at once."""
    if not sys.stdout.isatty():
        for row in rows:
            sys.stdout.write("\t".join(row) + "\n")
        return
    kept = [tuple(heads), *map(tuple, rows)]
    widths = [max(map(cell_len, column)) for column in zip(*kept, strict=True)]
    lines = (_aligned(row, heads, widths, right) for row in kept)
    Console(highlight=False, soft_wrap=True).print(Text(next(lines), style="bold"))
    sys.stdout.writelines(f"{line}\n" for line in lines)


def _aligned(row: Sequence[str], heads: Sequence[str], widths: Sequence[int], right: frozenset[str]) -> str:
    # Not by rich, which leaves out what a narrow terminal has no room for.
    cells = []
    for cell, head, width in zip(row, heads, widths, strict=True):
        space = " " * (width - cell_len(cell))
        cells.append(space + cell if head in right else cell + space)
    return "  ".join(cells).rstrip()
