"""Objects from before versions: one document an object, which MinIO later took over into `xl.meta`.

`V1Obj` in a body of type 3 and the JSON of an `xl.json` say the same under other names; both come here as
`V1Object`. Their content lies at `<object>/legacy/part.N` once it was taken over, before that beside the
document, and is hashed either in blocks as today or as a whole, which `checksums` tells.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from dualtrack.engine.formats import wire
from dualtrack.engine.formats.bodies import NULL_ID, Form, ObjectBody, checked
from dualtrack.errors import CorruptError, UnsupportedFormatError

REASON = "legacy-object"
DATA_DIRECTORY = "legacy"

_BAD = "body"
_VERSIONS = frozenset({"1.0.0", "1.0.1"})
_INTERNAL = ("x-minio-internal-", "x-rustfs-internal-")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class V1Part:
    number: int
    size: int
    actual_size: int
    etag: str


@dataclass(frozen=True, slots=True)
class V1Object:
    """The document. Sizes in bytes."""

    version: str
    format: str
    size: int
    mod_time_ns: int
    data: int
    parity: int
    block_size: int
    index: int
    distribution: tuple[int, ...]
    meta: Mapping[str, str]
    parts: tuple[V1Part, ...]
    version_id: str

    def body(self) -> ObjectBody:
        """As an object like any other. CorruptError or UnsupportedFormatError where servers refuse it."""
        if self.format != "xl" or self.version not in _VERSIONS:
            raise UnsupportedFormatError(
                REASON, f"an object from before versions says format {self.format!r} {self.version!r}"
            )
        if not 0 <= self.parity <= self.data or self.data < 1:
            raise CorruptError(
                _BAD, f"an object from before versions has {self.data} data and {self.parity} parity shards"
            )
        internal = {key: value for key, value in self.meta.items() if key.lower().startswith(_INTERNAL)}
        return checked(
            ObjectBody(
                version_id=_version_id(self.version_id),
                data_dir=NULL_ID,
                ec_algo=1,
                ec_m=self.data,
                ec_n=self.parity,
                ec_block_size=self.block_size,
                ec_index=self.index,
                ec_dist=self.distribution,
                csum_algo=1,
                part_nums=tuple(part.number for part in self.parts),
                part_etags=tuple(part.etag for part in self.parts),
                part_sizes=tuple(part.size for part in self.parts),
                part_actual_sizes=tuple(part.actual_size for part in self.parts),
                part_indices=(),
                size=self.size,
                mod_time_ns=self.mod_time_ns,
                meta_sys={k: v.encode("utf-8", "surrogateescape") for k, v in internal.items()},
                meta_user={key: value for key, value in self.meta.items() if key not in internal},
                form=Form.V1,
            )
        )


def _version_id(text: str) -> bytes:
    if text in ("", "null"):
        return NULL_ID
    try:
        return uuid.UUID(text).bytes
    except ValueError as error:
        raise CorruptError(_BAD, f"an object from before versions has version id {text!r:.60}") from error


class Fields:
    """A decoded map whose values are asked for by name and type; what is absent or nil is Go's zero value."""

    def __init__(self, value: object, name: str) -> None:
        if not isinstance(value, dict):
            raise CorruptError(_BAD, f"{name} is no map")
        self._values: dict[object, object] = value

    def _get(self, name: str, kind: type[_T], absent: _T) -> _T:
        value = self._values.get(name)
        if value is None:
            return absent
        if type(value) is not kind:
            raise CorruptError(_BAD, f"{name} is {type(value).__name__}, not {kind.__name__}")
        return value

    def integer(self, name: str) -> int:
        return self._get(name, int, 0)

    def text(self, name: str) -> str:
        return self._get(name, str, "")

    def list(self, name: str) -> list[object]:
        return self._get(name, list, [])

    def below(self, name: str) -> Fields:
        return Fields(self._get(name, dict, {}), name)

    def texts(self, name: str) -> dict[str, str]:
        found = self._get(name, dict, {})
        if not {str}.issuperset(map(type, (*found, *found.values()))):
            raise CorruptError(_BAD, f"{name} is no map from text to text")
        return found

    def raw(self, name: str) -> object:
        return self._values.get(name)


def integers(items: list[object], name: str) -> tuple[int, ...]:
    found = tuple(item for item in items if type(item) is int)
    if len(found) != len(items):
        raise CorruptError(_BAD, f"{name} is no list of int")
    return found


def parts(items: list[object], part: Callable[[Fields], V1Part]) -> tuple[V1Part, ...]:
    return tuple(part(Fields(item, "a part")) for item in items)


def from_value(value: object) -> ObjectBody:
    """The body that a decoded `V1Obj` holds."""
    fields = Fields(value, "V1Obj")
    stat, erasure = fields.below("Stat"), fields.below("Erasure")
    return V1Object(
        version=fields.text("Version"),
        format=fields.text("Format"),
        size=stat.integer("Size"),
        mod_time_ns=wire.time_ns(stat.raw("ModTime"), _BAD),
        data=erasure.integer("DataBlocks"),
        parity=erasure.integer("ParityBlocks"),
        block_size=erasure.integer("BlockSize"),
        index=erasure.integer("Index"),
        distribution=integers(erasure.list("Distribution"), "Distribution"),
        meta=fields.texts("Meta"),
        parts=parts(
            fields.list("Parts"),
            lambda part: V1Part(part.integer("n"), part.integer("s"), part.integer("as"), part.text("e")),
        ),
        version_id=fields.text("VersionID"),
    ).body()
