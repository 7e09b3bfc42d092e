"""What `find` looks for: tests of a key and its summary, and tests that need a whole version.

A test says what it needs, so that a search by name, size or age reads the index alone and rows are read only
of what passed these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dualtrack.engine.browse.keys import Key
from dualtrack.engine.entries import KINDS, Entry
from dualtrack.engine.formats.versions import Kind


@dataclass(frozen=True, slots=True)
class Facts:
    """What an index entry says of the latest version, and a row of every one."""

    size: int
    modified_ns: int
    storage_class: str
    inline: bool
    deleted: bool

    @classmethod
    def of_key(cls, key: Key) -> Facts:
        found = key.summary
        deleted = found.kind is Kind.DELETE_MARKER
        return cls(found.size, found.mod_time_ns, found.storage_class, found.inline, deleted)

    @classmethod
    def of_version(cls, entry: Entry) -> Facts:
        deleted = entry.kind == KINDS[Kind.DELETE_MARKER]
        return cls(entry.size, entry.last_modified_ns, entry.storage_class or "", entry.inline, deleted)


OfKey = Callable[[Key], bool]
OfFacts = Callable[[Facts], bool]
OfVersion = Callable[[Entry], bool]

_SIZE = re.compile(r"([0-9]{1,18})([kKMGTP]?)(?:iB|B)?")
_UNITS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_AGE = re.compile(r"([0-9]{1,9})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


@dataclass(frozen=True, slots=True)
class Search:
    """All of them must hold. `of_facts` and `of_versions` are asked of the latest version; with `every` of
    each one.
    """

    of_keys: tuple[OfKey, ...] = ()
    of_facts: tuple[OfFacts, ...] = ()
    of_versions: tuple[OfVersion, ...] = ()
    every: bool = False

    def passes(self, key: Key) -> bool:
        """Whether the key may be found, as far as the index can tell."""
        if not all(test(key) for test in self.of_keys):
            return False
        facts = Facts.of_key(key)
        return self.every or all(test(facts) for test in self.of_facts)

    def passing(self, listed: Sequence[Entry]) -> Iterator[Entry]:
        """Those of a key's versions that are found."""
        for entry in listed if self.every else listed[:1]:
            facts = Facts.of_version(entry)
            if all(test(facts) for test in self.of_facts) and all(test(entry) for test in self.of_versions):
                yield entry


def name(pattern: str) -> str:
    """The regular expression of a glob over the last part of a key; a directory object's slash is no part."""
    return rf"(?:.*/)?{_glob(pattern, '[^/]')}/?\Z"


def path(pattern: str) -> str:
    """The regular expression of a glob over the whole key; `*` crosses slashes, as in find(1)."""
    return rf"{_glob(pattern, '.')}\Z"


def _glob(pattern: str, one: str) -> str:
    """`*`, `?` and `[…]`; `one` is what a single character may be."""
    made, position = "", 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        end = pattern.find("]", position + 1) if character == "[" else -1
        if end > 0:
            inner = pattern[position:end].replace("\\", "\\\\")
            made += f"[{'^' + inner[1:] if inner[0] in '!^' else inner}]"
            position = end + 1
        else:
            made += {"*": f"{one}*", "?": one}.get(character) or re.escape(character)
    return made


def matching(expression: str) -> OfKey:
    """ValueError for what is no regular expression. It has to match from the key's start."""
    try:
        compiled = re.compile(expression, re.DOTALL)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from error
    return lambda key: compiled.match(key.key) is not None


def size(text: str) -> int:
    """Bytes of `10M`; units of 1,024. ValueError for anything else."""
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ValueError("is no size; write for example 10M, 4k or 0")
    return int(found[1]) << (10 * _UNITS[found[2]])


def moment(text: str, now: datetime) -> int:
    """Nanoseconds of `30d` ago, of a date or of an RFC 3339 time. ValueError for anything else."""
    if found := _AGE.fullmatch(text):
        at = now - timedelta(seconds=int(found[1]) * _SECONDS[found[2]])
    else:
        try:
            at = datetime.fromisoformat(text)
        except ValueError as error:
            raise ValueError(
                "is no time; write for example 30d, 12h, 2026-11-01 or an RFC 3339 time"
            ) from error
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return int(at.timestamp()) * 1_000_000_000 + at.microsecond * 1_000


def pair(text: str) -> tuple[str, str | None]:
    """`NAME=VALUE`, or `NAME` for any value."""
    key, equals, value = text.partition("=")
    if not key:
        raise ValueError("is no NAME or NAME=VALUE")
    return key, value if equals else None


def tagged(text: str) -> OfVersion:
    key, value = pair(text)
    return lambda entry: key in entry.tags and value in (None, entry.tags[key])


def with_metadata(text: str) -> OfVersion:
    """A header as stored, without `x-amz-meta-`; its name is compared in lower case."""
    key, value = pair(text)
    key = key.lower().removeprefix("x-amz-meta-")
    return lambda entry: key in entry.user_metadata and value in (None, entry.user_metadata[key])
