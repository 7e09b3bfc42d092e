"""HTTP through the whole server: signatures, framing, ranges, conditions, errors, streams."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import socket
import xml.etree.ElementTree as ET
from typing import Any

import pytest
import urllib3
from minio import Minio

from dualtrack.engine import blake
from dualtrack.engine.objects import errors
from dualtrack.gateway.signature import Scope, chunk_to_sign, sign, signing_key


@pytest.fixture
def client(gateway: Any) -> Any:
    pool = urllib3.PoolManager(retries=False)
    minio = Minio(
        f"127.0.0.1:{gateway.port}", "user", "password", secure=False, region="us-east-1", http_client=pool
    )
    yield minio
    pool.clear()


def test_a_real_client_writes_and_reads(gateway: Any, client: Any) -> None:
    for size in (0, 1, 1000, 300_000, 3_000_000):
        content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        client.put_object("bucket", f"dir/k {size}+ü", io.BytesIO(content), len(content), content_type="a/b")
        answer = client.get_object("bucket", f"dir/k {size}+ü")
        assert answer.data == content
        assert answer.headers["Content-Type"] == "a/b"
        answer.release_conn()
        assert client.stat_object("bucket", f"dir/k {size}+ü").size == size


def test_presigned_urls_work_and_others_do_not(gateway: Any, client: Any) -> None:
    url = client.presigned_put_object("bucket", "k")
    host = f"http://127.0.0.1:{gateway.port}"
    assert gateway.raw("PUT", url.removeprefix(host), body=b"hello").status == 200
    url = client.presigned_get_object("bucket", "k", response_headers={"response-content-type": "x/y"})
    answer = gateway.raw("GET", url.removeprefix(host))
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, b"hello", "x/y")
    assert (
        gateway.raw("GET", url.removeprefix(host).replace("x%2Fy", "z%2Fy")).code == "SignatureDoesNotMatch"
    )
    assert gateway.raw("GET", "/bucket/k").code == "AccessDenied"


def test_errors_are_documents_with_a_request_id(gateway: Any) -> None:
    answer = gateway.send("GET", "/bucket/no%20such")
    tree = ET.fromstring(answer.body)
    assert answer.status == 404
    assert tree.tag == "Error"
    assert tree.findtext("Code") == "NoSuchKey"
    assert tree.findtext("Key") == "no such"
    assert tree.findtext("Resource") == "/bucket/no%20such"
    assert tree.findtext("RequestId") == answer.headers["x-amz-request-id"] != None  # noqa: E711
    head = gateway.send("HEAD", "/bucket/no%20such")
    assert (head.status, head.body) == (404, b"")


def test_ranges(gateway: Any) -> None:
    content = bytes(range(200))
    gateway.send("PUT", "/bucket/k", body=content)
    for text, piece, named in (
        ("bytes=0-9", content[:10], "bytes 0-9/200"),
        ("bytes=190-", content[190:], "bytes 190-199/200"),
        ("bytes=-5", content[-5:], "bytes 195-199/200"),
        ("bytes=100-5000", content[100:], "bytes 100-199/200"),
    ):
        answer = gateway.send("GET", "/bucket/k", {"range": text})
        assert (answer.status, answer.body, answer.headers["Content-Range"]) == (206, piece, named)
        head = gateway.send("HEAD", "/bucket/k", {"range": text})
        assert (head.status, head.headers["Content-Length"]) == (206, str(len(piece)))
    wrong = gateway.send("GET", "/bucket/k", {"range": "bytes=200-"})
    assert (wrong.status, wrong.code, wrong.headers["Content-Range"]) == (416, "InvalidRange", "bytes */200")
    assert gateway.send("GET", "/bucket/k", {"range": "bytes=200-", "if-match": "x"}).status == 412
    whole = gateway.send("GET", "/bucket/k", {"range": "bytes=0-1,3-4"})
    assert (whole.status, whole.body) == (200, content)


def test_conditions(gateway: Any) -> None:
    etag = gateway.send("PUT", "/bucket/k", body=b"one").headers["ETag"]
    assert gateway.send("GET", "/bucket/k", {"if-match": etag}).status == 200
    unchanged = gateway.send("GET", "/bucket/k", {"if-none-match": etag})
    assert (unchanged.status, unchanged.body, unchanged.headers["ETag"]) == (304, b"", etag)
    assert gateway.send("HEAD", "/bucket/k", {"if-none-match": etag}).status == 304
    assert gateway.send("GET", "/bucket/k", {"if-match": '"other"'}).code == "PreconditionFailed"
    assert gateway.send("PUT", "/bucket/k", {"if-none-match": "*"}, b"two").status == 412
    assert gateway.send("PUT", "/bucket/new", {"if-none-match": "*"}, b"two").status == 200
    assert gateway.send("GET", "/bucket/k").body == b"one"
    assert gateway.layer.closed_iterators == 2


def test_metadata_that_is_not_ascii(gateway: Any) -> None:
    target, headers = "/bucket/k", {"x-amz-meta-name": "müll"}
    signed = gateway.sign("PUT", target, headers, hashlib.sha256(b"").hexdigest())
    signed["x-amz-meta-name"] = "müll".encode()
    assert gateway.raw("PUT", target, signed).status == 200
    assert gateway.send("HEAD", target).headers["x-amz-meta-name"] == "=?UTF-8?q?m=C3=BCll?="


def test_a_put_may_name_known_content_instead_of_sending_it(gateway: Any) -> None:
    assert gateway.send("PUT", "/bucket/first", body=b"hello").status == 200
    name, size = "x-amz-dualtrack-blake3", "x-amz-dualtrack-size"
    known = {name: blake.digest(b"hello").hex().upper(), size: "5"}
    answer = gateway.send("PUT", "/bucket/second", known)
    assert (answer.status, answer.headers["ETag"]) == (200, '"5d41402abc4b2a76b9719d911017c592"')
    assert gateway.send("GET", "/bucket/second").body == b"hello"
    unknown = gateway.send("PUT", "/bucket/third", {**known, size: "6"})
    assert (unknown.status, unknown.code) == (404, "NoSuchContent")
    for wrong in ({name: "5"}, {name: known[name]}, {**known, size: "-5"}):
        assert gateway.send("PUT", "/bucket/third", wrong).code == "InvalidArgument"
    assert gateway.send("PUT", "/bucket/third", known, body=b"hello").code == "InvalidArgument"
    assert gateway.send("GET", "/bucket/third").code == "NoSuchKey"


def test_keys_reach_the_layer_byte_for_byte(gateway: Any) -> None:
    for target, key in (
        ("/bucket/a//b", "a//b"),
        ("/bucket/a/../b", "a/../b"),
        ("/bucket/%2Fx", "/x"),
        ("/bucket//x", "/x"),
        ("/bucket/a+b%20c", "a+b c"),
        ("/bucket/dir/", "dir/"),
    ):
        assert gateway.send("PUT", target, body=key.encode()).status == 200
        assert gateway.layer.objects["bucket", key][1] == key.encode()


@pytest.mark.parametrize(
    ("method", "target", "headers", "body", "code"),
    [
        ("PUT", "/bucket/" + "k" * 1025, {}, b"", "KeyTooLongError"),
        ("PUT", "/bucket/%FF", {}, b"", "InvalidURI"),
        ("PUT", "/Bad_Name", {}, b"", "InvalidBucketName"),
        ("PUT", "/192.168.1.1", {}, b"", "InvalidBucketName"),
        ("GET", "/bucket?policy", {}, b"", "NotImplemented"),
        ("PUT", "/bucket?acl", {}, b"", "NotImplemented"),
        ("GET", "/bucket/k?acl", {}, b"", "NotImplemented"),
        ("PUT", "/bucket/k", {"x-amz-server-side-encryption": "AES256"}, b"", "NotImplemented"),
        ("PUT", "/bucket/k", {"content-md5": "AAAA"}, b"x", "InvalidDigest"),
        ("PUT", "/bucket/k", {"content-md5": "A" * 22 + "=="}, b"x", "BadDigest"),
        ("PUT", "/bucket/k", {"x-amz-checksum-crc32": "AAAAAA=="}, b"x", "BadDigest"),
        ("PUT", "/bucket/k", {"expect": "magic"}, b"", "InvalidArgument"),
        ("POST", "/bucket?delete", {}, b"<Delete>", "MalformedXML"),
        ("POST", "/bucket?delete", {}, b"", "MissingRequestBodyError"),
        ("POST", "/bucket?delete", {}, b"<Delete/>", "MalformedXML"),
        ("POST", "/bucket?delete", {}, b"x" * (2 * 1024 * 1024 + 1), "EntityTooLarge"),
        ("GET", "/bucket?max-keys=-1", {}, b"", "InvalidArgument"),
        ("GET", "/bucket?encoding-type=base64", {}, b"", "InvalidArgument"),
        ("GET", "/bucket?list-type=2&continuation-token=%25%25", {}, b"", "InvalidArgument"),
        ("GET", "/bucket?versions&version-id-marker=x", {}, b"", "InvalidArgument"),
        ("PUT", "/bucket/k?uploadId=u&partNumber=0", {}, b"", "InvalidArgument"),
        ("PUT", "/bucket/k", {"x-amz-copy-source": "nothing"}, b"", "InvalidArgument"),
        ("DELETE", "/", {}, b"", "MethodNotAllowed"),
    ],
)
def test_refusals(
    gateway: Any, method: str, target: str, headers: dict[str, str], body: bytes, code: str
) -> None:
    answer = gateway.send(method, target, headers, body)
    assert answer.code == code
    assert ("bucket", "k") not in gateway.layer.objects


def test_a_body_that_is_not_what_was_signed_changes_nothing(gateway: Any) -> None:
    for size in (10, 1_000_000):
        headers = gateway.sign("PUT", "/bucket/k", {}, hashlib.sha256(b"a" * size).hexdigest())
        answer = gateway.raw("PUT", "/bucket/k", headers, b"b" * size)
        assert (answer.status, answer.code) == (400, "XAmzContentSHA256Mismatch")
    assert ("bucket", "k") not in gateway.layer.objects


def exchange(port: int, *pieces: bytes) -> bytes:
    """Send raw bytes, close our side, and read all that comes back."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for piece in pieces:
            connection.sendall(piece)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while data := connection.recv(65536):
            received += data
    return received


