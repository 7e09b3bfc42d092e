"""A process that writes until it is killed: one line on its output for each write, once it was answered.

    writing.py DRIVE MODE START [LEVEL]

What the n-th write does follows from n alone, so that a test knows what has to be on the drive.
`answered_when_killed` starts one and kills it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from dualtrack.engine.objects.levels import Level
from dualtrack.engine.objects.types import Attributes
from layers import Body, opened

SIZES = (10, 200_000, 3_000, 131_073)


def key_of(number: int) -> str:
    return f"k{number % 7}/x"


def content_of(number: int) -> bytes | None:
    """What the write with this number leaves; None where it deletes."""
    return None if number % 5 == 4 else str(number).encode().rjust(SIZES[number % len(SIZES)], b".")


def answered_when_killed(drive: Path, mode: str, start: int, lines: int, level: str = "eventual") -> int:
    """How many writes a process had answered that was killed after `lines` of them, or a few more."""
    command = [sys.executable, __file__, str(drive), mode, str(start), level]
    answered = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(lines):
            assert process.stdout.readline()
            answered += 1
        process.send_signal(signal.SIGKILL)
        answered += sum(1 for line in process.stdout if line.endswith("\n"))
    assert process.returncode == -signal.SIGKILL
    return answered


def main(drive: str, mode: str, start: int, level: str = "eventual") -> None:
    with opened(Path(drive), mode, drain=True, level=Level(level)) as layer:
        number = start
        while True:
            content = content_of(number)
            if content is None:
                layer.delete("bucket", key_of(number))
            else:
                layer.put("bucket", key_of(number), Body(content), Attributes())
            print(number, flush=True)
            number += 1


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), *sys.argv[4:])
