"""The one door by which a MetadataMigration comes in: `parse(raw)`.

It gives the whole object or an error that lists everything that is wrong with it, by field, because
somebody who corrects a file wants to do it once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from dualtrack.api.cel import NAME_LIMIT
from dualtrack.api.fields import truncate
from dualtrack.api.resource import MetadataMigration
from dualtrack.api.rules import Problem, problems
from dualtrack.errors import InvalidResourceError

_SHOWN = 64


class InvalidMigrationError(InvalidResourceError):
    """A MetadataMigration that cannot be accepted. `problems` has everything that is wrong with it."""

    def __init__(self, name: str, found: Sequence[Problem]) -> None:
        self.problems = tuple(found)
        listed = "; ".join(map(str, found))
        super().__init__(f"MetadataMigration {name} cannot be accepted: {listed}")


def parse(raw: Mapping[str, Any]) -> MetadataMigration:
    """The migration in this object, as the API server returns it or as a file holds it.

    Raises InvalidMigrationError (an InvalidResourceError) with all problems.
    """
    name = _name(raw)
    try:
        migration = MetadataMigration.model_validate(raw)
    except ValidationError as error:
        raise InvalidMigrationError(name, _shape_problems(raw, error)) from error
    found = problems(migration.spec)
    if len(migration.metadata.name) > NAME_LIMIT:
        remedy = f"is too long for the names of its Jobs; must be at most {NAME_LIMIT} characters"
        found.insert(0, Problem("metadata.name", migration.metadata.name, remedy))
    if found:
        raise InvalidMigrationError(name, found)
    return migration


def _name(raw: Mapping[str, Any]) -> str:
    metadata = raw.get("metadata")
    if not isinstance(metadata, Mapping):
        return "without a name"
    return f"{metadata.get('namespace', 'default')}/{metadata.get('name', '?')}"


def _shape_problems(raw: Mapping[str, Any], error: ValidationError) -> list[Problem]:
    details = error.errors()
    places = [detail["loc"] for detail in details]
    # A list whose only entry is wrong is also reported as too short; that is no second fault.
    return [
        _problem(raw, detail)
        for detail in details
        if detail["type"] != "too_short"
        or not any(len(p) > len(detail["loc"]) and p[: len(detail["loc"])] == detail["loc"] for p in places)
    ]


def _problem(raw: Mapping[str, Any], detail: Any) -> Problem:
    location = detail["loc"]
    match detail["type"]:
        case "missing":
            return Problem(_path(raw, location), "", "is missing; must be set")
        case "extra_forbidden":
            return Problem(_path(raw, location), "", "is not a field of this version; must be absent")
        case _:
            wanted = detail["msg"].partition(" should ")[2] or f"be otherwise ({detail['msg']})"
            return Problem(
                _path(raw, location), truncate(str(detail["input"]), _SHOWN), f"is refused: must {wanted}"
            )


def _path(raw: Any, location: Sequence[str | int]) -> str:
    """`spec.gates[error-rate].max`: list entries by name where they have one."""
    path, node = "", raw
    for part in location:
        if isinstance(part, int):
            node = node[part] if isinstance(node, Sequence) and part < len(node) else None
            named = node.get("name") if isinstance(node, Mapping) else None
            path += f"[{named if isinstance(named, str) else part}]"
        else:
            node = node.get(part) if isinstance(node, Mapping) else None
            path += f".{part}" if path else part
    return path
