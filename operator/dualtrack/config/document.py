"""A text held against the schema: what it sets, and everything that is wrong with it, by line and column.

All problems are told at once, because somebody who corrects a file wants to do it once. YAML is read as nodes
and not as values: only a node knows its line, that a key stands twice, and that `1e-4` is text to YAML.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, assert_never, cast

import yaml

from dualtrack.config.schema import (
    SETTINGS,
    Fraction,
    Setting,
    Switch,
    Value,
    Values,
    Whole,
    Word,
    children,
    defaults,
)

MAX_BYTES = 1 << 20
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9_]{0,30})")
_DECIMAL = re.compile(
    r"[-+]?(?:[0-9]{1,30}(?:\.[0-9]{0,30}(?:[eE][-+][0-9]{1,3})?)?|\.[0-9]{1,30}(?:[eE][-+][0-9]{1,3})?)"
)
_SCIENTIFIC = re.compile(r"[-+]?(?:[0-9]{1,30}\.?[0-9]{0,30}|\.[0-9]{1,30})[eE][-+]?[0-9]{1,3}")
_DECIMALS = 12
"""How many a threshold in a MetadataMigration may have."""
_SWITCH = {"true": True, "false": False}
_NEARLY = {"yes": "true", "on": "true", "no": "false", "off": "false", "1": "true", "0": "false"}


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """`line` and `column` count from 1."""

    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.message}"


@dataclass(slots=True)
class Checked:
    """`said` are the settings that the file names; of the others the defaults hold."""

    said: dict[str, Value] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def values(self) -> Values:
        return defaults() | self.said


def check(text: str) -> Checked:
    """Everything that the text sets, and everything that is wrong with it, in its order."""
    checked = Checked()
    node = _compose(text, checked)
    if node is not None:
        marks: dict[str, yaml.Node] = {}
        _mapping(node, "", checked, marks)
        if not checked.problems:
            checked.problems += _contradictions(checked, marks)
    checked.problems.sort()
    return checked


def _compose(text: str, checked: Checked) -> yaml.Node | None:
    if len(text) > MAX_BYTES:
        checked.problems.append(
            Problem(1, 1, f"has more than {MAX_BYTES} characters; is it a configuration?")
        )
        return None
    try:
        documents = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        hint = "; indent with spaces" if "\\t" in str(error.problem) else ""
        checked.problems.append(Problem(*place, f"is no YAML: {error.problem or error.context}{hint}"))
        return None
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = before.count("\n") + 1, len(before) - before.rfind("\n")
        checked.problems.append(
            Problem(*place, f"is no YAML: the character {chr(error.character)!r} may not stand here")
        )
        return None
    except (yaml.YAMLError, RecursionError) as error:
        checked.problems.append(Problem(1, 1, f"is no YAML: {' '.join(str(error).split())[:200]}"))
        return None
    found = [each for each in documents if each is not None]
    if not found:
        checked.problems.append(Problem(1, 1, f"is empty; begin with `{children('')[0]}:`"))
        return None
    if len(found) > 1:
        checked.problems.append(
            _at(found[1], "a second document begins here; a configuration is one document")
        )
    return found[0]


def _mapping(node: yaml.Node, path: str, checked: Checked, marks: dict[str, yaml.Node]) -> None:
    """A group of settings, or the whole file."""
    what = path or "the file"
    if not isinstance(node, yaml.MappingNode):
        names = ", ".join(children(path))
        checked.problems.append(_at(node, f"{what}: has {_shown(node)}; write a group of: {names}"))
        return
    met: dict[str, yaml.Node] = {}
    for name, value in node.value:
        key = str(name.value) if isinstance(name, yaml.ScalarNode) else ""
        full = f"{path}.{key}" if path else key
        if key in met:
            first = met[key].start_mark.line + 1
            checked.problems.append(
                _at(name, f"{full}: stands here again, after line {first}; keep one of them")
            )
        elif key not in children(path):
            checked.problems.append(_at(name, _unknown(path, key)))
        else:
            met[key] = name
            _value(value, full, checked, marks)


def _value(node: yaml.Node, path: str, checked: Checked, marks: dict[str, yaml.Node]) -> None:
    setting = SETTINGS.get(path)
    if setting is None:
        _mapping(node, path, checked, marks)
        return
    try:
        checked.said[path] = _read(node, setting)
        marks[path] = node
    except ValueError as error:
        checked.problems.append(_at(node, f"{path}: {_shown(node)} {error}"))


def _unknown(path: str, key: str) -> str:
    """With what was probably meant: a name of this place, or the place of this name."""
    full = _line(f"{path}.{key}" if path else key) or "this group"
    near = difflib.get_close_matches(key.lower().replace("-", "_"), children(path), 1, 0.6)
    if near:
        return f"{full}: is no setting; did you mean {near[0]}?"
    elsewhere = [each for each in SETTINGS if key in each.split(".")]
    if elsewhere:
        return f"{full}: does not belong here; it is {_through(elsewhere[0], key)}"
    return f"{full}: is no setting; here may stand: {', '.join(children(path))}"


def _line(name: str) -> str:
    """Whatever somebody wrote as a name, in one line that moves no cursor."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in name)


