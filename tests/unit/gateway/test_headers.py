"""Attributes from headers and headers from attributes."""

from __future__ import annotations

from email.header import decode_header, make_header

import pytest

from dualtrack.gateway.errors import S3Error
from dualtrack.gateway.headers import attributes, check_tags, header_text, refuse_unserved, tag_header


def test_text_that_is_not_ascii_leaves_as_encoded_words() -> None:
    assert header_text("plain text, with = and ?") == "plain text, with = and ?"
    # What a MinIO answers for the same stored bytes (tests/data, bucket `anon`, key `latin1`).
    assert header_text(b"m\xfcll \xe9".decode("utf-8", "surrogateescape")) == "=?UTF-8?q?m=FCll_=E9?="
    assert header_text("a\r\nSet-Cookie: x") == "=?UTF-8?q?a=0D=0ASet-Cookie:_x?="


@pytest.mark.parametrize("value", ["müll", "日本語" * 40, "a=b?c_d é"])
def test_encoded_words_decode_to_what_was_stored(value: str) -> None:
    encoded = header_text(value)
    assert str(make_header(decode_header(encoded))) == value
    assert all(len(word) <= 75 for word in encoded.split(" "))


def test_attributes_keep_standard_headers_and_user_metadata() -> None:
    kept = attributes(
        {
            "content-type": "text/plain",
            "content-encoding": "gzip,aws-chunked",
            "cache-control": "no-cache",
            "x-amz-meta-Name".lower(): "Ä",
            "x-amz-tagging": "a=1&b=x%20y&c=",
            "x-amz-storage-class": "REDUCED_REDUNDANCY",
            "content-length": "5",
        }
    )
    assert kept.headers == {
        "content-type": "text/plain",
        "content-encoding": "gzip",
        "cache-control": "no-cache",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
    }
    assert kept.user == {"name": "Ä"}
    assert kept.tags == {"a": "1", "b": "x y", "c": ""}
    assert "content-encoding" not in attributes({"content-encoding": "aws-chunked"}).headers


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"x-amz-storage-class": "GLACIER"}, "InvalidStorageClass"),
        ({"x-amz-meta-a": "x" * 2048}, "MetadataTooLarge"),
        ({"x-amz-tagging": "a=1&a=2"}, "InvalidTag"),
    ],
)
def test_attributes_that_are_refused(headers: dict[str, str], code: str) -> None:
    with pytest.raises(S3Error) as caught:
        attributes(headers)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "pairs",
    [
        [(f"k{n}", "v") for n in range(11)],
        [("", "v")],
        [("k" * 129, "v")],
        [("k", "v" * 257)],
        [("k", "<v>")],
    ],
)
def test_tags_outside_the_limits_are_refused(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(S3Error) as caught:
        check_tags(pairs)
    assert caught.value.code == "InvalidTag"


def test_a_tag_header_that_is_no_query_string_is_refused() -> None:
    with pytest.raises(S3Error):
        tag_header("a&b=%ff")


@pytest.mark.parametrize(
    "headers",
    [
        {"x-amz-server-side-encryption": "AES256"},
        {"x-amz-server-side-encryption-customer-algorithm": "AES256"},
        {"x-amz-object-lock-mode": "GOVERNANCE"},
        {"x-amz-acl": "public-read"},
        {"x-amz-grant-read": "id=1"},
    ],
)
def test_what_is_not_served_is_refused_and_not_ignored(headers: dict[str, str]) -> None:
    with pytest.raises(S3Error) as caught:
        refuse_unserved(headers)
    assert caught.value.status == 501
    refuse_unserved({"x-amz-acl": "private", "x-amz-bucket-object-lock-enabled": "false"})
