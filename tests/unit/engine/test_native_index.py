"""A page of the index is checked and unpacked natively as Python does it entry by entry."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dualtrack.engine.formats.versions import Kind
from dualtrack.engine.native import index, library
from dualtrack.engine.stores import envelope
from dualtrack.engine.summary import Summary
from dualtrack.errors import DualTrackError, StoreCorruptError

DRIVE = b"11111111-2222-3333-4444-555555555555"
MOST = (1 << 63) - 1

pytestmark = pytest.mark.skipif(library.library() is None, reason="built without a C compiler")

TEXTS = st.binary(max_size=20).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
ETAGS = st.one_of(
    st.none(),
    st.just(""),
    TEXTS,
    st.from_regex(r"[0-9a-f]{32}(-[1-9][0-9]{0,8})?", fullmatch=True),
)
SUMMARIES = st.builds(
    Summary,
    st.one_of(st.none(), st.sampled_from(Kind)),
    st.integers(0, (1 << 32) - 1),
    st.integers(-MOST, MOST),
    st.integers(0, MOST),
    ETAGS,
    st.one_of(st.just("STANDARD"), TEXTS),
    st.booleans(),
)


@pytest.fixture(autouse=True)
def every_page_is_tried_natively(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_FEW", 0)


def entry(key: str, packed: bytes) -> tuple[bytes, bytes]:
    full = b"bucket\0" + key.encode("utf-8", "surrogateescape")
    return full, envelope.pack_index(packed, envelope.summary_check(DRIVE, full, packed))


def natively(packed: list[bytes], before: int = 0) -> list[Summary] | None:
    found = library.library()
    assert found is not None
    return index._columns(found, b"".join(packed), index._lengths(packed), before)


def checked(page: Sequence[tuple[bytes, bytes]], drive: bytes = DRIVE) -> list[tuple[str, bytes]]:
    """A page as its summaries; unpacked it must say the same, or be refused alike."""
    columns = [full for full, _ in page], [value for _, value in page]
    try:
        ours = index.checked(drive, *columns)
    except StoreCorruptError as error:
        with pytest.raises(StoreCorruptError, match=re.escape(str(error))):
            index.listed(drive, *columns)
        raise
    assert index.listed(drive, *columns) == index.summarised(ours)
    return ours


@given(st.lists(SUMMARIES, max_size=5))
def test_summaries_are_unpacked_alike(summaries: list[Summary]) -> None:
    packed = [each.pack() for each in summaries]
    ours = natively(packed)
    assert ours is None or ours == [Summary.unpack(each) for each in packed]
    assert index.unpacked(packed) == [Summary.unpack(each) for each in packed]
    page = [entry(f"key-{number}", each) for number, each in enumerate(packed)]
    assert [each for _, each in checked(page)] == packed


@given(st.lists(SUMMARIES.filter(lambda each: "\0" not in f"{each.etag}{each.storage_class}"), max_size=5))
def test_usual_summaries_are_unpacked_natively(summaries: list[Summary]) -> None:
    packed = [each.pack() for each in summaries]
    wanted = [Summary.unpack(each) for each in packed]
    assert natively(packed) == wanted
    assert natively([b"12345678" + each for each in packed], before=8) == wanted


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=4))
@example([b"\x01\x20" + bytes(21)])
@example([b"\x01\x10\x01" + bytes(20) + b"\x05ab"])
def test_bytes_that_are_no_summaries_are_refused_alike(packed: list[bytes]) -> None:
    try:
        wanted = [Summary.unpack(each) for each in packed]
    except DualTrackError as error:
        with pytest.raises(type(error)):
            index.unpacked(packed)
        return
    assert index.unpacked(packed) == wanted


def test_sound_entries_are_found_sound_natively(monkeypatch: pytest.MonkeyPatch) -> None:
    summary = Summary(Kind.OBJECT, 1, 5, 6, "0" * 32, "STANDARD", False).pack()
    page = [entry("k" * length, summary) for length in (1, *range(2, 300, 7), 1_024)]
    monkeypatch.setattr(envelope, "index_summaries", None)
    assert checked(page) == [(full[7:].decode(), summary) for full, _ in page]


@pytest.mark.parametrize("place", range(8 + 23))
def test_a_changed_byte_is_found_and_its_object_named(place: int) -> None:
    summary = Summary(Kind.OBJECT, 1, 5, 6, "", "STANDARD", False).pack()
    page = [entry(f"key-{number}", summary) for number in range(20)]
    full, value = page[7]
    page[7] = full, value[:place] + bytes([value[place] ^ 1]) + value[place + 1 :]
    with pytest.raises(StoreCorruptError, match="bucket/key-7"):
        checked(page)


def test_exchanged_and_foreign_entries_are_found() -> None:
    a, b = (entry(key, Summary(Kind.OBJECT, 1, 5, 6, key, "STANDARD", False).pack()) for key in "ab")
    for page in ([(a[0], b[1]), b], [a, (b[0], b"")], [a, (b[0], b[1][:8])]):
        with pytest.raises(StoreCorruptError):
            checked(page)
    with pytest.raises(StoreCorruptError):
        checked([a, b], DRIVE.replace(b"1", b"2"))
    assert checked([]) == []


@given(st.lists(st.sampled_from(["bucket", "a", "b/bucket", "bucket/", "ä", "\udcff"]), max_size=6))
def test_keys_are_told_apart_whatever_they_are_called(keys: list[str]) -> None:
    summary = Summary(Kind.OBJECT, 1, 5, 6, "", "STANDARD", False).pack()
    page = [entry(key, summary) for key in keys]
    assert [key for key, _ in checked(page)] == keys
