"""A report as a file: its ranges as values, the whole as JSON, and back.

Names that are no UTF-8 travel as `{"base64": …}`, like in every JSON of the engine. Reading is strict: what
is not exactly a report of this schema is refused before anything is compared with it.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dualtrack.engine.entries import json_text
from dualtrack.engine.proof import leaves
from dualtrack.engine.rows import Generation
from dualtrack.errors import CorruptError, UnsupportedFormatError

SCHEMA = "dualtrack.rustfs.com/report/v1"
RANGE_SIZE = 1_000


@dataclass(frozen=True, slots=True)
class Range:
    """`objects` of a bucket, `first` and `last` among them. `prefixes`: the first bytes of each leaf, in key
    order; empty where the report was made without.
    """

    bucket: str
    first: str
    last: str
    objects: int
    digest: str
    prefixes: tuple[bytes, ...] = ()

    def to_json(self) -> dict[str, object]:
        fields: dict[str, object] = {
            "bucket": json_text(self.bucket),
            "first": json_text(self.first),
            "last": json_text(self.last),
            "objects": self.objects,
            "digest": self.digest,
        }
        if self.prefixes:
            fields["leaves"] = base64.b64encode(b"".join(self.prefixes)).decode()
        return fields

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Range:
        packed = base64.b64decode(fields.get("leaves", ""), validate=True)
        step = leaves.PREFIX
        prefixes = tuple(packed[start : start + step] for start in range(0, len(packed), step))
        objects = int(fields["objects"])
        if prefixes and (len(prefixes) != objects or len(packed) % step):
            raise ValueError(f"a range of {objects} objects has {len(packed)} bytes of leaves")
        bucket, first, last = (text_of(fields[name]) for name in ("bucket", "first", "last"))
        return cls(bucket, first, last, objects, str(fields["digest"]), prefixes)


@dataclass(slots=True)
class Ranges:
    """Cuts objects, which come in key order, into ranges: at each bucket, and after `size` objects."""

    size: int
    detailed: bool
    done: list[Range] = field(default_factory=list)
    _bucket: str = ""
    _keys: tuple[str, str] = ("", "")
    _leaves: list[bytes] = field(default_factory=list)

    def add(self, bucket: str, key: str, leaf: bytes) -> None:
        if self._leaves and (bucket != self._bucket or len(self._leaves) >= self.size):
            self.close()
        self._bucket = bucket
        self._keys = (self._keys[0] if self._leaves else key), key
        self._leaves.append(leaf)

    def close(self) -> None:
        """End the range that is open."""
        if not self._leaves:
            return
        prefixes = tuple(leaf[: leaves.PREFIX] for leaf in self._leaves) if self.detailed else ()
        digest = leaves.range_digest(self._leaves)
        self.done.append(Range(self._bucket, *self._keys, len(self._leaves), digest, prefixes))
        self._leaves = []


@dataclass(frozen=True, slots=True)
class Report:
    """`head` is everything but ranges, root and signature."""

    head: Mapping[str, Any]
    ranges: tuple[Range, ...]
    root: str
    signature: Mapping[str, str] | None = None

    @classmethod
    def of(cls, head: Mapping[str, Any], ranges: tuple[Range, ...]) -> Report:
        return cls(head, ranges, leaves.root(head, [each.to_json() for each in ranges]))

    @property
    def computed_root(self) -> str:
        return leaves.root(self.head, [each.to_json() for each in self.ranges])

    @property
    def verdict(self) -> str:
        return str(self.head.get("verdict"))

    @property
    def drive_id(self) -> str:
        return str(self.head["drive"]["driveID"])

    @property
    def of_drive(self) -> str:
        """Whose it is, in words."""
        return f"drive {self.drive_id} of set {self.head['drive']['setIndex'] + 1}"

    @property
    def objects(self) -> int:
        return sum(each.objects for each in self.ranges)

    @property
    def generation(self) -> Generation:
        """Rows above this one were written after the report was begun."""
        term, counter = self.head["store"]["generation"]
        return Generation(int(term), int(counter))

    def pieces(self) -> Iterator[str]:
        """The file, a line a range, so that it can be read and compared by eye."""
        head = json.dumps({**self.head, "root": self.root, "signature": self.signature}, indent=1)
        yield head[: head.rindex("\n")] + ',\n "ranges": ['
        for number, each in enumerate(self.ranges):
            yield ("," if number else "") + "\n  " + json.dumps(each.to_json())
        yield ("\n " if self.ranges else "") + "]\n}\n"

    def encode(self) -> bytes:
        return "".join(self.pieces()).encode()


def load(data: bytes, name: str) -> Any:
    """The JSON in these bytes, whatever it says. `CorruptError` for what is none, or has floats."""
    try:
        return json.loads(data, parse_constant=_refuse, parse_float=_refuse)
    except ValueError as error:
        raise CorruptError(
            "report", f"{name} is no JSON ({error}); give the FILE of `report --out`"
        ) from error


def report_of(fields: Any, name: str) -> Report:
    """The report of one drive. `UnsupportedFormatError` for another schema, `CorruptError` for what is no
    report.
    """
    found = fields.get("schema") if isinstance(fields, dict) else None
    if found != SCHEMA:
        raise UnsupportedFormatError(
            "report", f"{name} has schema {found!r}, this build reads {SCHEMA!r}; is it a report at all?"
        )
    try:
        ranges = tuple(Range.from_json(each) for each in fields.pop("ranges"))
        root, signature = str(fields.pop("root")), fields.pop("signature")
        report = Report(fields, ranges, root, signature)
        _ = report.generation, report.of_drive, fields["store"]["uuid"], fields["quarantine"]
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error) as error:
        raise CorruptError(
            "report", f"{name} is not a whole report: {type(error).__name__} {error}; get the file again"
        ) from error
    return report


def text_of(value: object) -> str:
    """The inverse of `json_text`."""
    match value:
        case str():
            return value
        case {"base64": str(packed)}:
            return os.fsdecode(base64.b64decode(packed, validate=True))
        case _:
            raise ValueError(f"{value!r} is no name")


def _refuse(text: str) -> object:
    raise ValueError(f"{text} is no whole number")
