"""Objects on a command line: `--object BUCKET/KEY`, as often as needed, or a file of such names."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from dualtrack.engine.stores.protocol import Place
from dualtrack.errors import UsageError


def add_object_argument(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """`--object` and `--objects-file`."""
    parser.add_argument(
        "--object",
        action="append",
        default=[],
        required=required,
        metavar="BUCKET/KEY",
        help="an object; may be repeated",
    )
    if not required:
        parser.add_argument("--objects-file", metavar="FILE", help="one BUCKET/KEY a line")


def places_of(arguments: argparse.Namespace) -> tuple[Place, ...]:
    """The named objects, each once, in the order given."""
    names: list[str] = list(arguments.object)
    if path := getattr(arguments, "objects_file", None):
        try:
            names += [os.fsdecode(line) for line in Path(path).read_bytes().split(b"\n") if line]
        except OSError as error:
            raise UsageError(f"--objects-file {path}: {error.strerror}") from error
    return tuple(dict.fromkeys(_place(name) for name in names))


def _place(name: str) -> Place:
    bucket, slash, key = name.partition("/")
    if not bucket or not slash or not key:
        raise UsageError(f"{name!r} is no BUCKET/KEY")
    return bucket, key
