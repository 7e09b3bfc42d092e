"""A report of several drives of one server: each drive's own report as a part of it, under one root.

A part is a whole report of one drive, to the byte what a report of that drive alone would have said at that
moment, with its own root. The root over all is over the parts' roots and what is said of them together, so
that no part can be changed, left out, added or taken from another report without its being noticed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dualtrack.engine.proof import leaves
from dualtrack.engine.proof.document import Report, load, report_of
from dualtrack.errors import CorruptError

SCHEMA = "dualtrack.rustfs.com/deployment-report/v1"
_WORST_FIRST = ("Incomplete", "Different")


@dataclass(frozen=True, slots=True)
class DeploymentReport:
    """`head` is everything but parts, root and signature."""

    head: Mapping[str, Any]
    parts: tuple[Report, ...]
    root: str
    signature: Mapping[str, str] | None = None

    @classmethod
    def of(cls, parts: Sequence[Report], missing: Sequence[str], time: datetime) -> DeploymentReport:
        """`missing`: drives of the same server that are not among the parts, in words."""
        said = {part.verdict for part in parts}
        head = {
            "schema": SCHEMA,
            "time": time.isoformat(),
            "verdict": next((each for each in _WORST_FIRST if each in said), "Equal"),
            "software": parts[0].head["software"],
            "deploymentID": parts[0].head["drive"]["deploymentID"],
            "drives": [part.drive_id for part in parts],
            "missing": list(missing),
        }
        return cls(head, tuple(parts), _root(head, parts))

    @property
    def verdict(self) -> str:
        return str(self.head.get("verdict"))

    @property
    def computed_root(self) -> str:
        return _root(self.head, self.parts)

    def pieces(self) -> Iterator[str]:
        """The file, part by part."""
        head = json.dumps({**self.head, "root": self.root, "signature": self.signature}, indent=1)
        yield head[: head.rindex("\n")] + ',\n "parts": [\n'
        for number, part in enumerate(self.parts):
            yield ",\n" if number else ""
            yield from part.pieces()
        yield "]\n}\n"

    def encode(self) -> bytes:
        return "".join(self.pieces()).encode()


def decode(data: bytes, name: str) -> Report | DeploymentReport:
    """The report in these bytes, of one drive or of several. `UnsupportedFormatError` for another schema,
    `CorruptError` for what is no report.
    """
    fields = load(data, name)
    if not isinstance(fields, dict) or fields.get("schema") != SCHEMA:
        return report_of(fields, name)
    try:
        root, signature = str(fields.pop("root")), fields.pop("signature")
        parts = tuple(report_of(each, f"{name}, part {n}") for n, each in enumerate(fields.pop("parts"), 1))
        _require_one_each(fields["drives"], parts)
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptError(
            "report", f"{name} is not a whole report: {type(error).__name__} {error}; get the file again"
        ) from error
    return DeploymentReport(fields, parts, root, signature)


def _require_one_each(drives: object, parts: Sequence[Report]) -> None:
    of = [part.drive_id for part in parts]
    if not parts or drives != of or len(set(of)) != len(of):
        raise ValueError("its parts are not one for each of the drives that it names")


def _root(head: Mapping[str, Any], parts: Sequence[Report]) -> str:
    return leaves.root(head, [part.root for part in parts])
