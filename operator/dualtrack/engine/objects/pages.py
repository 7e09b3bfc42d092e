"""Pages of a listing out of any ordered source of keys: prefix, delimiter, markers, limits.

One rule serves the file system, the index and uploads. A `Cursor` gives keys in byte order and can jump over
everything below a common prefix, so that a listing with a delimiter looks at one key per common prefix and no
more. What a page says depends on the keys alone, so that every track gives the same pages.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from dualtrack.engine.naming import raw

T = TypeVar("T")
E = TypeVar("E")
T_co = TypeVar("T_co", covariant=True)


class Cursor(Protocol[T_co]):
    """Keys that start with the cursor's prefix, in byte order, from where it was opened."""

    def next(self) -> tuple[str, T_co] | None:
        """The next key and what is known of it; None at the end."""

    def skip(self, prefix: str) -> None:
        """Go on after the last key that starts with `prefix`."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Slice(Generic[E]):
    """`last` is the key or common prefix that the page ends with, `last_id` the id within that key."""

    items: tuple[E, ...]
    prefixes: tuple[str, ...]
    truncated: bool
    last: str
    last_id: str


def common_prefix(key: str, prefix: str, delimiter: str) -> str | None:
    """The common prefix that a listing shows in place of `key`, if any."""
    if not delimiter:
        return None
    found = key.find(delimiter, len(prefix))
    return None if found < 0 else key[: found + len(delimiter)]


def collect(
    cursor: Cursor[T],
    *,
    prefix: str,
    delimiter: str,
    after: str,
    after_id: str,
    limit: int,
    expand: Callable[[str, T], Sequence[tuple[str, E]]],
) -> Slice[E]:
    """One page of at most `limit` entries and common prefixes.

    `expand` gives the entries of a key with their ids, in order; none if the key is hidden. The page starts
    after the key (or common prefix) `after`; with `after_id`, inside that key after that id. The cursor has
    to be opened so that it still gives `after` itself in that case.
    """
    items: list[E] = []
    prefixes: list[str] = []
    last, last_id, bound = "", "", raw(after)
    past = not after  # keys only ever grow, so that one beyond `after` is enough
    while (found := cursor.next()) is not None:
        key, value = found
        shown = expand(key, value)
        if not shown:
            continue
        rolled = common_prefix(key, prefix, delimiter)
        if rolled is not None:
            cursor.skip(rolled)
            if not past and raw(rolled) <= bound:
                continue
            past = True
            if len(items) + len(prefixes) >= limit:
                return Slice(tuple(items), tuple(prefixes), limit > 0, last, last_id)
            prefixes.append(rolled)
            last, last_id = rolled, ""
            continue
        if not past:
            if key == after and after_id:
                shown = _behind(shown, after_id)
            elif raw(key) <= bound:
                continue
            else:
                past = True
        for entry_id, entry in shown:
            if len(items) + len(prefixes) >= limit:
                return Slice(tuple(items), tuple(prefixes), limit > 0, last, last_id)
            items.append(entry)
            last, last_id = key, entry_id
    return Slice(tuple(items), tuple(prefixes), False, "", "")


def _behind(shown: Sequence[tuple[str, E]], entry_id: str) -> Sequence[tuple[str, E]]:
    """What follows the entry with this id; everything, if it is gone meanwhile: better twice than never."""
    for place, (found, _) in enumerate(shown):
        if found == entry_id:
            return shown[place + 1 :]
    return shown
