"""The body of one version: what a header only announces (sizes, parts, metadata, erasure layout).

Two forms are current, both maps: `V2Obj` (an object) and `DelObj` (a delete marker, or a free version whose
tiered content still waits for its deletion). These are read and written here; the older ones are read by
`legacy/`, which gives the same values, and `forms.py` tells which is which.

A changed body is spliced, never rebuilt: `replace_metadata` keeps every byte but those of the two maps, so
that fields of a newer writer and each vendor's own integer forms survive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from dualtrack.engine.formats import packing, wire
from dualtrack.errors import CorruptError

NULL_ID = bytes(16)
MAX_INT = (1 << 63) - 1
"""Sizes in bytes and times in nanoseconds are signed numbers of 64 bits on both servers."""
MAX_SMALL = 255
"""Algorithms and numbers of shards take one byte in a header."""
OBJECT_TYPE, DELETE_TYPE, LEGACY_TYPE = 1, 2, 3

_BAD = "body"
_T = TypeVar("_T")


class Form(Enum):
    """How a body is written, which also says how the content beside it has to be read."""

    #: `V2Obj`: MinIO since 2020, RustFS today.
    MAP = "map"
    #: The fields of RustFS's early releases by position; their content has another bitrot key.
    RUSTFS = "rustfs"
    #: `V1Obj` or `xl.json`: MinIO before versions; each part's checksum goes over the whole file.
    V1 = "v1"


@dataclass(frozen=True, slots=True)
class ObjectBody:
    """An object. Sizes in bytes; `size` is what is stored, `part_actual_sizes` what the client sent."""

    version_id: bytes
    data_dir: bytes
    ec_algo: int
    ec_m: int
    ec_n: int
    ec_block_size: int
    ec_index: int
    ec_dist: tuple[int, ...]
    csum_algo: int
    part_nums: tuple[int, ...]
    part_etags: tuple[str, ...]
    part_sizes: tuple[int, ...]
    part_actual_sizes: tuple[int, ...]
    part_indices: tuple[bytes, ...]
    size: int
    mod_time_ns: int
    meta_sys: dict[str, bytes]
    meta_user: dict[str, str]
    written_by: int = 0
    form: Form = Form.MAP


@dataclass(frozen=True, slots=True)
class DeleteBody:
    """A delete marker or a free version."""

    version_id: bytes
    mod_time_ns: int
    meta_sys: dict[str, bytes]
    written_by: int = 0


Body = ObjectBody | DeleteBody


def from_map(fields: Mapping[object, object]) -> Body:
    """The body that a decoded map holds, an object or a deletion. CorruptError where it is neither."""
    kind = _as(fields.get("Type"), int, "Type")
    written_by = _as(fields.get("v", 0), int, "v")
    if kind == OBJECT_TYPE:
        return _object(_as(fields.get("V2Obj"), dict, "V2Obj"), written_by)
    if kind == DELETE_TYPE:
        return _delete(_as(fields.get("DelObj"), dict, "DelObj"), written_by)
    raise CorruptError(_BAD, f"a version's body has type {kind}")


def _object(fields: dict[object, object], written_by: int) -> ObjectBody:
    body = ObjectBody(
        version_id=_uuid(fields, "ID"),
        data_dir=_uuid(fields, "DDir"),
        ec_algo=_int(fields, "EcAlgo"),
        ec_m=_int(fields, "EcM"),
        ec_n=_int(fields, "EcN"),
        ec_block_size=_int(fields, "EcBSize"),
        ec_index=_int(fields, "EcIndex"),
        ec_dist=_items(fields, "EcDist", int),
        csum_algo=_int(fields, "CSumAlgo"),
        part_nums=_items(fields, "PartNums", int),
        part_etags=_items(fields, "PartETags", str),
        part_sizes=_items(fields, "PartSizes", int),
        part_actual_sizes=_items(fields, "PartASizes", int),
        part_indices=_indices(fields.get("PartIdx")),
        size=_int(fields, "Size"),
        mod_time_ns=_int(fields, "MTime"),
        meta_sys=_meta_sys(fields.get("MetaSys")),
        meta_user=_meta_user(fields.get("MetaUsr")),
        written_by=written_by,
    )
    return checked(body)


def checked(body: ObjectBody) -> ObjectBody:
    """The same body. CorruptError where its numbers contradict each other or are impossible."""
    parts = len(body.part_nums)
    if len(body.part_sizes) != parts or len(body.part_actual_sizes) not in (0, parts):
        raise CorruptError(
            _BAD,
            f"{parts} parts have {len(body.part_sizes)} sizes and {len(body.part_actual_sizes)} actual sizes",
        )
    if not (
        0 < body.ec_m <= MAX_SMALL
        and 0 <= body.ec_n <= MAX_SMALL
        and 0 <= body.ec_algo <= MAX_SMALL
        and 0 <= body.csum_algo <= MAX_SMALL
        and 0 < body.ec_block_size <= MAX_INT
        and 0 <= body.ec_index <= MAX_INT
        and 0 <= body.size <= MAX_INT
    ):
        raise CorruptError(_BAD, "a size, an algorithm or a number of shards is impossible")
    for values, least in (
        (body.ec_dist, 0),
        (body.part_nums, 0),
        (body.part_sizes, 0),
        (body.part_actual_sizes, -1),  # not known
    ):
        if values and (min(values) < least or sum(values) > MAX_INT):
            raise CorruptError(_BAD, "the distribution, a part's number or a part's size is impossible")
    checked_time(body.mod_time_ns)
    return body


def checked_time(nanoseconds: int) -> int:
    """The same time. CorruptError where 64 bits do not hold it."""
    if not -MAX_INT - 1 <= nanoseconds <= MAX_INT:
        raise CorruptError(_BAD, f"a version is of {nanoseconds} ns since 1970, which no server can say")
    return nanoseconds


def _delete(fields: dict[object, object], written_by: int) -> DeleteBody:
    return DeleteBody(
        _uuid(fields, "ID"),
        checked_time(_int(fields, "MTime")),
        _meta_sys(fields.get("MetaSys")),
        written_by,
    )


def _as(value: object, kind: type[_T], name: str) -> _T:
    # `type() is` rather than isinstance: True is no integer here.
    if type(value) is not kind:
        raise CorruptError(_BAD, f"{name} is {type(value).__name__}, not {kind.__name__}")
    return value


def _int(fields: dict[object, object], name: str) -> int:
    return _as(fields.get(name), int, name)


def _uuid(fields: dict[object, object], name: str) -> bytes:
    value = fields.get(name)
    if value is None:
        return NULL_ID
    if type(value) is not bytes or len(value) != 16:
        raise CorruptError(_BAD, f"{name} is no UUID of 16 bytes")
    return value


def _items(fields: dict[object, object], name: str, kind: type[_T]) -> tuple[_T, ...]:
    value = fields.get(name)
    if value is None:
        return ()
    if type(value) is not list or not {kind}.issuperset(map(type, value)):
        raise CorruptError(_BAD, f"{name} is no list of {kind.__name__}")
    return tuple(value)


def _indices(value: object) -> tuple[bytes, ...]:
    # RustFS writes an empty index as an empty string, MinIO as empty bytes.
    if value is None:
        return ()
    if type(value) is not list:
        raise CorruptError(_BAD, "PartIdx is no list")
    return tuple(_bytes(item, "PartIdx") for item in value)


def _bytes(value: object, name: str) -> bytes:
    if type(value) is bytes:
        return value
    return _as(value, str, name).encode("utf-8", "surrogateescape")


def _meta_sys(value: object) -> dict[str, bytes]:
    if value is None:
        return {}
    entries = _as(value, dict, "MetaSys")
    return {_as(key, str, "a key of MetaSys"): _bytes(item, "MetaSys") for key, item in entries.items()}


def _meta_user(value: object) -> dict[str, str]:
    if value is None:
        return {}
    entries = _as(value, dict, "MetaUsr")
    return {_as(key, str, "a key of MetaUsr"): _as(item, str, "MetaUsr") for key, item in entries.items()}


# --- writing -------------------------------------------------------------------------------------------


def object_fields(body: ObjectBody) -> dict[str, bytes]:
    """The fields of `V2Obj`, each encoded, in MinIO's order. `PartIdx` is left out where there is none."""
    ints = (
        packing.pack_array(map(packing.pack_int, items))
        for items in (body.ec_dist, body.part_nums, body.part_sizes)
    )
    ec_dist, part_nums, part_sizes = ints
    fields = {
        "ID": packing.pack_bin(body.version_id),
        "DDir": packing.pack_bin(body.data_dir),
        "EcAlgo": packing.pack_uint(body.ec_algo),
        "EcM": packing.pack_int(body.ec_m),
        "EcN": packing.pack_int(body.ec_n),
        "EcBSize": packing.pack_int(body.ec_block_size),
        "EcIndex": packing.pack_int(body.ec_index),
        "EcDist": ec_dist,
        "CSumAlgo": packing.pack_uint(body.csum_algo),
        "PartNums": part_nums,
        "PartETags": packing.pack_array(map(packing.pack_str, body.part_etags))
        if any(body.part_etags)
        else packing.NIL,
        "PartSizes": part_sizes,
        "PartASizes": packing.pack_array(map(packing.pack_int, body.part_actual_sizes))
        if body.part_actual_sizes
        else packing.NIL,
    }
    if body.part_indices:
        fields["PartIdx"] = packing.pack_array(map(packing.pack_bin, body.part_indices))
    fields["Size"] = packing.pack_int(body.size)
    fields["MTime"] = packing.pack_int(body.mod_time_ns)
    fields["MetaSys"] = pack_meta_sys(body.meta_sys)
    fields["MetaUsr"] = pack_meta_user(body.meta_user)
    return fields