def request_bytes(method: str, target: str, headers: dict[str, str]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_connection_that_ends_before_the_body_changes_nothing(gateway: Any, size: int) -> None:
    headers = gateway.sign("PUT", "/bucket/k", {"content-length": str(size)}, "UNSIGNED-PAYLOAD")
    exchange(gateway.port, request_bytes("PUT", "/bucket/k", headers), b"a" * (size - 1))
    # A second request proves that the first has been dealt with and that its thread is free again.
    assert gateway.send("GET", "/bucket/k").status == 404


def test_expect_continue_is_answered_only_when_the_body_is_wanted(gateway: Any) -> None:
    for target, wanted in (("/bucket/k", True), ("/bucket/k?acl", False)):
        headers = gateway.sign(
            "PUT", target, {"content-length": "5", "expect": "100-continue"}, "UNSIGNED-PAYLOAD"
        )
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
            connection.sendall(request_bytes("PUT", target, headers))
            first = connection.recv(65536)
            assert first.startswith(b"HTTP/1.1 100 Continue\r\n\r\n") is wanted
            if wanted:
                connection.sendall(b"hello")
                assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
            else:
                assert first.startswith(b"HTTP/1.1 501 ")
    assert gateway.layer.objects["bucket", "k"][1] == b"hello"


def test_a_chunked_upload_without_a_length_is_refused(gateway: Any) -> None:
    headers = gateway.sign("PUT", "/bucket/k", {"transfer-encoding": "chunked"}, "UNSIGNED-PAYLOAD")
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
        connection.sendall(request_bytes("PUT", "/bucket/k", headers) + b"5\r\nhello\r\n0\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 411 ")


def test_failures_inside_are_500_are_logged_and_tell_nothing(gateway: Any) -> None:
    gateway.layer.failure = RuntimeError("a secret path")
    answer = gateway.send("PUT", "/bucket/d1", body=b"x")
    assert (answer.status, answer.code) == (500, "InternalError")
    assert b"secret" not in answer.body
    line = json.loads(gateway.log.getvalue().splitlines()[-1])
    assert line["event"] == "request_failed"
    assert "a secret path" in line["error"]
    assert line["request_id"] == answer.headers["x-amz-request-id"]
    assert 'rustfs_put_object_errors_total{track="dual"} 1.0' in gateway.meter.exposition().decode()
    gateway.layer.failure = errors.Unavailable("the store is away")
    assert gateway.send("GET", "/bucket/d1").status == 404
    assert gateway.send("PUT", "/bucket/d1", body=b"x").status == 503


def test_an_answer_that_fails_half_way_is_broken_off(gateway: Any) -> None:
    gateway.send("PUT", "/bucket/k", body=b"x" * 1_000_000)
    gateway.layer.broken_after = 500_000
    with pytest.raises((http.client.IncompleteRead, ConnectionResetError)):
        gateway.send("GET", "/bucket/k")
    assert "answer_broken_off" in gateway.log.getvalue()
    gateway.layer.broken_after = None
    assert len(gateway.send("GET", "/bucket/k").body) == 1_000_000


def test_deleting_many_answers_for_each(gateway: Any) -> None:
    gateway.send("PUT", "/bucket/a", body=b"x")
    body = b"<Delete><Object><Key>a</Key></Object><Object><Key>locked</Key></Object></Delete>"
    answer = gateway.send("POST", "/bucket?delete", body=body)
    assert answer.status == 200
    assert b"<Deleted><Key>a</Key></Deleted><Error><Key>locked</Key><Code>AccessDenied</Code>" in answer.body
    assert gateway.layer.objects == {}
    quiet = gateway.send(
        "POST", "/bucket?delete", body=body.replace(b"<Delete>", b"<Delete><Quiet>true</Quiet>")
    )
    assert b"<Deleted>" not in quiet.body
    assert 'rustfs_delete_object_total{track="fs"} 4.0' in gateway.meter.exposition().decode()


def test_a_connection_serves_several_requests(gateway: Any) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    for number in range(3):
        body = str(number).encode()
        headers = gateway.sign("PUT", f"/bucket/{number}", {}, hashlib.sha256(body).hexdigest())
        connection.request("PUT", f"/bucket/{number}", body, headers)
        assert connection.getresponse().read() == b""
    local = connection.sock.getsockname()
    connection.request("GET", "/health")
    assert connection.getresponse().read()
    assert connection.sock.getsockname() == local
    connection.close()


def test_alive_but_not_ready_until_the_layer_is_open(starting: Any) -> None:
    assert starting.raw("GET", "/health").status == 200
    pending = starting.raw("GET", "/health/ready")
    assert (pending.status, pending.headers["x-rustfs-readiness-pending"]) == (503, "layer")
    assert starting.send("GET", "/bucket/k").code == "ServiceUnavailable"
    bearer = {"Authorization": "Bearer token"}
    assert starting.raw("GET", "/dualtrack/v1/acknowledgement", bearer).status == 503
    assert starting.raw("GET", "/metrics").status == 200
    starting.open()
    assert starting.raw("GET", "/health/ready").status == 200


def test_a_degraded_store_is_ready_only_where_files_may_step_in(gateway: Any) -> None:
    bearer = {"Authorization": "Bearer token"}
    gateway.layer.degraded = True
    assert gateway.raw("GET", "/health/ready").status == 200
    answer = gateway.raw("GET", "/dualtrack/v1/acknowledgement", bearer)
    assert (answer.status, json.loads(answer.body)["ready"]) == (503, True)
    gateway.layer.fallback = "false"
    assert gateway.raw("GET", "/health/ready").status == 503
    answer = gateway.raw("GET", "/dualtrack/v1/acknowledgement", bearer)
    assert (answer.status, json.loads(answer.body)["ready"]) == (503, False)


def test_the_acknowledgement_needs_its_token(gateway: Any) -> None:
    path = "/dualtrack/v1/acknowledgement"
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer "},
        {"Authorization": "token"},
    ):
        assert gateway.raw("GET", path, headers).status == 401
    answer = gateway.raw("GET", path, {"Authorization": "Bearer token"})
    assert answer.status == 200
    assert json.loads(answer.body)["epoch"] == 3
    assert json.loads(answer.body)["ready"] is True


