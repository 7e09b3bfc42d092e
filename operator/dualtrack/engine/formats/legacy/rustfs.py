"""Bodies as RustFS's early releases wrote them: a Rust structure by position, in files of meta version 2.

    [type, object | nil, delete marker | nil, written by]       or, for a short while,
    [type, V1 object | nil, object | nil, delete marker | nil, written by]

An object has 18 fields, a delete marker 3. Types and algorithms are names, times are calendar dates, and the
values of MetaSys are arrays of numbers. The same structure may also come as maps from field to value. Today's
RustFS reads all of these, and takes their form as the sign that the content beside them was hashed with
another key: so a changed body keeps its form, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from dualtrack.engine.formats import packing, wire
from dualtrack.engine.formats.bodies import (
    NULL_ID,
    Body,
    DeleteBody,
    Form,
    ObjectBody,
    checked,
    checked_time,
    pack_meta_user,
)
from dualtrack.errors import CorruptError, UnsupportedFormatError

FIRST_BYTES = frozenset({0x94, 0x95})

_BAD = "body"
_OUTER = ("version_type", "object", "delete_marker", "write_version")
_OUTER_WITH_V1 = ("Type", "V1Obj", "V2Obj", "DelObj", "v")
_OBJECT = (
    "version_id",
    "data_dir",
    "erasure_algorithm",
    "erasure_m",
    "erasure_n",
    "erasure_block_size",
    "erasure_index",
    "erasure_dist",
    "bitrot_checksum_algo",
    "part_numbers",
    "part_etags",
    "part_sizes",
    "part_actual_sizes",
    "part_indices",
    "size",
    "mod_time",
    "meta_sys",
    "meta_user",
)
_DELETE = ("version_id", "mod_time", "meta_sys")
# A structure that serde wrote as a map has the names of today's form.
_TODAY = {
    "Type": "version_type",
    "V2Obj": "object",
    "DelObj": "delete_marker",
    "v": "write_version",
    "ID": "version_id",
    "DDir": "data_dir",
    "EcAlgo": "erasure_algorithm",
    "EcM": "erasure_m",
    "EcN": "erasure_n",
    "EcBSize": "erasure_block_size",
    "EcIndex": "erasure_index",
    "EcDist": "erasure_dist",
    "CSumAlgo": "bitrot_checksum_algo",
    "PartNums": "part_numbers",
    "PartETags": "part_etags",
    "PartSizes": "part_sizes",
    "PartASizes": "part_actual_sizes",
    "PartIdx": "part_indices",
    "Size": "size",
    "MTime": "mod_time",
    "MetaSys": "meta_sys",
    "MetaUsr": "meta_user",
}
_META_SYS, _META_USER = _OBJECT.index("meta_sys"), _OBJECT.index("meta_user")
_DELETE_META_SYS = _DELETE.index("meta_sys")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_named(fields: Mapping[object, object]) -> bool:
    """Whether a body that is a map holds this structure: its type is a name, not a number."""
    return "version_type" in fields or type(fields.get("Type")) is str


def from_value(value: object) -> Body:
    """The body that a decoded item holds. CorruptError where it has not this structure."""
    outer = _outer(value)
    written_by = _int(outer, "write_version")
    match outer.get("version_type"):
        case "Object":
            return _object(_named(outer.get("object"), _OBJECT), written_by)
        case "Delete" | "DeleteMarker":
            fields = _named(outer.get("delete_marker"), _DELETE)
            return DeleteBody(
                _uuid(fields, "version_id"),
                _time(fields.get("mod_time")),
                _meta_sys(fields.get("meta_sys")),
                written_by,
            )
        case other:
            raise CorruptError(_BAD, f"a version's body in RustFS's old form has type {other!r:.40}")


def _outer(value: object) -> dict[str, object]:
    return _named(value, _OUTER_WITH_V1 if isinstance(value, list) and len(value) == 5 else _OUTER)


def _named(value: object, names: Sequence[str]) -> dict[str, object]:
    if isinstance(value, list) and len(value) == len(names):
        return {_TODAY.get(name, name): item for name, item in zip(names, value, strict=True)}
    if isinstance(value, dict):
        return {_TODAY.get(name, name): item for name, item in value.items() if isinstance(name, str)}
    raise CorruptError(_BAD, f"a structure of RustFS's old form has not the {len(names)} fields it should")


def _object(fields: dict[str, object], written_by: int) -> ObjectBody:
    return checked(
        ObjectBody(
            version_id=_uuid(fields, "version_id"),
            data_dir=_uuid(fields, "data_dir"),
            ec_algo=_algorithm(fields, "erasure_algorithm", "ReedSolomon"),
            ec_m=_int(fields, "erasure_m"),
            ec_n=_int(fields, "erasure_n"),
            ec_block_size=_int(fields, "erasure_block_size"),
            ec_index=_int(fields, "erasure_index"),
            ec_dist=tuple(_octets(fields.get("erasure_dist"), "erasure_dist")),
            csum_algo=_algorithm(fields, "bitrot_checksum_algo", "HighwayHash"),
            part_nums=_ints(fields, "part_numbers"),
            part_etags=_texts(fields.get("part_etags")),
            part_sizes=_ints(fields, "part_sizes"),
            part_actual_sizes=_ints(fields, "part_actual_sizes"),
            part_indices=tuple(_octets(item, "part_indices") for item in _list(fields, "part_indices")),
            size=_int(fields, "size"),
            mod_time_ns=_time(fields.get("mod_time")),
            meta_sys=_meta_sys(fields.get("meta_sys")),
            meta_user=_meta_user(fields.get("meta_user")),
            written_by=written_by,
            form=Form.RUSTFS,
        )
    )


def _int(fields: Mapping[str, object], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int:
        raise CorruptError(_BAD, f"{name} is {type(value).__name__}, not int")
    return value


def _list(fields: Mapping[str, object], name: str) -> list[object]:
    value = fields.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise CorruptError(_BAD, f"{name} is no list")
    return value


def _ints(fields: Mapping[str, object], name: str) -> tuple[int, ...]:
    found = tuple(item for item in _list(fields, name) if type(item) is int)
    if len(found) != len(_list(fields, name)):
        raise CorruptError(_BAD, f"{name} is no list of int")
    return found


def _texts(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not {str}.issuperset(map(type, value)):
        raise CorruptError(_BAD, "part_etags is no list of str")
    return tuple(value)


def _octets(value: object, name: str) -> bytes:
    """Bytes, which come as such, as text or as an array of numbers."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, list) and {int}.issuperset(map(type, value)):
        try:
            return bytes(value)
        except ValueError as error:
            raise CorruptError(_BAD, f"{name} holds a number that is no byte") from error
    raise CorruptError(_BAD, f"{name} holds {type(value).__name__}, not bytes")