def pack_meta_sys(entries: Mapping[str, bytes]) -> bytes:
    return packing.join_map({key: packing.pack_bin(value) for key, value in entries.items()})


def pack_meta_user(entries: Mapping[str, str]) -> bytes:
    return packing.join_map({key: packing.pack_str(value) for key, value in entries.items()})


def encode_body(body: Body) -> bytes:
    """A new body, as MinIO writes it."""
    if isinstance(body, ObjectBody):
        kind, name, inner = OBJECT_TYPE, "V2Obj", packing.join_map(object_fields(body))
    else:
        kind, name = DELETE_TYPE, "DelObj"
        inner = packing.join_map(
            {
                "ID": packing.pack_bin(body.version_id),
                "MTime": packing.pack_int(body.mod_time_ns),
                "MetaSys": pack_meta_sys(body.meta_sys),
            }
        )
    return packing.join_map(
        {"Type": packing.pack_uint(kind), name: inner, "v": packing.pack_uint(body.written_by)}
    )


def replace_metadata(
    raw: bytes, meta_user: Mapping[str, str] | None, meta_sys: Mapping[str, bytes] | None
) -> bytes:
    """The same body with its metadata exchanged; `None` keeps a map, byte for byte."""
    outer = wire.split_map(raw, _BAD)
    name = "V2Obj" if "V2Obj" in outer else "DelObj"
    if name not in outer:
        raise CorruptError(_BAD, "a version's body holds neither an object nor a delete marker")
    inner = wire.split_map(outer[name], _BAD)
    if meta_sys is not None:
        inner["MetaSys"] = pack_meta_sys(meta_sys)
    if meta_user is not None:
        inner["MetaUsr"] = pack_meta_user(meta_user)
    outer[name] = packing.join_map(inner)
    return packing.join_map(outer)
