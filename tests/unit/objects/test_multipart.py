"""Multipart uploads: staged apart, put together by renames, tried again after a crash."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dualtrack.engine.objects.errors import (
    EntityTooSmall,
    InvalidArgument,
    InvalidPart,
    InvalidPartOrder,
    NoSuchUpload,
    PreconditionFailed,
)
from dualtrack.engine.objects.layer import ObjectLayer
from dualtrack.engine.objects.multipart import MIN_PART
from dualtrack.engine.objects.types import Attributes, Part, Span, Stored
from layers import Body, md5, opened


@pytest.fixture(params=["fs/0", "fs/1"])
def layer(drive: Path, request: pytest.FixtureRequest) -> Iterator[ObjectLayer]:
    with opened(drive, request.param) as layer:
        layer.create_bucket("bucket")
        yield layer


def begin(layer: ObjectLayer, key: str = "key") -> str:
    attributes = Attributes({"content-type": "a/b"}, {"k": "v"}, {"t": "1"})
    return layer.create_upload("bucket", key, attributes).upload_id


def send(layer: ObjectLayer, upload: str, number: int, content: bytes, key: str = "key") -> Part:
    return layer.put_part("bucket", key, upload, number, Body(content))


def test_parts_become_one_object_in_the_order_of_their_numbers(drive: Path, layer: ObjectLayer) -> None:
    first, last = os.urandom(MIN_PART + 1), os.urandom(1_100_000)
    upload = begin(layer)
    late = send(layer, upload, 9, last)
    early = send(layer, upload, 3, first)
    written = layer.complete_upload("bucket", "key", upload, [(3, early.etag), (9, f'"{late.etag}"')])
    digest = hashlib.md5(bytes.fromhex(md5(first)) + bytes.fromhex(md5(last)), usedforsecurity=False)
    assert written.etag == f"{digest.hexdigest()}-2"
    stored, content = layer.read("bucket", "key")
    assert b"".join(content) == first + last
    assert (stored.parts, stored.size) == (2, len(first + last))
    assert (stored.user, stored.tags) == ({"k": "v"}, {"t": "1"})
    across = layer.read("bucket", "key", None, Span(MIN_PART - 10, MIN_PART + 100))[1]
    assert b"".join(across) == (first + last)[MIN_PART - 10 : MIN_PART + 101]
    assert list((drive / ".dualtrack/multipart").iterdir()) == []
    with pytest.raises(NoSuchUpload):
        layer.complete_upload("bucket", "key", upload, [(3, early.etag)])


def test_a_part_sent_again_replaces_the_first(layer: ObjectLayer) -> None:
    upload = begin(layer)
    old = send(layer, upload, 1, b"old")
    new = send(layer, upload, 1, b"newer")
    with pytest.raises(InvalidPart):
        layer.complete_upload("bucket", "key", upload, [(1, old.etag)])
    layer.complete_upload("bucket", "key", upload, [(1, new.etag)])
    assert b"".join(layer.read("bucket", "key")[1]) == b"newer"


def test_wrong_completions_are_refused_and_change_nothing(layer: ObjectLayer) -> None:
    upload = begin(layer)
    one, two = send(layer, upload, 1, b"small"), send(layer, upload, 2, b"last")
    for parts, error in (
        ([], InvalidPartOrder),
        ([(2, two.etag), (1, one.etag)], InvalidPartOrder),
        ([(1, one.etag), (1, one.etag)], InvalidPartOrder),
        ([(1, two.etag)], InvalidPart),
        ([(5, one.etag)], InvalidPart),
        ([(1, one.etag), (2, two.etag)], EntityTooSmall),
    ):
        with pytest.raises(error):
            layer.complete_upload("bucket", "key", upload, parts)
    layer.complete_upload("bucket", "key", upload, [(2, two.etag)])
    assert b"".join(layer.read("bucket", "key")[1]) == b"last"


def test_unknown_uploads_parts_and_keys_are_told(layer: ObjectLayer) -> None:
    upload = begin(layer)
    for name, key in (("../../etc", "key"), ("f" * 32, "key"), (upload, "other")):
        with pytest.raises(NoSuchUpload):
            layer.put_part("bucket", key, name, 1, Body(b""))
        with pytest.raises(NoSuchUpload):
            layer.abort_upload("bucket", key, name)
        with pytest.raises(NoSuchUpload):
            layer.list_parts("bucket", key, name, 0, 10)
    for number in (0, 10_001):
        with pytest.raises(InvalidArgument):
            send(layer, upload, number, b"")


def test_an_aborted_upload_leaves_nothing(drive: Path, layer: ObjectLayer) -> None:
    upload = begin(layer)
    send(layer, upload, 1, b"1")
    layer.abort_upload("bucket", "key", upload)
    assert list((drive / ".dualtrack/multipart").iterdir()) == []
    assert list((drive / "bucket").iterdir()) == []


def test_a_refused_part_is_not_listed(layer: ObjectLayer) -> None:
    upload = begin(layer)
    with pytest.raises(ZeroDivisionError):
        layer.put_part("bucket", "key", upload, 1, Body(b"1", refusal=ZeroDivisionError()))
    assert layer.list_parts("bucket", "key", upload, 0, 10).parts == ()


def test_a_completion_that_failed_can_be_tried_again(layer: ObjectLayer) -> None:
    def refuse(current: Stored | None) -> None:
        raise PreconditionFailed("no", "bucket", "key")

    upload = begin(layer)
    part = send(layer, upload, 1, b"content")
    with pytest.raises(PreconditionFailed):
        layer.complete_upload("bucket", "key", upload, [(1, part.etag)], refuse)
    assert layer.complete_upload("bucket", "key", upload, [(1, part.etag)]).size == 7
    assert b"".join(layer.read("bucket", "key")[1]) == b"content"


def test_a_completion_repeated_after_a_crash_makes_no_second_version(
    drive: Path, layer: ObjectLayer, tmp_path: Path
) -> None:
    layer.set_versioning("bucket", "Enabled")
    upload = begin(layer)
    part = send(layer, upload, 1, b"content")
    staged = drive / ".dualtrack/multipart" / upload
    before = {path.name: path.read_bytes() for path in staged.iterdir() if path.suffix == ".json"}
    first = layer.complete_upload("bucket", "key", upload, [(1, part.etag)])
    staged.mkdir()  # as if the process had died before it removed the upload
    for name, content in before.items():
        (staged / name).write_bytes(content)
    assert layer.complete_upload("bucket", "key", upload, [(1, part.etag)]) == first
    assert len(layer.list_versions("bucket", "", "", "", "", 10).versions) == 1
    assert b"".join(layer.read("bucket", "key")[1]) == b"content"


def test_uploads_and_parts_are_listed_in_pages(layer: ObjectLayer) -> None:
    names = ["a/1", "a/2", "b", "b", "c/x"]
    uploads = {begin(layer, key): key for key in names}
    shown: list[str] = []
    key = upload = ""
    while True:
        page = layer.list_uploads("bucket", "", "", key, upload, 2)
        shown += [each.upload_id for each in page.uploads]
        if not page.truncated:
            break
        key, upload = page.next_key, page.next_upload
    assert [uploads[each] for each in shown] == names
    assert len(set(shown)) == 5
    rolled = layer.list_uploads("bucket", "", "/", "", "", 10)
    assert (rolled.prefixes, len(rolled.uploads)) == (("a/", "c/"), 2)
    target = shown[0]
    for number in (1, 2, 5):
        send(layer, target, number, b"x", "a/1")
    first = layer.list_parts("bucket", "a/1", target, 0, 2)
    assert ([part.number for part in first.parts], first.truncated, first.next_number) == ([1, 2], True, 2)
    second = layer.list_parts("bucket", "a/1", target, 2, 2)
    assert ([part.number for part in second.parts], second.truncated) == ([5], False)


def test_uploads_of_a_bucket_end_with_it(drive: Path, layer: ObjectLayer) -> None:
    begin(layer)
    layer.delete_bucket("bucket")
    assert list((drive / ".dualtrack/multipart").iterdir()) == []
