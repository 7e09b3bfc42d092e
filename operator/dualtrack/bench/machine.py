"""What a figure was measured on: without it no figure says anything."""

from __future__ import annotations

import os
import platform

_MOUNTS = "/proc/self/mountinfo"


def machine() -> str:
    model = platform.machine()
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**30
    return f"{model}, {os.cpu_count()} cores, {memory} GiB, Linux {platform.release()}"


def file_system(path: str) -> str:
    """The type of the file system that a path lies on: what is flushed to `tmpfs` costs nothing."""
    real, best, found = os.path.realpath(path), "", "unknown"
    with open(_MOUNTS, encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            before, _, after = line.partition(" - ")
            place = before.split(" ")[4].encode().decode("unicode_escape")
            if len(place) >= len(best) and os.path.commonpath([real, place]) == place:
                best, found = place, after.split(" ")[0]
    return found
