"""Where an object's file lies, by bucket and key: names for the walks, one absolute path for everybody
else.
"""

from __future__ import annotations

import os

from dualtrack.engine import naming
from dualtrack.engine.stores.protocol import Place


def object_path(bucket: str, key: str) -> tuple[bytes, ...]:
    """The names from the drive's root to the object's directory."""
    return tuple(naming.raw(naming.object_directory(bucket, key)).split(b"/"))


def meta_file(drive: str, place: Place) -> bytes:
    """The absolute path of the object's `xl.meta`, or of its `xl.json` where it has that alone."""
    directory = os.fsencode(drive) + b"/" + naming.raw(naming.object_directory(*place)) + b"/"
    names = [directory + naming.raw(name.file) for name in naming.MetaName]
    return next((path for path in names[1:] if not file_exists(names[0]) and file_exists(path)), names[0])


def object_exists(drive: str, place: Place) -> bool:
    """Whether the object has a metadata file, of either name. OSError where that cannot be told."""
    directory = os.fsencode(drive) + b"/" + naming.raw(naming.object_directory(*place)) + b"/"
    return any(file_exists(directory + naming.raw(name.file)) for name in naming.MetaName)


def file_exists(path: bytes) -> bool:
    """Whether something lies there. OSError where that cannot be told: no answer is not "no"."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
