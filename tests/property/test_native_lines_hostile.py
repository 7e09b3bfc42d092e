"""Whatever a row holds: what the native export writes, Python writes alike; what Python refuses is left."""

from __future__ import annotations

from random import Random

import pytest
import xxhash
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dualtrack.engine.formats import xlmeta
from dualtrack.engine.formats.changes import Part, add_version, new_delete_marker, new_object_version
from dualtrack.engine.native import library
from dualtrack.engine.native.lines import LineWriter
from exportlines import DRIVE, by_python, natively, packed
from mutating import mutated

pytestmark = pytest.mark.skipif(library.library() is None, reason="built without a C compiler")

NAMES = st.one_of(
    st.sampled_from(["etag", "ETag", "content-type", "x-amz-tagging", "X-Amz-Storage-Class", "expires"]),
    st.sampled_from(["x-amz-meta-", "X-AMZ-META-a", "x-amz-meta-A", "a", "x-amz-server-side-encryption"]),
    st.text(st.characters(codec="ascii"), max_size=80),
    st.text(max_size=5),
)
BYTES = st.binary(max_size=12).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
TEXTS = st.one_of(st.text(max_size=40), BYTES, st.sampled_from(["", "20000f00" + "0" * 30, "STANDARD"]))
QUERIES = st.text(st.sampled_from("ab&=+%2fFcC3A9é;"), max_size=24)


@pytest.fixture(scope="module")
def writer() -> LineWriter:
    found = library.library()
    assert found is not None
    return LineWriter(found, DRIVE)


def compare(writer: LineWriter, key: str, data: bytes) -> bool:
    """Whether C wrote it; AssertionError where it wrote what Python does not."""
    row = packed("bucket", key, data)
    ours = natively(writer, row)
    assert ours is None or ours == by_python(row)
    return ours is not None


def sample(user: dict[str, str], system: dict[str, bytes] | None = None, *, inline: bool = True) -> bytes:
    meta = xlmeta.empty()
    for number in range(2):
        version = new_object_version(
            version_id=bytes([number]) * 16,
            data_dir=bytes([number + 8]) * 16,
            mod_time_ns=1_700_000_000_000_000_000 + number,
            parts=[Part(1, 5, 5), Part(2, 300, 300)] if number else [Part(1, 0, 0)],
            meta_user=user,
            meta_sys=system,
            inline=inline,
        )
        meta = add_version(meta, version, b"hash and content" if inline else None)
    return xlmeta.encode(add_version(meta, new_delete_marker(version_id=b"\x09" * 16, mod_time_ns=1)))


SAMPLE = sample({"etag": "0" * 32, "X-Amz-Meta-Color": "rött", "x-amz-tagging": "a=b&c=%20"})
END = 13 + int.from_bytes(SAMPLE[9:13], "big")


def with_crc(metadata: bytes, rest: bytes) -> bytes:
    crc = (xxhash.xxh64_intdigest(metadata) & 0xFFFFFFFF).to_bytes(4, "big")
    return SAMPLE[:9] + len(metadata).to_bytes(4, "big") + metadata + b"\xce" + crc + rest


def test_the_sample_is_written_natively(writer: LineWriter) -> None:
    assert compare(writer, "key", SAMPLE)


@given(st.dictionaries(NAMES, TEXTS, max_size=6), QUERIES, BYTES.filter(lambda key: "\0" not in key))
@example({"x-amz-meta-" + "n" * 260: "v"}, "", "key")
@example({"etag": "a", "x-amz-meta-etag": "b"}, "a=%41&b=+", "schl\xfcssel")
def test_any_metadata_tags_and_keys_are_written_alike(
    writer: LineWriter, user: dict[str, str], query: str, key: str
) -> None:
    compare(writer, f"k{key}", sample({**user, "x-amz-tagging": query}))


@given(
    st.sampled_from(
        ["inline-data", "compression", "purgestatus", "actual-size", "server-side-encryption-sealed-key"]
    ),
    st.sampled_from(["x-minio-internal-", "X-Rustfs-Internal-", "other-"]),
    st.binary(max_size=4),
    st.booleans(),
)
def test_any_internal_metadata_is_understood_alike(
    writer: LineWriter, name: str, prefix: str, value: bytes, inline: bool
) -> None:
    compare(writer, "key", sample({"etag": "0" * 32}, {prefix + name: value}, inline=inline))


@settings(max_examples=400)
@given(st.lists(st.tuples(st.integers(0, END - 14), st.integers(0, 255)), min_size=1, max_size=3))
def test_changed_metadata_with_a_right_crc_is_written_alike(
    writer: LineWriter, changes: list[tuple[int, int]]
) -> None:
    metadata = bytearray(SAMPLE[13:END])
    for position, value in changes:
        metadata[position] = value
    compare(writer, "key", with_crc(bytes(metadata), SAMPLE[END + 5 :]))


@settings(max_examples=200)
@given(st.integers(0, len(SAMPLE) - 1), st.binary(max_size=12), st.integers(0, 12))
def test_spliced_files_are_written_alike(writer: LineWriter, position: int, piece: bytes, cut: int) -> None:
    compare(writer, "key", SAMPLE[:position] + piece + SAMPLE[position + cut :])
    inner = SAMPLE[13:END]
    within = min(position, len(inner))
    compare(writer, "key", with_crc(inner[:within] + piece + inner[within + cut :], SAMPLE[END + 5 :]))


@settings(max_examples=400)
@given(st.integers(0, 2**32))
def test_files_with_other_items_and_a_right_crc_are_written_alike(writer: LineWriter, seed: int) -> None:
    compare(writer, "key", mutated(Random(seed), SAMPLE))
