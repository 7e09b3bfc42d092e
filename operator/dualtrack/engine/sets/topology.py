"""Which of the named drives belong together: by what each `format.json` says of its pool and its set.

A deployment has one or more pools, added one after the other; each pool has sets of the same size, and each
object lies on one set of one pool (after an expansion, versions of one key may lie in two pools). The
deployment id is shared by all pools, but each drive's `sets` names only the drives of its own pool
(`facts` of both servers; checked on drives that they wrote).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations

from dualtrack.engine.drive import Drive
from dualtrack.errors import DriveError

Pool = tuple[tuple[str, ...], ...]
"""Drive ids by set and place: what tells pools apart."""


@dataclass(frozen=True, slots=True)
class DriveSet:
    """One set: its drives by place; None where the drive was not named."""

    pool: Pool
    index: int
    drives: tuple[Drive | None, ...]

    @property
    def size(self) -> int:
        return len(self.drives)

    @property
    def named(self) -> tuple[Drive, ...]:
        return tuple(drive for drive in self.drives if drive is not None)

    @property
    def missing(self) -> tuple[str, ...]:
        """Ids of the drives that were not named."""
        ids = self.pool[self.index]
        return tuple(each for each, drive in zip(ids, self.drives, strict=True) if drive is None)


@dataclass(frozen=True, slots=True)
class Deployment:
    """Every set of which at least one drive was named, in order of pool and set."""

    sets: tuple[DriveSet, ...]

    @property
    def drives(self) -> tuple[Drive, ...]:
        return tuple(drive for each in self.sets for drive in each.named)

    def blind(self) -> Iterator[str]:
        """Sets of which so many drives were not named that these could hold objects between them."""
        for each in self.sets:
            if 2 * len(each.missing) >= each.size:
                yield (
                    f"{len(each.missing)} of the {each.size} drives of set {each.index + 1} were not named: "
                    "whole objects may be on them alone"
                )

    def missing(self) -> Iterator[str]:
        """What was not named: drives of a set, and whole sets of a pool, in words."""
        pools: dict[Pool, set[int]] = {}
        for each in self.sets:
            pools.setdefault(each.pool, set()).add(each.index)
            for drive_id in each.missing:
                yield f"drive {drive_id} of set {each.index + 1}"
        for pool, indexes in pools.items():
            yield from (f"set {index + 1}, all drives" for index in range(len(pool)) if index not in indexes)


def group(drives: Sequence[Drive]) -> Deployment:
    """The named drives as one deployment. DriveError where they are of several, or one was named twice."""
    first = drives[0]
    seen: dict[str, Drive] = {}
    for drive in drives:
        if drive.deployment_id != first.deployment_id:
            raise DriveError(
                f"{drive.path} is of deployment {drive.deployment_id}, {first.path} of "
                f"{first.deployment_id}: name drives of one server only"
            )
        if (other := seen.setdefault(drive.drive_id, drive)) is not drive:
            raise DriveError(
                f"{drive.path} and {other.path} are both drive {drive.drive_id}: one is a copy, or one was "
                "named twice; name each drive once"
            )
    pools = dict.fromkeys(drive.sets for drive in drives)
    for pool, another in combinations(pools, 2):
        if shared := set(chain(*pool)) & set(chain(*another)):
            raise DriveError(
                f"the format.json files of deployment {first.deployment_id} disagree on the set of drive "
                f"{sorted(shared)[0]}: let the server heal the drives, then run this again"
            )
    return Deployment(
        tuple(
            DriveSet(pool, index, tuple(map(seen.get, ids)))
            for pool in pools
            for index, ids in enumerate(pool)
            if any(each in seen for each in ids)
        )
    )
