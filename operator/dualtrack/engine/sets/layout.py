"""A drive's place in its deployment, kept in its store: for views of stores whose drives are not at hand."""

from __future__ import annotations

import json

from dualtrack.engine.drive import Drive
from dualtrack.engine.look import Look
from dualtrack.engine.task import Task
from dualtrack.errors import StoreVersionError

META = "layout"


def record(task: Task) -> None:
    """Put down where the drive belongs, if the store does not say so yet."""
    drive = task.drive
    value = json.dumps(
        {
            "systemVolume": drive.system_volume,
            "format": drive.format,
            "deploymentID": drive.deployment_id,
            "driveID": drive.drive_id,
            "sets": drive.sets,
            "distribution": drive.distribution,
        }
    ).encode()
    if task.owner.meta(META) != value:
        task.commit(meta={META: value})


def drive_of(owner: Look, store_dir: str) -> Drive:
    """The drive whose rows a store holds; its `path` is the store's. StoreVersionError where it was made by
    a build that did not record it.
    """
    value = owner.meta(META)
    if value is None:
        raise StoreVersionError(
            f"{store_dir} does not say to which set its drive belongs: run migrate on the drive again, which "
            "records it, or export this store alone"
        )
    fields = json.loads(value)
    sets = tuple(tuple(members) for members in fields["sets"])
    index = next(number for number, members in enumerate(sets) if fields["driveID"] in members)
    return Drive(
        path=store_dir,
        system_volume=fields["systemVolume"],
        format=fields["format"],
        held=False,
        deployment_id=fields["deploymentID"],
        drive_id=fields["driveID"],
        set_index=index,
        drive_index=sets[index].index(fields["driveID"]),
        drives_per_set=len(sets[index]),
        drive_count=sum(map(len, sets)),
        distribution=fields["distribution"],
        sets=sets,
    )
