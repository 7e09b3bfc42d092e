"""`dualtrack engine du`: how many objects, versions and bytes lie below each prefix."""

from __future__ import annotations

import argparse
import heapq
import json
import sys
from collections.abc import Iterable, Iterator

from dualtrack.cli.looking import add_look_arguments, columns, human, looking, printable
from dualtrack.cli.subparsers import Subparsers
from dualtrack.engine.browse.keys import Browsed, Key, chosen, keys, versions
from dualtrack.engine.browse.usage import Usage, every_version, latest, usage
from dualtrack.engine.entries import json_text

_RIGHT = frozenset({"objects", "versions", "bytes"})


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    summary = "objects, versions and bytes below each prefix; each prefix includes what lies below it"
    parser = subparsers.add_parser("du", help=summary, description=summary)
    add_look_arguments(parser)
    parser.add_argument("-d", "--depth", type=_count, default=0, metavar="N", help="levels of prefixes [0]")
    parser.add_argument(
        "--versions", action="store_true", help="bytes of all versions, not of the latest; reads the rows"
    )
    parser.add_argument(
        "--sort",
        choices=("name", "objects", "versions", "bytes"),
        default="name",
        help="largest first [name]",
    )
    parser.add_argument("--top", type=_count, default=0, metavar="N", help="the first N alone")
    parser.add_argument("--human", action="store_true", help="bytes in K, M, G of 1,024")
    parser.add_argument(
        "--format", choices=("text", "jsonl"), default="text", help="jsonl: one object a line"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the usage, in order or the largest first."""
    with looking(arguments) as store:
        found = _sorted(arguments, _usage(arguments, store))
        if arguments.format == "jsonl":
            for each in found:
                fields = {"bucket": json_text(each.bucket), "prefix": json_text(each.prefix)}
                numbers = {"objects": each.objects, "versions": each.versions, "bytes": each.bytes}
                sys.stdout.write(json.dumps(fields | numbers) + "\n")
        else:
            rows = (
                (
                    str(each.objects),
                    str(each.versions),
                    human(each.bytes) if arguments.human else str(each.bytes),
                    printable(f"{each.bucket}/{each.prefix}"),
                )
                for each in found
            )
            columns(rows, ("objects", "versions", "bytes", "prefix"), _RIGHT)
    sys.stdout.flush()
    return 0


def _usage(arguments: argparse.Namespace, store: Browsed) -> Iterator[Usage]:
    for bucket, prefix in chosen(store, arguments.path):
        found = (each for each in keys(store, bucket, prefix) if isinstance(each, Key))
        counted = every_version(versions(store, found)) if arguments.versions else latest(found)
        yield from usage(bucket, prefix, counted, arguments.depth)


def _sorted(arguments: argparse.Namespace, found: Iterable[Usage]) -> Iterable[Usage]:
    """With `--top` no more than that many are held."""
    if arguments.sort == "name":
        return (each for number, each in enumerate(found) if not arguments.top or number < arguments.top)

    def size(each: Usage) -> int:
        return int(getattr(each, arguments.sort))

    return (
        heapq.nlargest(arguments.top, found, key=size)
        if arguments.top
        else sorted(found, key=size, reverse=True)
    )


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("use 0 or more")
    return value
