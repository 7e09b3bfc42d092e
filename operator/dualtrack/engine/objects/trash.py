"""Old data directories: moved aside after the commit that made them old, removed when nobody reads them.

A data directory is renamed into `.dualtrack/tmp/trash-…` first, which is one atomic step, and its files are
removed after that. A reader that took the metadata before the commit may still be streaming from it; it
announces itself with `reading`, and the removal waits for it. What a crash leaves behind is removed at the
next start, when there are no readers.
"""

from __future__ import annotations

import os
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from dualtrack.engine import files

_TRASH = "trash-"
_STAGED = "put-"


class Trash:
    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._readers: Counter[str] = Counter()
        self._waiting: dict[str, list[str]] = {}

    def new_staging(self) -> str:
        """A path in the staging area that does not exist yet."""
        return os.path.join(self._directory, f"{_STAGED}{uuid.uuid4()}")

    def path(self, name: str) -> str:
        """Where a staged file of that name lies."""
        return os.path.join(self._directory, name)

    def sync(self) -> None:
        """Make the names of what is staged durable, for whoever refers to one of them."""
        files.sync_directory(self._directory)

    def new_trash(self) -> str:
        return os.path.join(self._directory, f"{_TRASH}{uuid.uuid4()}")

    def open(self) -> None:
        """Create the staging area."""
        files.ensure_directory(self._directory)

    def clear(self, keep: frozenset[str] = frozenset()) -> None:
        """Remove what an earlier process left, but for the names in `keep`. Only where none can live: bodies
        on their way in lie here."""
        for name in os.listdir(self._directory):
            if name.startswith((_TRASH, _STAGED)) and name not in keep:
                remove_tree(os.path.join(self._directory, name))

    @contextmanager
    def reading(self, data_directory: str) -> Iterator[None]:
        """Keep the files of `data_directory` from being removed, also after it was moved to the trash."""
        with self._lock:
            self._readers[data_directory] += 1
        try:
            yield
        finally:
            self._release(data_directory)

    def open_part(self, data_directory: str, number: int) -> int:
        """Open a part of a data directory that is being read: at its place, or in the trash meanwhile."""
        with self._lock:
            where = self._waiting.get(data_directory, [data_directory])[-1]
            return os.open(os.path.join(where, f"part.{number}"), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)

    def _release(self, data_directory: str) -> None:
        with self._lock:
            self._readers[data_directory] -= 1
            if self._readers[data_directory]:
                return
            del self._readers[data_directory]
            due = self._waiting.pop(data_directory, [])
        for path in due:
            remove_tree(path)

    def take_parts(self, directory: str) -> None:
        """Remove part files that lie in an object's own directory, as they did before data directories."""
        try:
            entries = [entry for entry in os.scandir(directory) if _is_part(entry)]
        except (FileNotFoundError, NotADirectoryError):
            return
        if entries:
            target = self.new_trash()
            _take_parts(entries, target)
            remove_tree(target)

    def take(self, data_directory: str) -> None:
        """Move a data directory aside and remove it as soon as nobody reads from it. Missing is fine.

        Where a key was stored at or below the data directory (`<key>/<uuid>` and `<key>/<uuid>/x` are legal
        keys) only the part files go, because the rest belongs to another object.
        """
        try:
            entries = list(os.scandir(data_directory))
        except (FileNotFoundError, NotADirectoryError):
            return
        target = self.new_trash()
        with self._lock:
            if not all(map(_is_part, entries)):
                _take_parts(entries, target)
            else:
                files.rename(data_directory, target)
            if self._readers[data_directory]:
                self._waiting.setdefault(data_directory, []).append(target)
                return
            del self._readers[data_directory]
        remove_tree(target)


def _take_parts(entries: list[os.DirEntry[str]], target: str) -> None:
    os.mkdir(target)
    for entry in entries:
        if _is_part(entry):
            files.rename(entry.path, os.path.join(target, entry.name))


def _is_part(entry: os.DirEntry[str]) -> bool:
    return entry.is_file(follow_symlinks=False) and entry.name.startswith("part.")


def remove_tree(path: str) -> None:
    """Remove a staging or trash directory of ours, file by file; a name that vanishes meanwhile is fine."""
    try:
        entries = list(os.scandir(path))
    except FileNotFoundError:
        return
    except NotADirectoryError:
        files.unlink(path, missing_ok=True)
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            remove_tree(entry.path)
        else:
            files.unlink(entry.path, missing_ok=True)
    with suppress(FileNotFoundError):
        files.remove_directory(path)
