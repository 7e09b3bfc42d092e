"""What a server does to an `xl.meta`: add, replace, update and remove versions. All functions of values.

Each returns a new `XlMeta` and keeps the bytes of the versions that it does not name. What is written is 1.3:
headers of an older version become version 3, as servers make them on the next write, and the bodies of a file
from before 1.3 get headers. Bodies stay as they are, each in its form, and with them `meta_ver`, because it
says how the oldest of them has to be read. Refused is a change of a JSON document (its parts would have to be
moved in the same step) and of the metadata of an object from before versions, which servers refuse, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dualtrack.engine.formats.bodies import DeleteBody, ObjectBody
from dualtrack.engine.formats.forms import replace_metadata
from dualtrack.engine.formats.legacy import v1, xljson
from dualtrack.engine.formats.versions import (
    FLAG_INLINE_DATA,
    FLAG_USES_DATA_DIR,
    HEADER_VERSION,
    Kind,
    Version,
    build_version,
    encode_header,
)
from dualtrack.engine.formats.xlmeta import MINOR, XlMeta, inline_keys
from dualtrack.errors import UnsupportedFormatError

BLOCK_SIZE = 1024 * 1024
INLINE_MARKER = "x-minio-internal-inline-data"

_REED_SOLOMON = _HIGHWAYHASH = 1


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a new object. Sizes in bytes; `actual_size` differs where content was transformed."""

    number: int
    size: int
    actual_size: int
    etag: str = ""


def new_object_version(
    *,
    version_id: bytes,
    data_dir: bytes,
    mod_time_ns: int,
    parts: Sequence[Part],
    meta_user: Mapping[str, str],
    meta_sys: Mapping[str, bytes] | None = None,
    inline: bool = False,
) -> Version:
    """An object on a single drive (one data shard, no parity), as MinIO writes it.

    `meta_user` holds `etag`, `content-type` and user metadata under the names that the file shall have.
    """
    system = dict(meta_sys or {})
    if inline:
        system[INLINE_MARKER] = b"true"
    body = ObjectBody(
        version_id=version_id,
        data_dir=data_dir,
        ec_algo=_REED_SOLOMON,
        ec_m=1,
        ec_n=0,
        ec_block_size=BLOCK_SIZE,
        ec_index=1,
        ec_dist=(1,),
        csum_algo=_HIGHWAYHASH,
        part_nums=tuple(part.number for part in parts),
        part_etags=tuple(part.etag for part in parts) if any(part.etag for part in parts) else (),
        part_sizes=tuple(part.size for part in parts),
        part_actual_sizes=tuple(part.actual_size for part in parts),
        part_indices=(),
        size=sum(part.size for part in parts),
        mod_time_ns=mod_time_ns,
        meta_sys=system,
        meta_user=dict(meta_user),
    )
    return build_version(body, Kind.OBJECT, FLAG_USES_DATA_DIR | (FLAG_INLINE_DATA if inline else 0))


def new_delete_marker(
    *, version_id: bytes, mod_time_ns: int, meta_sys: Mapping[str, bytes] | None = None
) -> Version:
    """A delete marker; zeros as its id make it the null version's."""
    return build_version(DeleteBody(version_id, mod_time_ns, dict(meta_sys or {})), Kind.DELETE_MARKER, 0)


def add_version(meta: XlMeta, version: Version, inline: bytes | None = None) -> XlMeta:
    """Put a version in its place. One with the same id is replaced, and its inline entry goes with it.

    `inline` is the framed content of the new version.
    """
    kept = [old for old in meta.versions if old.version_id != version.version_id]
    replaced = [old for old in meta.versions if old.version_id == version.version_id]
    entries = _without(meta.inline, [*replaced, version])
    if inline is not None:
        entries = {**entries, version.version_key: inline}
    return _changed(meta, [version, *kept], entries)


def remove_version(meta: XlMeta, version_id: bytes) -> XlMeta:
    """Without the version and its inline entry. KeyError where there is no such version."""
    gone = _named(meta, version_id)
    kept = [old for old in meta.versions if old is not gone]
    return _changed(meta, kept, _without(meta.inline, [gone]))


def update_version(
    meta: XlMeta,
    version_id: bytes,
    *,
    meta_user: Mapping[str, str] | None = None,
    meta_sys: Mapping[str, bytes] | None = None,
) -> XlMeta:
    """Exchange a version's metadata (tags, retention, hold); time, content and every other field stay.

    KeyError where there is no such version.
    """
    old = _named(meta, version_id)
    if old.kind is Kind.LEGACY:
        raise UnsupportedFormatError(
            v1.REASON, "the metadata of an object from before versions cannot be changed: write it anew"
        )
    raw = replace_metadata(old.raw_body, meta_user, meta_sys)
    body = old.body
    if meta_sys is not None:
        body = replace(body, meta_sys=dict(meta_sys))
    if meta_user is not None and isinstance(body, ObjectBody):
        body = replace(body, meta_user=dict(meta_user))
    new = build_version(body, old.kind, old.flags, raw)
    return _changed(meta, [new if version is old else version for version in meta.versions], meta.inline)


def _named(meta: XlMeta, version_id: bytes) -> Version:
    version = meta.find(version_id)
    if version is None:
        raise KeyError(version_id)
    return version


def _without(entries: Mapping[str, bytes], versions: Sequence[Version]) -> Mapping[str, bytes]:
    """The entries but for those of these versions, under whatever key they stand."""
    if not entries:
        return entries
    gone = {key for version in versions for key in inline_keys(version)}
    return {key: value for key, value in entries.items() if key not in gone}


def _changed(meta: XlMeta, versions: Sequence[Version], inline: Mapping[str, bytes]) -> XlMeta:
    if meta.minor is None:
        raise UnsupportedFormatError(
            xljson.REASON,
            "the object's metadata are the JSON document of an old MinIO, which is only read: let a MinIO "
            "server take it over first",
        )
    if meta.header_ver != HEADER_VERSION:
        versions = [replace(version, header=encode_header(version)) for version in versions]
    ordered = sorted(versions, key=lambda version: version.sort_key, reverse=True)
    return XlMeta(tuple(ordered), inline, MINOR, meta.meta_ver)
