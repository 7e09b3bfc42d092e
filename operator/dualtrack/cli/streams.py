"""Standard input, output and error as a process finds them: closed, full, or with nobody who reads any more.

A process that starts with one of the three closed gives its number to the first file that it opens, and the
next warning of a library lands in the store. And no exit code may say that all is well because the pipe broke
through which the opposite was to be told: what goes wrong with standard output is an error of its own class,
which cannot be taken for one of a drive.
"""

from __future__ import annotations

import os
import sys
from io import BufferedWriter, FileIO, TextIOWrapper
from typing import TYPE_CHECKING

from dualtrack.errors import OutputError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _StandardOutput(FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            message = f"standard output: {error.strerror}; what was written there is not whole: run it again"
            raise OutputError(message, reader_gone=isinstance(error, BrokenPipeError)) from error


def prepare() -> None:
    """Before any other file is opened. A stream that stands in place of Python's own is left alone."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            _to_nowhere(number)
    sys.stderr = sys.stderr or open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for good
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        before = sys.stdout
        sys.stdout = TextIOWrapper(
            BufferedWriter(_StandardOutput(1, "w", closefd=False)),
            encoding=before.encoding if before else "utf-8",
            # An encoding that lacks a letter of ours is no reason to die of it.
            errors=before.errors if before and before.errors != "strict" else "backslashreplace",
            line_buffering=os.isatty(1),
        )


def speak_utf8() -> None:
    """Begin this process anew in Python's UTF-8 mode where the locale has another encoding: an object's name
    is UTF-8 whatever a terminal speaks, and in ISO 8859-1 it would be another name.
    """
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode:
        os.execv(sys.executable, [sys.orig_argv[0], "-X", "utf8", *sys.orig_argv[1:]])


def say(line: str) -> None:
    """A line for people on standard error. Where it cannot go the work goes on: the exit code tells, too."""
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        _to_nowhere(2)


def give_up_output() -> None:
    """What is left to write to standard output goes nowhere, so that its end is quiet."""
    try:
        sys.stdout.flush()
    except OutputError:
        _to_nowhere(1)


def drop_output() -> None:
    """The same without waiting for a reader who may not come back."""
    _to_nowhere(1)


def _to_nowhere(number: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)
    else:
        os.set_inheritable(number, True)  # as the three are