def _uuid(fields: Mapping[str, object], name: str) -> bytes:
    value = fields.get(name)
    found = b"" if value is None else _octets(value, name)
    if len(found) not in (0, 16):
        raise CorruptError(_BAD, f"{name} is no UUID of 16 bytes")
    return found or NULL_ID


def _algorithm(fields: Mapping[str, object], name: str, known: str) -> int:
    if fields.get(name) != known:
        raise CorruptError(_BAD, f"{name} is {fields.get(name)!r:.40}, not {known}")
    return 1


def _time(value: object) -> int:
    """Nanoseconds since 1970 of [year, day of the year, hour, minute, second, nanosecond, offset h, m, s]."""
    if value is None:
        return 0
    if not isinstance(value, list) or len(value) != 9 or not {int}.issuperset(map(type, value)):
        raise CorruptError(_BAD, "mod_time is no time of RustFS's old form")
    year, day, hour, minute, second, nanosecond, *offset = value
    in_range = (1 <= day <= 366, 0 <= hour < 24, 0 <= minute < 60, 0 <= second < 60, 0 <= nanosecond < 10**9)
    if not all(in_range) or any(abs(part) >= 60 for part in offset):
        raise CorruptError(_BAD, "mod_time is no time that there is")
    try:
        date = datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=day - 1)
    except (ValueError, OverflowError) as error:
        raise CorruptError(_BAD, f"mod_time is in the year {year}") from error
    seconds = (date - _EPOCH).days * 86_400 + hour * 3600 + minute * 60 + second
    seconds -= offset[0] * 3600 + offset[1] * 60 + offset[2]
    return checked_time(seconds * 1_000_000_000 + nanosecond)


def _meta_sys(value: object) -> dict[str, bytes]:
    return {key: _octets(item, "meta_sys") for key, item in _entries(value, "meta_sys")}


def _meta_user(value: object) -> dict[str, str]:
    found = dict(_entries(value, "meta_user"))
    if not {str}.issuperset(map(type, found.values())):
        raise CorruptError(_BAD, "meta_user holds a value that is no text")
    return found  # type: ignore[return-value]


def _entries(value: object, name: str) -> list[tuple[str, object]]:
    if value is None:
        return []
    if not isinstance(value, dict) or not {str}.issuperset(map(type, value)):
        raise CorruptError(_BAD, f"{name} is no map from text")
    return list(value.items())


def replace_metadata(
    raw: bytes, meta_user: Mapping[str, str] | None, meta_sys: Mapping[str, bytes] | None
) -> bytes:
    """The same body with its metadata exchanged, in the same form; `None` keeps a map, byte for byte."""
    if raw[0] != 0x94:
        raise UnsupportedFormatError(
            "rustfs-legacy-body", "a version's body is in a form of old RustFS releases that is only read"
        )
    outer = wire.split_array(raw, _BAD)
    is_object = outer[1] != packing.NIL
    place = 1 if is_object else 2
    fields = wire.split_array(outer[place], _BAD)
    if meta_sys is not None:
        fields[_META_SYS if is_object else _DELETE_META_SYS] = _pack_meta_sys(meta_sys)
    if meta_user is not None and is_object:
        fields[_META_USER] = pack_meta_user(meta_user)
    outer[place] = packing.pack_array(fields)
    return packing.pack_array(outer)


def _pack_meta_sys(entries: Mapping[str, bytes]) -> bytes:
    return packing.join_map(
        {key: packing.pack_array(map(packing.pack_uint, value)) for key, value in entries.items()}
    )
