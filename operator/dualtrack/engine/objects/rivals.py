"""Keys that could not lie on the drive together, refused where no drive refuses them.

An object's directory holds its `xl.meta`, so beside `a` no key `a/xl.meta` and none below it has a place.
Where files are written, the drive says so. Rows alone would take both, and the way back would then find no
place for one of the two: so a new key is looked at first, before anything of it is on the drive. A look and
a commit are two steps, so whoever changes a key also holds the stripes of the keys whose place it could take.
"""

from __future__ import annotations

from dualtrack.engine import naming
from dualtrack.engine.objects.errors import InvalidKey
from dualtrack.engine.objects.kv_track import KvTrack
from dualtrack.engine.rows import RowState


def refuse_rival(kv: KvTrack, bucket: str, key: str) -> None:
    """Raise `InvalidKey` if an object that is there takes the place of a new one, or the other way round."""
    names = naming.object_directory(bucket, key).split("/")[1:]
    own = "/".join((*names, naming.META_FILE))
    places = [own, *above(bucket, key)]
    if any(_exists(kv, bucket, each) for each in places) or _any_below(kv, bucket, own + "/"):
        raise InvalidKey(
            f"key {key!r}: a file of another object stands where it needs a directory", bucket, key
        )


def above(bucket: str, key: str) -> list[str]:
    """The keys of the objects whose `xl.meta` lies where one of this key's directories would. Each rival of a
    key is above it, or has it above itself."""
    names = naming.object_directory(bucket, key).split("/")[1:]
    places = [number for number, name in enumerate(names) if number and name == naming.META_FILE]
    return [naming.key_of(names[:number]) for number in places]


def _exists(kv: KvTrack, bucket: str, key: str) -> bool:
    row = kv.get(bucket, key)
    return row is not None and row.state is not RowState.TOMBSTONE


def _any_below(kv: KvTrack, bucket: str, prefix: str) -> bool:
    # The prefix itself is a directory object, which lies under another name.
    return any(found != prefix for found, _ in kv.keeper.scan_index(bucket, prefix, None, 2))
