"""Checksums and lengths: what a sender declared is what was received, or nothing is committed."""

from __future__ import annotations

import base64
import hashlib
import zlib

import pytest

from dualtrack.gateway import checksums
from dualtrack.gateway.auth import Identity
from dualtrack.gateway.body import MAX_PUT, Intake
from dualtrack.gateway.errors import S3Error
from dualtrack.gateway.signature import Scope

CONTENT = b"The quick brown fox jumps over the lazy dog"
UNSIGNED = "UNSIGNED-PAYLOAD"
TRAILING = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"


def identity(payload: str = UNSIGNED) -> Identity:
    return Identity(payload, Scope("20261123", "us-east-1", "s3"), "20261123T000000Z", "", b"")


def b64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


GOOD = {
    "content-md5": b64(hashlib.md5(CONTENT, usedforsecurity=False).digest()),
    "x-amz-checksum-sha1": b64(hashlib.sha1(CONTENT, usedforsecurity=False).digest()),
    "x-amz-checksum-sha256": b64(hashlib.sha256(CONTENT).digest()),
    "x-amz-checksum-crc32": b64(zlib.crc32(CONTENT).to_bytes(4, "big")),
    "x-amz-checksum-crc32c": "ImIEBA==",
}


def receive(headers: dict[str, str], payload: str = UNSIGNED, content: bytes = CONTENT) -> Intake:
    intake = Intake(headers, identity(payload), len(content))
    for at in range(0, len(content), 5):
        assert intake.feed(content[at : at + 5])
    intake.finish()
    return intake


@pytest.mark.parametrize("name", GOOD)
def test_a_right_digest_is_accepted_and_a_wrong_one_refused(name: str) -> None:
    receive({name: GOOD[name]})
    with pytest.raises(S3Error) as caught:
        receive({name: GOOD[name]}, content=CONTENT[:-1] + b"!")
    assert caught.value.code == "BadDigest"


def test_the_checksum_verified_is_told_to_the_client_and_the_md5_is_not() -> None:
    name = "x-amz-checksum-crc32c"
    assert receive({name: GOOD[name], "content-md5": GOOD["content-md5"]}).answer_headers() == {
        name: GOOD[name]
    }


@pytest.mark.parametrize(
    ("algorithm", "check"),
    # The check values of the CRC catalogue, for b"123456789".
    [("crc32", 0xCBF43926), ("crc32c", 0xE3069283), ("crc64nvme", 0xAE8B14860A799888)],
)
def test_the_catalogues_check_values(algorithm: str, check: int) -> None:
    digest = checksums.ALGORITHMS[algorithm]()
    digest.update(b"1234")
    digest.update(b"56789")
    assert int.from_bytes(digest.digest(), "big") == check


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"content-md5": "x"}, "InvalidDigest"),
        ({"x-amz-checksum-crc32": "AAA="}, "InvalidRequest"),
        (
            {"x-amz-checksum-crc32": "AAAAAA==", "x-amz-checksum-sha1": GOOD["x-amz-checksum-sha1"]},
            "InvalidRequest",
        ),
        ({"x-amz-trailer": "x-amz-checksum-md17"}, "InvalidRequest"),
    ],
)
def test_malformed_digests_are_refused_before_the_body(headers: dict[str, str], code: str) -> None:
    with pytest.raises(S3Error) as caught:
        Intake(headers, identity(), 1)
    assert caught.value.code == code


def test_the_payload_hash_of_the_signature_is_compared() -> None:
    receive({}, hashlib.sha256(CONTENT).hexdigest())
    with pytest.raises(S3Error) as caught:
        receive({}, hashlib.sha256(b"other").hexdigest())
    assert caught.value.code == "XAmzContentSHA256Mismatch"


def test_lengths() -> None:
    with pytest.raises(S3Error) as caught:
        Intake({}, identity(), None)
    assert caught.value.code == "MissingContentLength"
    with pytest.raises(S3Error) as caught:
        Intake({}, identity(TRAILING), 10)
    assert caught.value.code == "MissingContentLength"
    with pytest.raises(S3Error) as caught:
        Intake({}, identity(), MAX_PUT + 1)
    assert caught.value.code == "EntityTooLarge"
    short = Intake({}, identity(), 10)
    short.feed(b"123")
    with pytest.raises(S3Error) as caught:
        short.finish()
    assert caught.value.code == "IncompleteBody"


def trailing(body: bytes, announced: str = "x-amz-checksum-crc32") -> bytes:
    headers = {"x-amz-decoded-content-length": "5", "x-amz-trailer": announced}
    intake = Intake(headers, identity(TRAILING), len(body))
    content = b"".join(intake.feed(body[at : at + 3]) for at in range(0, len(body), 3))
    intake.finish()
    return content


CRC = b64(zlib.crc32(b"hello").to_bytes(4, "big")).encode()


def test_an_unsigned_trailer_is_verified() -> None:
    assert trailing(b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:" + CRC + b"\r\n\r\n") == b"hello"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"5\r\nhellO\r\n0\r\nx-amz-checksum-crc32:" + CRC + b"\r\n\r\n", "BadDigest"),
        (b"5\r\nhello\r\n0\r\n\r\n", "InvalidRequest"),
        (b"4\r\nhello\r\n0\r\n\r\n", "InvalidRequest"),
        (b"6\r\nhello!\r\n0\r\n\r\n", "InvalidRequest"),
        (b"-5\r\nhello\r\n0\r\n\r\n", "InvalidRequest"),
        (b"zz\r\nhello\r\n0\r\n\r\n", "InvalidRequest"),
        (b"3\r\nhel\r\n0\r\n\r\n", "IncompleteBody"),
        (b"5\r\nhello\r\n", "IncompleteBody"),
        (b"5;" + b"x" * 4000 + b"\r\nhello\r\n0\r\n\r\n", "InvalidRequest"),
        (b"5\r\nhello\r\n0\r\n" + b"x:y\r\n" * 4000, "InvalidRequest"),
    ],
)
def test_broken_frames_are_refused(body: bytes, code: str) -> None:
    with pytest.raises(S3Error) as caught:
        trailing(body)
    assert caught.value.code == code
