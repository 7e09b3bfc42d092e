"""How the key of an object becomes directories on a drive, and back.

`<bucket>/<key>/xl.meta`, or `xl.json` where an old MinIO wrote the object last; a key that ends in "/" (a
directory object) has `__XLDIR__` at its last name instead. The suffix means that on the last name only:
before it, `x__XLDIR__` is a name like any other. Strings hold the file system's bytes by `surrogateescape`.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

META_FILE = "xl.meta"
LEGACY_FILE = "xl.json"
DIRECTORY_SUFFIX = "__XLDIR__"


class MetaName(IntEnum):
    """The file that an object's metadata lie in. Its number is stored with the row, so that a restore gives
    back the right one: a JSON text may lie under either name.
    """

    XL_META = 0
    XL_JSON = 1

    @property
    def file(self) -> str:
        return META_FILE if self is MetaName.XL_META else LEGACY_FILE


def object_directory(bucket: str, key: str) -> str:
    """The object's directory, relative to the drive."""
    if key.endswith("/"):
        key = key[:-1] + DIRECTORY_SUFFIX
    return f"{bucket}/{key}"


def meta_path(bucket: str, key: str, name: MetaName = MetaName.XL_META) -> str:
    """The object's metadata file, relative to the drive."""
    return f"{object_directory(bucket, key)}/{name.file}"


def key_of(names: Sequence[str]) -> str:
    """The key of the object whose directory lies at these names below its bucket."""
    key = "/".join(names)
    return key[: -len(DIRECTORY_SUFFIX)] + "/" if key.endswith(DIRECTORY_SUFFIX) else key


def text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def raw(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
