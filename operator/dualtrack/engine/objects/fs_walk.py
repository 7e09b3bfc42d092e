"""The keys of a bucket in listing order, straight from its directories.

The order of directories is not the order of keys: `a`, `a-b`, `a/x` are keys in order, and the walk has to
come back to `a` after `a-b`. So each directory is read once, and every name in it stands for two things that
are sorted on their own: the object of that name (`name`, or `name/` for a directory object) and the keys
below it (`name/`). Directories before the start or outside the prefix are never opened, nor is anything below
a prefix that the listing has rolled up.
"""

from __future__ import annotations

import logging
import os
import uuid
from dataclasses import dataclass, field

from dualtrack.engine import naming
from dualtrack.engine.formats.xlmeta import XlMeta, decode
from dualtrack.engine.objects.documents import data_directories
from dualtrack.engine.objects.errors import Unavailable
from dualtrack.engine.objects.fs_track import FsTrack
from dualtrack.errors import FormatError

_log = logging.getLogger(__name__)

_OBJECT, _BELOW = 0, 1


@dataclass(slots=True)
class _Frame:
    """One directory being walked: `base` is what its keys start with; `pending` is sorted downwards."""

    base: bytes
    path: bytes
    pending: list[tuple[bytes, int, bytes]]
    data_directories: dict[bytes, frozenset[bytes]] = field(default_factory=dict)


class FsCursor:
    """A `Cursor` over (key, decoded `xl.meta`), from the first key that is not before `start`."""

    def __init__(self, track: FsTrack, bucket: str, prefix: str, start: str) -> None:
        self._track = track
        self._bucket = bucket
        self._prefix = naming.raw(prefix)
        self._start = naming.raw(start)
        self._stack: list[_Frame] = []
        self._open(naming.raw(f"{track.drive}/{bucket}"))

    def _open(self, root: bytes) -> None:
        """Begin in the deepest directory that the prefix names whole."""
        base, slash, _ = self._prefix.rpartition(b"/")
        if not slash:
            self._push(b"", root, frozenset())
            return
        names = base.split(b"/")
        if b"\0" in base or any(name in (b"", b".", b"..") for name in names):
            return  # no key has such a segment, and no path is made from it
        self._push(base + slash, os.path.join(root, base), None)
        # The directory object of that name comes first of all; it lies beside the directory.
        parent, separator, name = base.rpartition(b"/")
        suffix = naming.raw(naming.DIRECTORY_SUFFIX)
        if base + slash >= self._start:
            token = (name + b"/", _OBJECT, name + suffix)
            self._stack.append(_Frame(parent + separator, os.path.join(root, parent), [token]))

    def next(self) -> tuple[str, XlMeta] | None:
        while self._stack:
            frame = self._stack[-1]
            if not frame.pending:
                self._stack.pop()
                continue
            sort_name, kind, name = frame.pending.pop()
            path = frame.path + b"/" + name
            if kind == _BELOW:
                self._push(frame.base + sort_name, path, frame.data_directories.get(name))
                continue
            meta = self._read(frame.base + sort_name)
            frame.data_directories[name] = _data_names(meta)
            if meta is not None:
                return naming.text(frame.base + sort_name), meta
        return None

    def skip(self, prefix: str) -> None:
        cut = naming.raw(prefix)
        while self._stack and self._stack[-1].base.startswith(cut):
            self._stack.pop()
        for frame in self._stack:
            pending = frame.pending
            while pending and (frame.base + pending[-1][0]).startswith(cut):
                pending.pop()

    def close(self) -> None:
        self._stack.clear()

    def _read(self, key: bytes) -> XlMeta | None:
        """The object's metadata; None where there is none, and where it is damaged: one rotten file must not
        hide a bucket's listing, as servers see it too. Reads of the object itself say what is wrong."""
        text = naming.text(key)
        found = self._track.read(self._bucket, text)
        if found is None:
            return None
        try:
            return decode(found.data)
        except FormatError as error:
            _log.warning("left out of a listing bucket=%s key=%r reason=%s", self._bucket, text, error)
            return None

    def _push(self, base: bytes, path: bytes, data_directories: frozenset[bytes] | None) -> None:
        try:
            # A directory without subdirectories has two links on the file systems that count them.
            if self._track.counts_links and os.lstat(path).st_nlink == 2:
                return
            with os.scandir(path) as found:
                names = [entry.name for entry in found if entry.is_dir(follow_symlinks=False)]
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise Unavailable(
                f"{self._bucket}: {naming.text(path)} cannot be listed: {error.strerror}", self._bucket
            ) from error
        hidden = self._own_data(base, data_directories)
        pending = [
            token
            for name in names
            if name not in hidden
            for token in _tokens(name)
            if self._wanted(base, token)
        ]
        pending.sort(reverse=True)
        self._stack.append(_Frame(base, path, pending))

    def _own_data(self, base: bytes, known: frozenset[bytes] | None) -> frozenset[bytes]:
        """The data directories of the object whose directory is walked: parts lie in them, not keys."""
        return _data_names(self._read(base[:-1])) if known is None else known

    def _wanted(self, base: bytes, token: tuple[bytes, int, bytes]) -> bool:
        """Whether the token can hold a key with the prefix that is not before the start."""
        key, kind = base + token[0], token[1]
        if kind == _OBJECT:
            return key.startswith(self._prefix) and key >= self._start
        fits = key.startswith(self._prefix) or self._prefix.startswith(key)
        return fits and (key >= self._start or self._start.startswith(key))


def _tokens(name: bytes) -> list[tuple[bytes, int, bytes]]:
    suffix = naming.raw(naming.DIRECTORY_SUFFIX)
    shown = name[: -len(suffix)] + b"/" if name.endswith(suffix) else name
    return [(shown, _OBJECT, name), (name + b"/", _BELOW, name)]


def _data_names(meta: XlMeta | None) -> frozenset[bytes]:
    if meta is None:
        return frozenset()
    return frozenset(str(uuid.UUID(bytes=data_dir)).encode() for data_dir in data_directories(meta))
