"""Conditions and ranges of reads and writes."""

from __future__ import annotations

import pytest

from dualtrack.engine.objects.types import Span, Stored
from dualtrack.gateway import conditions
from dualtrack.gateway.conditions import NotModified, check_read, parse_copy_range, parse_range, write_check
from dualtrack.gateway.errors import S3Error

MODIFIED = 1_700_000_000
BEFORE, EXACT, AFTER = (
    "Tue, 14 Nov 2023 22:13:19 GMT",
    "Tue, 14 Nov 2023 22:13:20 GMT",
    "Tue, 14 Nov 2023 22:13:21 GMT",
)
STORED = Stored(
    bucket="b",
    key="k",
    version_id="null",
    versioned=False,
    is_latest=True,
    delete_marker=False,
    etag="e1",
    size=10,
    modified_ns=MODIFIED * 10**9 + 5,
    headers={},
    user={},
    tags={},
    storage_class="STANDARD",
    parts=1,
    decodable=True,
)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"if-match": '"e1"'},
        {"if-match": "e1"},
        {"if-match": '"x", "e1"'},
        {"if-match": "*"},
        {"if-none-match": '"x"'},
        {"if-unmodified-since": EXACT},
        {"if-modified-since": BEFORE},
        {"if-modified-since": "nonsense"},
        {"if-match": '"e1"', "if-unmodified-since": BEFORE},
        {"if-none-match": '"x"', "if-modified-since": AFTER},
    ],
)
def test_reads_that_go_on(headers: dict[str, str]) -> None:
    check_read(headers, STORED)


@pytest.mark.parametrize(
    "headers",
    [
        {"if-none-match": '"e1"'},
        {"if-none-match": "*"},
        {"if-none-match": 'W/"e1"'},
        {"if-modified-since": EXACT},
        {"if-modified-since": AFTER},
    ],
)
def test_reads_that_are_not_modified(headers: dict[str, str]) -> None:
    with pytest.raises(NotModified):
        check_read(headers, STORED)
    as_source = {f"x-amz-copy-source-{name}": value for name, value in headers.items()}
    with pytest.raises(S3Error) as caught:
        check_read(as_source, STORED, conditions.COPY_SOURCE)
    assert caught.value.status == 412


@pytest.mark.parametrize(
    "headers",
    [
        {"if-match": '"x"'},
        {"if-unmodified-since": BEFORE},
        {"if-match": '"x"', "if-none-match": '"e1"'},
    ],
)
def test_reads_that_fail_their_precondition(headers: dict[str, str]) -> None:
    with pytest.raises(S3Error) as caught:
        check_read(headers, STORED)
    assert caught.value.status == 412


def test_conditional_writes() -> None:
    assert write_check({}) is None
    only_new = write_check({"if-none-match": "*"})
    same = write_check({"if-match": '"e1"'})
    other = write_check({"if-match": '"x"'})
    assert only_new
    assert same
    assert other
    only_new(None)
    same(STORED)
    for check, current, status in ((only_new, STORED, 412), (other, STORED, 412), (same, None, 404)):
        with pytest.raises(S3Error) as caught:
            check(current)
        assert caught.value.status == status


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("bytes=0-9", Span(0, 9)),
        ("bytes=5-", Span(5, None)),
        ("bytes=-5", Span(None, 5)),
        ("bytes=-", None),
        ("bytes=9-5", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        (None, None),
    ],
)
def test_ranges(text: str | None, span: Span | None) -> None:
    assert parse_range(text) == span


@pytest.mark.parametrize("text", ["bytes=5-", "bytes=-5", "bytes=9-5", "0-5"])
def test_a_copy_range_must_be_whole(text: str) -> None:
    assert parse_copy_range("bytes=0-5") == Span(0, 5)
    with pytest.raises(S3Error):
        parse_copy_range(text)
