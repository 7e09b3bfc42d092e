"""What a set of drives holds of one object: a pure function of the drives' copies of its `xl.meta`.

A write is acknowledged once a quorum of drives has it, so a drive may lack versions, hold versions that were
overwritten or deleted while it was away, or hold a write that was never acknowledged. The rule, which both
servers follow (their code: `mergeXLV2Versions`, `find_file_info_in_quorum`):

* Copies are of the same write if version id, time and kind are equal and the signature is, too. Signatures
  differ between vendors and are zero in old files; then the decoded bodies decide. Raw bodies never do: the
  servers write their maps in random order, and the shard's number differs by drive.
* An object's write counts where as many drives have it as it has data shards; a delete marker's where more
  than half of the set have it. Of several writes of one version id the newest that counts is the version.
* A drive that was not named, or whose copy cannot be read, might have anything. Where that could decide, or
  where a write that was cut off has left no write with its quorum, the version is *undecided*: it is named,
  and nobody takes it for absent.

Versions of one key in several sets (pools of one server) are united, the newest of one id counting.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from dualtrack.engine.formats.bodies import Body, ObjectBody
from dualtrack.engine.formats.versions import Kind, Version
from dualtrack.engine.formats.xlmeta import XlMeta
from dualtrack.errors import FormatError

_NO_SIGNATURE = bytes(4)
_HEADER_V3 = 0x97


class Deviation(StrEnum):
    """How one drive's copy differs from what its set holds."""

    #: The set holds the version, this drive nothing of it.
    MISSING = "missing"
    #: This drive has an older write of the version.
    STALE = "stale"
    #: This drive has a version that the set does not hold (deleted meanwhile, or never acknowledged).
    EXTRA = "extra"
    #: The header is the set's, the body says something else.
    DIVERGED = "diverged"
    #: This drive has a copy that cannot be read.
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Copy:
    """What the drive at `place` has of an object: None is a drive that surely has none."""

    place: int
    meta: XlMeta | None


@dataclass(frozen=True, slots=True)
class Held:
    """A version that the set holds, with each drive's copy of it in order of their places."""

    copies: tuple[tuple[XlMeta, Version], ...]

    @property
    def version(self) -> Version:
        return self.copies[0][1]


@dataclass(frozen=True, slots=True)
class Deviant:
    place: int
    version_key: str
    deviation: Deviation


@dataclass(frozen=True, slots=True)
class Merged:
    """`versions` newest first; `undecided` are keys of versions that a drive not seen could decide."""

    versions: tuple[Held, ...] = ()
    undecided: tuple[str, ...] = ()
    deviants: tuple[Deviant, ...] = ()


@dataclass(slots=True)
class _Write:
    """One write of one version, by the places that have it."""

    members: dict[int, tuple[XlMeta, Version]] = field(default_factory=dict)

    @property
    def version(self) -> Version:
        return next(iter(self.members.values()))[1]


def merge(copies: Sequence[Copy], size: int, *, bodies: bool = False) -> Merged:
    """`copies` of all drives whose state is known, of a set of `size` drives; the others are unknown.

    `bodies` decodes and compares them even where the headers agree, for `DIVERGED`.
    """
    unknown = size - len(copies)
    held: list[Held] = []
    undecided: list[str] = []
    deviants: list[Deviant] = []
    for writes in _by_version(copies, bodies=bodies):
        version_key = writes[0].version.version_key
        counting = [write for write in writes if len(write.members) >= quorum(write.version, size)]
        chosen = max(counting, key=_rank, default=None)
        if _split(writes, chosen, size) or any(_could_win(each, chosen, unknown, size) for each in writes):
            undecided.append(version_key)
        if chosen is not None:
            held.append(Held(tuple(chosen.members[place] for place in sorted(chosen.members))))
        deviants += _deviants(version_key, writes, chosen, copies)
    held.sort(key=lambda each: each.version.sort_key, reverse=True)
    return Merged(tuple(held), tuple(undecided), tuple(deviants))


def quorum(version: Version, size: int) -> int:
    """How many drives of a set must have a version for the set to hold it."""
    if version.kind in (Kind.DELETE_MARKER, Kind.FREE_VERSION):
        return size // 2 + 1
    return data_shards(version) or size // 2 + 1


