"""`dualtrack engine find`: objects by name, size, age, class, tags or metadata, from the store alone.

Name, size, age, class and the like are answered from the index; rows are read only for tags, metadata and
`--all-versions`, and only of what passed the rest.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from dualtrack.cli.looking import add_look_arguments, looking, printable
from dualtrack.cli.subparsers import Subparsers
from dualtrack.engine.browse import predicates
from dualtrack.engine.browse.keys import Key, chosen, keys, versions
from dualtrack.engine.browse.predicates import OfFacts, OfKey, Search
from dualtrack.engine.entries import Entry
from dualtrack.errors import UsageError

_Made = TypeVar("_Made")
_ANSWERS = {"yes": True, "no": False}


def add_parser(subparsers: Subparsers) -> None:
    """Declare the verb."""
    summary = "objects by name, size, age, class, tags or metadata; all tests must hold"
    parser = subparsers.add_parser("find", help=summary, description=summary)
    add_look_arguments(parser)
    parser.add_argument("--name", metavar="GLOB", help="the last part of the key: '*.jpg'")
    parser.add_argument("--path", dest="whole", metavar="GLOB", help="the whole key; * crosses slashes")
    parser.add_argument(
        "--regex", metavar="RE", help="a regular expression that matches from the key's start"
    )
    parser.add_argument("--larger", metavar="N[kMGT]", help="more bytes than this; units of 1,024")
    parser.add_argument("--smaller", metavar="N[kMGT]", help="fewer bytes than this; 1 finds the empty ones")
    parser.add_argument("--older", metavar="AGE", help="last modified before: 30d, 12h, 2026-11-01")
    parser.add_argument("--newer", metavar="AGE", help="last modified after")
    parser.add_argument("--storage-class", metavar="NAME")
    parser.add_argument("--tag", action="append", default=[], metavar="NAME[=VALUE]", help="has this tag")
    parser.add_argument(
        "--metadata", action="append", default=[], metavar="NAME[=VALUE]", help="has this user metadata"
    )
    parser.add_argument(
        "--deleted", choices=tuple(_ANSWERS), help="is a delete marker [no, unless --all-versions]"
    )
    parser.add_argument("--inline", choices=tuple(_ANSWERS), help="data lies in the metadata itself")
    parser.add_argument("--min-versions", type=int, metavar="N", help="has N versions or more")
    parser.add_argument("--all-versions", action="store_true", help="test and print every version")
    parser.add_argument("-0", "--print0", action="store_true", help="exact names, ended by NUL, for xargs -0")
    parser.add_argument(
        "--format", choices=("text", "jsonl"), default="text", help="jsonl: as export prints them"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what is found as it is found."""
    search = _search(arguments, datetime.now(UTC))
    with looking(arguments) as store:
        for bucket, prefix in chosen(store, arguments.path):
            passed = (
                each for each in keys(store, bucket, prefix) if isinstance(each, Key) and search.passes(each)
            )
            if search.of_versions or arguments.all_versions or arguments.format == "jsonl":
                for _, listed in versions(store, passed):
                    for entry in search.passing(listed):
                        _print(arguments, entry.bucket, entry.key, entry)
            else:
                for each in passed:
                    _print(arguments, each.bucket, each.key, None)
    sys.stdout.flush()
    return 0


def _print(arguments: argparse.Namespace, bucket: str, key: str, entry: Entry | None) -> None:
    if arguments.format == "jsonl" and entry is not None:
        sys.stdout.write(json.dumps(entry.to_json(), separators=(",", ":")) + "\n")
    elif arguments.print0:
        sys.stdout.buffer.write(os.fsencode(f"{bucket}/{key}") + b"\0")
    else:
        version = f"\t{entry.version_id}" if entry is not None and arguments.all_versions else ""
        sys.stdout.write(f"{printable(bucket)}/{printable(key)}{version}\n")


def _search(arguments: argparse.Namespace, now: datetime) -> Search:
    of_keys: list[OfKey] = []
    of_facts: list[OfFacts] = []
    for option, expression in (
        ("--name", arguments.name and predicates.name(arguments.name)),
        ("--path", arguments.whole and predicates.path(arguments.whole)),
        ("--regex", arguments.regex),
    ):
        if expression:
            of_keys.append(_told(option, expression, predicates.matching))
    if arguments.larger:
        most = _told("--larger", arguments.larger, predicates.size)
        of_facts.append(lambda facts: facts.size > most)
    if arguments.smaller:
        least = _told("--smaller", arguments.smaller, predicates.size)
        of_facts.append(lambda facts: facts.size < least)
    if arguments.older:
        before = _told("--older", arguments.older, lambda text: predicates.moment(text, now))
        of_facts.append(lambda facts: facts.modified_ns < before)
    if arguments.newer:
        after = _told("--newer", arguments.newer, lambda text: predicates.moment(text, now))
        of_facts.append(lambda facts: facts.modified_ns > after)
    if arguments.storage_class:
        of_facts.append(lambda facts: facts.storage_class == arguments.storage_class)
    if arguments.deleted:
        of_facts.append(lambda facts: facts.deleted == _ANSWERS[arguments.deleted])
    elif not arguments.all_versions:
        of_facts.append(lambda facts: not facts.deleted)
    if arguments.inline:
        of_facts.append(lambda facts: facts.inline == _ANSWERS[arguments.inline])
    if arguments.min_versions is not None:
        of_keys.append(lambda key: key.summary.version_count >= arguments.min_versions)
    of_versions = [_told("--tag", text, predicates.tagged) for text in arguments.tag]
    of_versions += [_told("--metadata", text, predicates.with_metadata) for text in arguments.metadata]
    return Search(tuple(of_keys), tuple(of_facts), tuple(of_versions), arguments.all_versions)


def _told(option: str, text: str, make: Callable[[str], _Made]) -> _Made:
    try:
        return make(text)
    except ValueError as error:
        raise UsageError(f"{option} {text!r} {error}") from error
