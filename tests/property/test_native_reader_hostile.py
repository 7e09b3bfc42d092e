"""Whatever a file holds: what the native reader seals, Python seals alike; what Python refuses, it asks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import xxhash
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dualtrack.engine.formats import xlmeta
from dualtrack.engine.formats.changes import Part, add_version, new_delete_marker, new_object_version
from dualtrack.engine.listing import DirectoryReader, Found
from dualtrack.engine.native import library
from dualtrack.engine.rows import Generation
from mutating import mutated
from sealedrows import sealed_by_python

pytestmark = pytest.mark.skipif(library.library() is None, reason="built without a C compiler")

DRIVE = b"11111111-2222-3333-4444-555555555555"
GENERATION = Generation(7, 9)


class Place:
    """One directory with one object, read by either side."""

    def __init__(self, root: Path) -> None:
        found = library.library()
        assert found is not None
        (root / "bucket" / "key").mkdir(parents=True)
        self.file = root / "bucket" / "key" / "xl.meta"
        self.native = library.Reader(found, DRIVE, trust_links=True)
        self.python = DirectoryReader(str(root))
        self.descriptor = os.open(root / "bucket", os.O_RDONLY)

    def compare(self, data: bytes) -> bool:
        """Whether the native reader took it; AssertionError where it took what Python would not have made."""
        self.file.write_bytes(data)
        names = self.native.names(self.descriptor)
        part = self.native.read(self.descriptor, names, 0, 10, b"bucket\0", GENERATION)
        ((state, _, versions, _, _, value, value_size, entry, entry_size),) = part.items()
        if state != library.SEALED:
            assert state == library.ASK
            return False
        found = self.python.read((b"bucket", b"key"))
        assert isinstance(found, Found)
        taken = part.data[value : value + value_size], part.data[entry : entry + entry_size], versions
        assert taken == sealed_by_python(DRIVE, found, GENERATION)
        return True


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("native"))
    yield made
    os.close(made.descriptor)


def sample(inline: bool = True, etag: str = "0" * 32, storage_class: str = "") -> bytes:
    meta = xlmeta.empty()
    user = {"etag": etag, "content-type": "text/plain", "X-Amz-Meta-Color": "red"}
    if storage_class:
        user["x-amz-storage-class"] = storage_class
    for number in range(2):
        version = new_object_version(
            version_id=bytes([number]) * 16,
            data_dir=bytes([number + 8]) * 16,
            mod_time_ns=1_700_000_000_000_000_000 + number,
            parts=[Part(1, 5, 5), Part(2, 300, 300)],
            meta_user=user,
            inline=inline,
        )
        meta = add_version(meta, version, b"hash and content" if inline else None)
    return xlmeta.encode(add_version(meta, new_delete_marker(version_id=b"\x09" * 16, mod_time_ns=1)))


SAMPLE = sample()
END = 13 + int.from_bytes(SAMPLE[9:13], "big")


def with_crc(metadata: bytes, rest: bytes) -> bytes:
    crc = (xxhash.xxh64_intdigest(metadata) & 0xFFFFFFFF).to_bytes(4, "big")
    return SAMPLE[:9] + len(metadata).to_bytes(4, "big") + metadata + b"\xce" + crc + rest


def test_a_usual_file_is_taken(place: Place) -> None:
    assert place.compare(SAMPLE)


@pytest.mark.parametrize("name", ["x-minio-internal-purgestatus", "X-Rustfs-Internal-PurgeStatus"])
@pytest.mark.parametrize("value", [b"arn=PENDING;", b""])
def test_a_version_that_waits_for_its_purge_is_summarised_alike(
    place: Place, name: str, value: bytes
) -> None:
    version = new_object_version(
        version_id=bytes(16),
        data_dir=b"\x01" * 16,
        mod_time_ns=5,
        parts=[Part(1, 5, 5)],
        meta_user={"etag": "0" * 32},
        meta_sys={name: value},
    )
    place.compare(xlmeta.encode(add_version(xlmeta.empty(), version)))


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=300)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.booleans(),
    st.one_of(
        texts, st.from_regex(r"[0-9a-f]{32}(-[0-9]{1,11})?", fullmatch=True), st.just("20000f00" + "0" * 90)
    ),
    texts,
)
@example(inline=True, etag="0" * 32 + "-0", storage_class="STANDARD")
@example(inline=False, etag="é" * 200, storage_class="é" * 200)
def test_etags_and_classes_are_summarised_alike(
    place: Place, inline: bool, etag: str, storage_class: str
) -> None:
    place.compare(sample(inline, etag, storage_class))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400)
@given(st.lists(st.tuples(st.integers(0, END - 14), st.integers(0, 255)), min_size=1, max_size=3))
def test_changed_metadata_with_a_right_crc_is_judged_alike(
    place: Place, changes: list[tuple[int, int]]
) -> None:
    metadata = bytearray(SAMPLE[13:END])
    for position, value in changes:
        metadata[position] = value
    place.compare(with_crc(bytes(metadata), SAMPLE[END + 5 :]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(st.integers(0, len(SAMPLE) - 1), st.binary(max_size=12), st.integers(0, 12))
def test_spliced_files_are_judged_alike(place: Place, position: int, piece: bytes, cut: int) -> None:
    place.compare(SAMPLE[:position] + piece + SAMPLE[position + cut :])
    inner = SAMPLE[13:END]
    within = min(position, len(inner))
    place.compare(with_crc(inner[:within] + piece + inner[within + cut :], SAMPLE[END + 5 :]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400)
@given(st.integers(0, 2**32))
def test_files_with_other_items_and_a_right_crc_are_judged_alike(place: Place, seed: int) -> None:
    place.compare(mutated(Random(seed), SAMPLE))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_inline_section_is_judged_alike(place: Place, section: bytes) -> None:
    place.compare(SAMPLE[: END + 5] + section)
    place.compare(SAMPLE[: END + 5] + b"\x01\x81" + section)
