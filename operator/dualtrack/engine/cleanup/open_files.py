"""Who has something open on a drive: the witness against "no server runs".

`/proc` shows the open files of the processes that this one may look into: all of them for root, those of the
same user otherwise, and never those of another PID namespace. So an empty answer is no proof, and the other
preconditions stand beside it; but one open file is proof enough that somebody is still there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator


def open_below(root: str) -> Iterator[tuple[int, str]]:
    """(process, path) of what other processes have open below `root`, as far as can be seen."""
    wanted = os.path.realpath(root)
    own = os.getpid()
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == own:
            continue
        for path in _open_files(f"/proc/{name}/fd"):
            if path == wanted or path.startswith(wanted + "/"):
                yield int(name), path


def _open_files(folder: str) -> Iterator[str]:
    try:
        numbers = os.listdir(folder)
    except OSError:
        return  # ended meanwhile, or not ours to look into
    for number in numbers:
        try:
            yield os.readlink(f"{folder}/{number}")
        except OSError:
            continue  # closed meanwhile
