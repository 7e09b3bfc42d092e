"""`dualtrack engine ls`: the buckets of a store, or what lies below a prefix, as an S3 listing shows it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator

from dualtrack.cli.looking import add_look_arguments, columns, day, human, looking, printable
from dualtrack.cli.subparsers import Subparsers
from dualtrack.engine.browse.keys import Browsed, CommonPrefix, Key, chosen, counts, keys, versions
from dualtrack.engine.entries import KINDS, Entry, json_text, rfc3339


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    summary = "list a store like S3 does: buckets, common prefixes and objects, or every version"
    parser = subparsers.add_parser("ls", help=summary, description=summary)
    add_look_arguments(parser)
    parser.add_argument("-l", "--long", action="store_true", help="size, time, versions, class and ETag, too")
    parser.add_argument("-r", "--recursive", action="store_true", help="every key, no common prefixes")
    parser.add_argument("--delimiter", default="/", metavar="TEXT", help="ends a common prefix [/]")
    parser.add_argument("--prefix", default="", help="only keys that begin so; added to that of the path")
    parser.add_argument("--versions", action="store_true", help="every version, delete markers included")
    parser.add_argument("--human", action="store_true", help="sizes in K, M, G of 1,024")
    parser.add_argument(
        "--format", choices=("text", "jsonl"), default="text", help="jsonl: one object a line"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the listing as it is read."""
    with looking(arguments) as store:
        if not arguments.path:
            _buckets(arguments, store)
        else:
            for line in _lines(arguments, store):
                sys.stdout.write(line + "\n")
    sys.stdout.flush()
    return 0


def _buckets(arguments: argparse.Namespace, store: Browsed) -> None:
    if arguments.format == "jsonl":
        for name, objects, versions_of in counts(store):
            fields = {"bucket": json_text(name), "objects": objects, "versions": versions_of}
            sys.stdout.write(json.dumps(fields) + "\n")
        return
    rows = ((printable(name), *map(str, numbers)) for name, *numbers in counts(store))
    columns(rows, ("bucket", "objects", "versions"), frozenset({"objects", "versions"}))


def _lines(arguments: argparse.Namespace, store: Browsed) -> Iterator[str]:
    [(bucket, prefix)] = chosen(store, arguments.path)
    delimiter = "" if arguments.recursive else arguments.delimiter
    for each in keys(store, bucket, prefix + arguments.prefix, delimiter):
        match each:
            case CommonPrefix():
                yield _prefix(arguments, each)
            case Key() if arguments.versions:
                for _, listed in versions(store, [each]):
                    yield from (_version(arguments, entry) for entry in listed)
            case Key() if each.summary.listed:
                yield _object(arguments, each)


def _prefix(arguments: argparse.Namespace, each: CommonPrefix) -> str:
    if arguments.format == "jsonl":
        return json.dumps({"bucket": json_text(each.bucket), "prefix": json_text(each.prefix)})
    return (
        f"{'PRE':>{_width(arguments)}}  {printable(each.prefix)}"
        if arguments.long
        else printable(each.prefix)
    )


def _object(arguments: argparse.Namespace, each: Key) -> str:
    found = each.summary
    if arguments.format == "jsonl":
        return json.dumps(
            {
                "bucket": json_text(each.bucket),
                "key": json_text(each.key),
                "size": found.size,
                "lastModified": rfc3339(found.mod_time_ns),
                "etag": None if found.etag is None else json_text(found.etag),
                "storageClass": json_text(found.storage_class),
                "versions": found.version_count,
                "inline": found.inline,
            }
        )
    if not arguments.long:
        return printable(each.key)
    etag = found.etag if found.etag is not None else "(sealed)"
    return (
        f"{_size(arguments, found.size)}  {day(found.mod_time_ns)}  {found.version_count:>5}  "
        f"{printable(found.storage_class):<10}  {printable(etag):<32}  {printable(each.key)}"
    )


def _version(arguments: argparse.Namespace, entry: Entry) -> str:
    if arguments.format == "jsonl":
        return json.dumps(entry.to_json(), separators=(",", ":"))
    words = f"{entry.version_id:<36}  {printable(entry.key)}"
    if not arguments.long:
        return words
    kind = entry.kind if entry.kind != next(iter(KINDS.values())) else ("latest" if entry.is_latest else "")
    return f"{_size(arguments, entry.size)}  {day(entry.last_modified_ns)}  {kind:<12}  {words}"


def _size(arguments: argparse.Namespace, number: int) -> str:
    return f"{human(number) if arguments.human else number:>{_width(arguments)}}"


def _width(arguments: argparse.Namespace) -> int:
    return 8 if arguments.human else 14
