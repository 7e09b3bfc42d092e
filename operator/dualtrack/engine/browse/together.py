"""The stores of several drives, looked into as one: what their sets hold of each key, by quorum.

`ls`, `du` and `find` ask it what they ask a single store. It answers from rows, not from the index: an index
entry tells the latest version that one drive has, and what a set holds is decided version by version
(`sets/merge.py`). What the drives cannot decide between them is not listed, and named by `troubles`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice

from dualtrack.engine import attributes
from dualtrack.engine.entries import KINDS, Entry
from dualtrack.engine.formats.versions import Kind
from dualtrack.engine.inventory import Tally
from dualtrack.engine.look import Look
from dualtrack.engine.sets import layout
from dualtrack.engine.sets.rows import RowSource
from dualtrack.engine.sets.topology import group
from dualtrack.engine.sets.view import SetView
from dualtrack.engine.summary import Summary

_OBJECT = KINDS[Kind.OBJECT]
_Where = tuple[str, str, str | None]


@dataclass(slots=True)
class Together:
    """One page of keys is held at a time, with their versions."""

    view: SetView
    sources: Sequence[RowSource]
    tally: Tally = field(default_factory=Tally)
    _where: _Where | None = None
    _keys: Iterator[tuple[str, list[Entry]]] = field(default_factory=lambda: iter(()))
    _page: dict[str, list[Entry]] = field(default_factory=dict)

    @classmethod
    def of(cls, stores: Sequence[str], looks: Sequence[Look]) -> Together:
        """DriveError where the stores are not of drives of one server, or one stands twice; StoreVersionError
        where a store does not say to which set its drive belongs.
        """
        drives = [layout.drive_of(each, name) for name, each in zip(stores, looks, strict=True)]
        sources = [RowSource.of(drive, each) for drive, each in zip(drives, looks, strict=True)]
        return cls(SetView(group(drives), sources), sources)

    def buckets(self) -> list[str]:
        return self.view.buckets()

    def counts(self, bucket: str) -> tuple[int, int]:
        """How many keys and versions the sets hold of the bucket; reads all of it."""
        numbers = [len(list(found)) for _, found in self._by_key(bucket, "", None)]
        return len(numbers), sum(numbers)

    def list_index(
        self, bucket: str, prefix: str, after: str | None, limit: int
    ) -> list[tuple[str, Summary]]:
        """As of a single store: (key, summary of what the sets hold)."""
        if self._where != (bucket, prefix, after):
            self.close()
            self._keys = self._by_key(bucket, prefix, after)
        self._page = dict(islice(self._keys, limit))
        self._where = (bucket, prefix, next(reversed(self._page), None))
        return [(key, _summary(found)) for key, found in self._page.items()]

    def versions(self, key: str) -> list[Entry]:
        """All versions of a key of the page that was read last, newest first."""
        return self._page[key]

    def troubles(self) -> tuple[list[str], list[str]]:
        """What could not be decided, and what else to know for who takes this for the server's view."""
        self.close()
        undecided = [problem.message for problem in self.tally.problems]
        return list(dict.fromkeys(undecided + list(self.view.deployment.blind()))), list(self.view.notes())

    def close(self) -> None:
        """End the pass that is open, so that it tells what it could not decide."""
        self._keys, self._where = iter(()), None

    def _by_key(self, bucket: str, prefix: str, after: str | None) -> Iterator[tuple[str, list[Entry]]]:
        sources = [replace(each, prefix=prefix, after=after) for each in self.sources]
        view = replace(self.view, sources=sources)
        for key, found in groupby(view.entries(bucket, self.tally), key=lambda entry: entry.key):
            yield key, list(found)


def _summary(found: Sequence[Entry]) -> Summary:
    """What an index keeps of an object with these versions; of one that waits for its purge, a marker."""
    latest = found[0]
    kinds: Mapping[str, Kind] = {name: kind for kind, name in KINDS.items() if kind is not Kind.LEGACY}
    return Summary(
        kinds.get(latest.kind, Kind.DELETE_MARKER),
        len(found),
        latest.last_modified_ns,
        latest.size if latest.kind == _OBJECT else 0,
        latest.etag if latest.kind == _OBJECT else "",
        (latest.kind == _OBJECT and latest.storage_class) or attributes.DEFAULT_STORAGE_CLASS,
        latest.inline and latest.kind == _OBJECT,
    )