def data_shards(version: Version) -> int:
    """From the header where it says so, else from the body; 0 where neither can be read."""
    if version.header[:1] == bytes((_HEADER_V3,)) and 0 < version.header[-1] < 0x80:
        return version.header[-1]
    try:
        body = version.body
    except FormatError:
        return 0
    return body.ec_m if isinstance(body, ObjectBody) else 0


def unite(sets: Iterable[Sequence[Held]]) -> list[Held]:
    """The versions of one key over several sets, newest first; of one id the newest."""
    found: dict[bytes, Held] = {}
    for versions in sets:
        for each in versions:
            known = found.get(each.version.version_id)
            if known is None or known.version.sort_key < each.version.sort_key:
                found[each.version.version_id] = each
    return sorted(found.values(), key=lambda each: each.version.sort_key, reverse=True)


def _rank(write: _Write) -> tuple[object, ...]:
    """The newer write counts; of two that differ only in their bodies the one that more drives have."""
    return (*write.version.sort_key, len(write.members))


def _by_version(copies: Sequence[Copy], *, bodies: bool) -> Iterator[list[_Write]]:
    """The writes of each version id."""
    by_id: dict[bytes, list[tuple[int, XlMeta, Version]]] = {}
    for copy in copies:
        if copy.meta is not None:
            for version in copy.meta.versions:
                by_id.setdefault(version.version_id, []).append((copy.place, copy.meta, version))
    for found in by_id.values():
        writes: list[_Write] = []
        unsigned = bodies or any(version.signature == _NO_SIGNATURE for _, _, version in found)
        for place, meta, version in found:
            mine = next((write for write in writes if _same_write(write.version, version, unsigned)), None)
            if mine is None:
                writes.append(mine := _Write())
            mine.members[place] = (meta, version)
        yield writes


def _same_write(one: Version, other: Version, compare_bodies: bool) -> bool:
    if (one.mod_time_ns, one.kind) != (other.mod_time_ns, other.kind):
        return False
    if one.raw_body == other.raw_body:
        return True
    both_signed = _NO_SIGNATURE not in (one.signature, other.signature)
    if both_signed and one.signature != other.signature:
        return False
    return not compare_bodies or meaning(one) == meaning(other)


def meaning(version: Version) -> Body | bytes:
    """A body without what differs by drive and by writer's build; its bytes where it cannot be decoded."""
    try:
        body = version.body
    except FormatError:
        return version.raw_body
    if isinstance(body, ObjectBody):
        return replace(body, ec_index=0, written_by=0)
    return replace(body, written_by=0)


def _split(writes: Sequence[_Write], chosen: _Write | None, size: int) -> bool:
    """Whether the drives hold the version between them and agree on no write of it: one was cut off."""
    holders = sum(len(write.members) for write in writes)
    return chosen is None and holders >= min(quorum(write.version, size) for write in writes)


def _could_win(write: _Write, chosen: _Write | None, unknown: int, size: int) -> bool:
    """Whether the drives that nobody saw could make this write the version."""
    if not unknown or write is chosen or len(write.members) + unknown < quorum(write.version, size):
        return False
    return chosen is None or write.version.sort_key > chosen.version.sort_key


def _deviants(
    version_key: str, writes: Sequence[_Write], chosen: _Write | None, copies: Sequence[Copy]
) -> Iterator[Deviant]:
    has: Mapping[int, _Write] = {place: write for write in writes for place in write.members}
    for copy in copies:
        mine = has.get(copy.place)
        if mine is chosen:
            continue
        if mine is None:
            yield Deviant(copy.place, version_key, Deviation.MISSING)
        elif chosen is None or mine.version.mod_time_ns > chosen.version.mod_time_ns:
            yield Deviant(copy.place, version_key, Deviation.EXTRA)
        elif mine.version.mod_time_ns == chosen.version.mod_time_ns:
            yield Deviant(copy.place, version_key, Deviation.DIVERGED)
        else:
            yield Deviant(copy.place, version_key, Deviation.STALE)