def _through(path: str, key: str) -> str:
    """`path` up to and with the name `key`."""
    parts = path.split(".")
    return ".".join(parts[: parts.index(key) + 1])


def _read(node: yaml.Node, setting: Setting) -> Value:
    """The value; a ValueError says, behind the text as it stands there, what to write instead."""
    if isinstance(node, yaml.ScalarNode) and node.tag != _tag_unsaid(node):
        raise ValueError(f"has the tag {node.tag}; write the value alone")
    text = str(node.value).strip() if isinstance(node, yaml.ScalarNode) else None
    quoted = isinstance(node, yaml.ScalarNode) and node.style in ("'", '"')
    match setting:
        case Switch():
            if text in _SWITCH and not quoted:
                return _SWITCH[text]
            meant = _NEARLY.get((text or "").lower(), (text or "").lower())
            raise ValueError(f"is no switch; write {meant if meant in _SWITCH else 'true or false'}")
        case Whole():
            return _whole(text, setting, quoted=quoted)
        case Fraction():
            return _fraction(text, setting, quoted=quoted)
        case Word():
            if text in setting.words:
                return str(text)
            near = difflib.get_close_matches((text or "").lower(), setting.words, 1, 0.5)
            raise ValueError(
                f"is not one of {', '.join(setting.words)}" + (f"; did you mean {near[0]}?" if near else "")
            )
        case _:
            assert_never(setting)


def _tag_unsaid(node: yaml.ScalarNode) -> str:
    """What YAML takes such a value for where nobody says it by a tag."""
    plain, resolver = node.style is None, cast("Any", yaml.SafeLoader(""))
    return str(resolver.resolve(yaml.ScalarNode, node.value, (plain, not plain)))


def _whole(text: str | None, setting: Whole, *, quoted: bool) -> int:
    what = f"a whole number of {setting.unit}"
    if text is None or not _WHOLE.fullmatch(text):
        raise ValueError(f"is not {what}; write for example {setting.default}")
    if quoted:
        raise ValueError(f"is text; write {what} without quotes")
    number = int(text.replace("_", ""))
    if not setting.least <= number <= setting.most:
        raise ValueError(f"is out of bounds; write {what} from {setting.least} to {setting.most}")
    return number


def _fraction(text: str | None, setting: Fraction, *, quoted: bool) -> Decimal:
    if text is not None and _SCIENTIFIC.fullmatch(text) and not _DECIMAL.fullmatch(text):
        lack = "sign in its exponent" if "." in text else "dot"
        raise ValueError(f"is text to YAML, for want of a {lack}; write {format(Decimal(text), 'f')}")
    if text is not None and text.endswith("%") and _DECIMAL.fullmatch(text[:-1]):
        share = format((Decimal(text[:-1]) / 100).normalize(), "f")
        raise ValueError(f"is text; write it {setting.unit}: {share}")
    if text is None or not _DECIMAL.fullmatch(text):
        raise ValueError(f"is no number; write it {setting.unit}, for example {setting.default}")
    if quoted:
        raise ValueError("is text; write the number without quotes")
    number = Decimal(text)
    low = number <= setting.least if setting.above else number < setting.least
    if low or number > setting.most:
        bound = "above" if setting.above else "not below"
        least = format(setting.least, "f")
        raise ValueError(
            f"is out of bounds; write it {setting.unit}, {bound} {least} and at most {setting.most}"
        )
    if round(number, _DECIMALS) != number:
        raise ValueError(f"is finer than a MetadataMigration can say; write at most {_DECIMALS} decimals")
    return number


def _contradictions(checked: Checked, marks: dict[str, yaml.Node]) -> Iterator[Problem]:
    """What each value may be, and both together may not."""
    for lesser, greater in (
        ("metadata.inline_data.threshold_bytes", "metadata.inline_data.separate_threshold_bytes"),
        ("metadata.cache.warmup_size", "metadata.cache.capacity"),
    ):
        small, large = checked.values[lesser], checked.values[greater]
        node = marks.get(lesser) or marks.get(greater)
        if node is not None and isinstance(small, int) and isinstance(large, int) and small > large:
            message = f"{lesser}: {small} is more than {greater} ({large}); make it at most that"
            yield _at(node, message)


def _at(node: yaml.Node, message: str) -> Problem:
    return Problem(node.start_mark.line + 1, node.start_mark.column + 1, message)


def _shown(node: yaml.Node) -> str:
    match node:
        case yaml.MappingNode():
            return "a group"
        case yaml.SequenceNode():
            return "a list"
        case _:
            text = str(node.value)
            return repr(text if len(text) <= 40 else text[:39] + "…") if text else "nothing"