def test_metrics_carry_what_the_process_is(gateway: Any) -> None:
    text = gateway.raw("GET", "/metrics").body.decode()
    labels = 'boot_id="boot",engine="fs",epoch="3",fallback="true",migration_uid="uid",ratio="0.05"'
    assert f"rustfs_dual_track_info{{{labels}}} 1.0" in text


def test_a_bucket_may_be_called_like_an_endpoint(gateway: Any) -> None:
    gateway.layer.buckets.add("metrics")
    gateway.send("PUT", "/metrics/k", body=b"x")
    assert gateway.send("GET", "/metrics/k").body == b"x"
    assert gateway.send("HEAD", "/metrics").headers["x-amz-bucket-region"] == "us-east-1"
    assert gateway.raw("GET", "/metrics").body.startswith(b"# HELP")


def signed_chunks(headers: dict[str, str], content: bytes, size: int) -> bytes:
    """The body that goes with `headers`, in signed chunks of `size` bytes."""
    time, previous = headers["x-amz-date"], headers["authorization"].rpartition("=")[2]
    scope = Scope(time[:8], "us-east-1", "s3")
    key = signing_key("password", scope)
    body = b""
    for piece in [*(content[at : at + size] for at in range(0, len(content), size)), b""]:
        previous = sign(key, chunk_to_sign(time, scope, previous, hashlib.sha256(piece).hexdigest()))
        body += f"{len(piece):x};chunk-signature={previous}\r\n".encode() + piece + b"\r\n"
    return body


@pytest.mark.parametrize("length", [0, 1000, 1_000_000])
def test_uploads_in_signed_chunks(gateway: Any, length: int) -> None:
    content = bytes(range(250)) * (length // 250)
    extra = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": str(length)}
    headers = gateway.sign("PUT", "/bucket/k", extra, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
    body = signed_chunks(headers, content, 64 * 1024)
    assert gateway.raw("PUT", "/bucket/k", headers, body).status == 200
    assert gateway.layer.objects["bucket", "k"][1] == content
    assert "content-encoding" not in gateway.layer.objects["bucket", "k"][0].headers
    if length:
        headers = gateway.sign("PUT", "/bucket/forged", extra, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
        forged = signed_chunks(headers, content, 64 * 1024).replace(
            content[-100:] + b"\r\n", b"x" * 100 + b"\r\n"
        )
        assert gateway.raw("PUT", "/bucket/forged", headers, forged).code == "SignatureDoesNotMatch"
        assert ("bucket", "forged") not in gateway.layer.objects
