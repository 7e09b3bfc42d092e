"""The fast decoder of bodies and the exact one: where the first has an answer, it is the second's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import old_forms
from dualtrack.engine.formats import bodies, forms, packing, typed, xlmeta
from dualtrack.engine.formats.bodies import Body, DeleteBody, ObjectBody
from dualtrack.errors import FormatError
from version_strategies import versions

Outcome = Body | type[FormatError]


def exactly(raw: bytes) -> Outcome:
    try:
        return forms.decode_exactly(raw)
    except FormatError as error:
        return type(error)


def usually(raw: bytes) -> Outcome | None:
    try:
        return typed.decode(raw)
    except FormatError as error:
        return type(error)


def stored(drive: Path) -> Iterator[bytes]:
    for path in drive.rglob("xl.meta"):
        if path.is_file():
            yield from (version.raw_body for version in xlmeta.decode(path.read_bytes()).versions)


@pytest.mark.parametrize("case", ["minio_drive", "rustfs_drive"])
def test_bodies_of_real_drives_are_decoded_in_one_step(case: str, request: pytest.FixtureRequest) -> None:
    total = unusual = 0
    for raw in stored(request.getfixturevalue(case)):
        found = usually(raw)
        total += 1
        unusual += found is None
        assert found is None or found == exactly(raw)
        assert isinstance(found, ObjectBody | DeleteBody | None)
    assert total > 2_000
    # Long ones, and one with text that is no UTF-8.
    assert unusual < total / 50


SAMPLES = tuple(
    version.raw_body
    for fixture in old_forms.fixtures()
    if fixture.form != "json"
    for version in xlmeta.decode(fixture.data).versions
)
ITEMS = (
    b"\xc0",
    b"\xc2",
    b"\xc3",
    b"\xca\x40\xa0\x00\x00",
    b"\xcb" + bytes(8),
    b"\xcf" + b"\xff" * 8,
    b"\x90",
    b"\x80",
)
replacements = st.binary(max_size=3) | st.sampled_from(ITEMS)


@given(st.integers(0, len(SAMPLES) - 1), st.lists(st.tuples(st.integers(0, 600), replacements), max_size=4))
def test_no_damage_makes_the_two_differ(number: int, changes: list[tuple[int, bytes]]) -> None:
    raw = bytearray(SAMPLES[number])
    for position, new in changes:
        at = position % len(raw)
        raw[at : at + 1] = new
    found = usually(bytes(raw))
    assert found is None or found == exactly(bytes(raw))


@given(versions(), st.dictionaries(st.text("abZ", min_size=1, max_size=4), st.binary(max_size=8), max_size=3))
def test_unknown_fields_are_passed_over_alike(version: object, unknown: dict[str, bytes]) -> None:
    body = version.body  # type: ignore[attr-defined]
    inner = {name: packing.pack_bin(value) for name, value in unknown.items()}
    if isinstance(body, ObjectBody):
        kind, name, fields = 1, "V2Obj", inner | bodies.object_fields(body)
    else:
        times = {"ID": packing.pack_bin(body.version_id), "MTime": packing.pack_int(body.mod_time_ns)}
        kind, name, fields = 2, "DelObj", inner | times
    raw = packing.join_map(inner | {"Type": bytes((kind,)), name: packing.join_map(fields)})
    found = usually(raw)
    assert found is None or found == exactly(raw)


def test_announced_arrays_and_long_bodies_are_left_to_the_exact_decoder() -> None:
    announced = b"\x7f\xff\xff\xff"
    bombs = (
        b"\x81\xa5V2Obj\xdd" + announced,
        b"\xdf" + announced,
        b"\x91" * 9_000,
        b"\x81\xa1a" + b"\x91" * 9_000,
    )
    for bomb in bombs:
        assert typed.decode(bomb) is None
    long = old_forms.pack(old_forms.v2(old_forms.NULL, 1, MetaUsr={"k": "x" * typed.LONGEST}))
    assert typed.decode(long) is None
    assert isinstance(forms.decode_body(long), ObjectBody)
