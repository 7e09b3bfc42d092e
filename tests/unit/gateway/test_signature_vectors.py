"""Signature V4 against the examples that the Amazon S3 API Reference prints.

"Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk", "…in Multiple
Chunks", "…Including Trailing Headers", and "Authenticating Requests: Using Query Parameters".
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dualtrack.gateway.auth import Credentials, Head, Identity, authenticate
from dualtrack.gateway.chunks import ChunkDecoder
from dualtrack.gateway.errors import S3Error
from dualtrack.gateway.signature import EMPTY_SHA256, parse_query

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
CREDENTIALS = Credentials("AKIAIOSFODNN7EXAMPLE", SECRET, "us-east-1")
NOW = datetime(2013, 5, 24, tzinfo=UTC)
TIME = "20130524T000000Z"
HOST = "examplebucket.s3.amazonaws.com"


def head(method: str, target: str, headers: dict[str, str], signature: str, host: str = HOST) -> Head:
    headers = {"host": host, "x-amz-date": TIME, **headers}
    signed = ";".join(sorted(headers))
    credential = "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request"
    authorization = f"AWS4-HMAC-SHA256 Credential={credential},SignedHeaders={signed},Signature={signature}"
    path, _, query = target.partition("?")
    values = {name: [value] for name, value in headers.items()}
    return Head(method, path, parse_query(query), values | {"authorization": [authorization]})


VECTORS = {
    "get-object-range": (
        "GET",
        "/test.txt",
        {"range": "bytes=0-9", "x-amz-content-sha256": EMPTY_SHA256},
        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    ),
    "put-object": (
        "PUT",
        "/test%24file.text",
        {
            "date": "Fri, 24 May 2013 00:00:00 GMT",
            "x-amz-content-sha256": "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
            "x-amz-storage-class": "REDUCED_REDUNDANCY",
        },
        "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    ),
    "get-bucket-lifecycle": (
        "GET",
        "/?lifecycle",
        {"x-amz-content-sha256": EMPTY_SHA256},
        "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    ),
    "list-objects": (
        "GET",
        "/?max-keys=2&prefix=J",
        {"x-amz-content-sha256": EMPTY_SHA256},
        "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    ),
}


@pytest.mark.parametrize("name", VECTORS)
def test_accepts_the_published_header_signatures(name: str) -> None:
    method, target, headers, signature = VECTORS[name]
    identity = authenticate(head(method, target, headers, signature), CREDENTIALS, NOW)
    assert identity.seed == signature
    assert identity.payload == headers["x-amz-content-sha256"]


@pytest.mark.parametrize("name", VECTORS)
def test_refuses_the_published_signatures_when_one_digit_differs(name: str) -> None:
    method, target, headers, signature = VECTORS[name]
    wrong = signature[:-1] + ("0" if signature[-1] != "0" else "1")
    with pytest.raises(S3Error) as caught:
        authenticate(head(method, target, headers, wrong), CREDENTIALS, NOW)
    assert caught.value.code == "SignatureDoesNotMatch"


PRESIGNED = (
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2F"
    "aws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature="
    "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
)


def presigned(query: str = PRESIGNED, method: str = "GET") -> Head:
    return Head(method, "/test.txt", parse_query(query), {"host": [HOST]})


def test_accepts_the_published_presigned_url_until_it_expires() -> None:
    assert authenticate(presigned(), CREDENTIALS, NOW + timedelta(hours=23)).payload == "UNSIGNED-PAYLOAD"
    with pytest.raises(S3Error, match="expired") as caught:
        authenticate(presigned(), CREDENTIALS, NOW + timedelta(hours=24, seconds=1))
    assert caught.value.code == "AccessDenied"


def test_refuses_a_presigned_url_used_for_another_method_or_too_early() -> None:
    with pytest.raises(S3Error) as caught:
        authenticate(presigned(method="PUT"), CREDENTIALS, NOW)
    assert caught.value.code == "SignatureDoesNotMatch"
    with pytest.raises(S3Error, match="not valid yet"):
        authenticate(presigned(), CREDENTIALS, NOW - timedelta(minutes=16))


STREAM_HOST = "s3.amazonaws.com"
TARGET = "/examplebucket/chunkObject.txt"
CONTENT = b"a" * 66560


def seed(payload: str, extra: dict[str, str], signature: str) -> Identity:
    headers = {
        "content-encoding": "aws-chunked",
        "x-amz-content-sha256": payload,
        "x-amz-decoded-content-length": "66560",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
        **extra,
    }
    return authenticate(head("PUT", TARGET, headers, signature, STREAM_HOST), CREDENTIALS, NOW)


def framed(signatures: list[str], trailer: bytes) -> bytes:
    pieces = [CONTENT[:65536], CONTENT[65536:], b""]
    frames = [
        f"{len(piece):x};chunk-signature={signature}\r\n".encode() + piece + (b"\r\n" if piece else b"")
        for piece, signature in zip(pieces, signatures, strict=True)
    ]
    return b"".join(frames) + trailer


CHUNKS = [
    "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
    "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
    "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
]
TRAILED_CHUNKS = [
    "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
]
TRAILER = (
    b"x-amz-checksum-crc32c:sOO8/Q==\n\r\n"
    b"x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
)


def published() -> Identity:
    return seed(
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        {"content-length": "66824"},
        "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    )


def published_with_trailer() -> Identity:
    return seed(
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
        {"x-amz-trailer": "x-amz-checksum-crc32c"},
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
    )


def decode(identity: Identity, body: bytes, step: int) -> tuple[bytes, dict[str, str]]:
    decoder = ChunkDecoder(identity, len(CONTENT))
    content = b"".join(decoder.feed(body[at : at + step]) for at in range(0, len(body), step))
    decoder.finish()
    return content, decoder.trailers


@pytest.mark.parametrize("step", [1, 7, 1000, 65536, 100_000])
def test_decodes_the_published_chunked_body_however_it_is_cut(step: int) -> None:
    assert decode(published(), framed(CHUNKS, b"\r\n"), step) == (CONTENT, {})


@pytest.mark.parametrize("step", [1, 7, 1000, 65536, 100_000])
def test_decodes_the_published_body_with_trailer(step: int) -> None:
    content, trailers = decode(published_with_trailer(), framed(TRAILED_CHUNKS, TRAILER), step)
    assert content == CONTENT
    assert trailers == {"x-amz-checksum-crc32c": "sOO8/Q=="}


@pytest.mark.parametrize("at", [90, 40_000, 65_900, 66_000])
def test_one_changed_byte_of_content_breaks_the_chunk_signature(at: int) -> None:
    body = bytearray(framed(CHUNKS, b"\r\n"))
    assert body[at : at + 1] == b"a"
    body[at] = ord("b")
    with pytest.raises(S3Error) as caught:
        decode(published(), bytes(body), 5000)
    assert caught.value.code == "SignatureDoesNotMatch"


def test_a_changed_or_missing_trailer_is_refused() -> None:
    for trailer in (TRAILER.replace(b"sOO8", b"sOO9"), b"\r\n", TRAILER.replace(b"d81f", b"d81e")):
        with pytest.raises(S3Error) as caught:
            decode(published_with_trailer(), framed(TRAILED_CHUNKS, trailer), 5000)
        assert caught.value.code == "SignatureDoesNotMatch"


def test_a_body_cut_short_is_refused() -> None:
    whole = framed(CHUNKS, b"\r\n")
    last = whole.index(b"\r\n0;") + 2
    for end in (10, 60_000, last, last + 20):
        with pytest.raises(S3Error) as caught:
            decode(published(), whole[:end], 5000)
        assert caught.value.code == "IncompleteBody"
