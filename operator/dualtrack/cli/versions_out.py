"""Where `export` and `inventory` write versions: to standard output, or to a file that is whole or not there.

A file is written beside its name and renamed once everything is in it: nobody takes half an export for one.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dualtrack.engine import files
from dualtrack.engine.columnar import csv_lines
from dualtrack.engine.entries import Entry
from dualtrack.errors import IncompleteError, UsageError

TABULAR = ("csv", "parquet")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def add_out_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="FILE", help="write to this file, not to standard output")


def write_versions(
    arguments: argparse.Namespace, entries: Iterable[Entry], json_lines: Iterable[bytes]
) -> None:
    """All of them, in the format that was asked for: `json_lines` are the same versions for JSON. Only one of
    the two is read. `UsageError` for Parquet on a terminal or without its extra, before anything is read.
    """
    if arguments.format == "parquet":
        parquet = importlib.import_module("dualtrack.engine.parquet")
        if not arguments.out and sys.stdout.isatty():
            raise UsageError("--format parquet is no text; name a file with --out, or pipe it")
        with _target(arguments.out) as target:
            parquet.write(entries, target)
        return
    lines = (line.encode() for line in csv_lines(entries)) if arguments.format == "csv" else json_lines
    with _target(arguments.out) as target:
        target.writelines(lines)


@contextmanager
def _target(out: str | None) -> Iterator[BinaryIO]:
    if not out:
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    partial = f"{out}.partial"
    try:
        file = open(partial, "wb")  # noqa: SIM115 - closed below, before the rename
    except OSError as error:
        raise UsageError(f"--out {out}: {error.strerror}") from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        files.rename(partial, out)
        files.sync_directory(str(Path(out).absolute().parent))
    except OSError as error:
        files.unlink(partial, missing_ok=True)
        if error.errno not in _NO_ROOM:
            raise  # perhaps of what was read
        raise IncompleteError(f"--out {out}: {error.strerror}; nothing was left there: make room") from error
    except BaseException:
        files.unlink(partial, missing_ok=True)
        raise
