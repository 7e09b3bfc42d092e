"""What a real MinIO serves, held against what the server that wrote the drives said of each version.

Content by SHA-256, the headers of its answer, and the listing of versions with its delete markers. Encrypted
versions, too: SSE-S3 and SSE-KMS by the key that `dtlab.minio` starts the server with, SSE-C by the
customer's key, which wants TLS.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

import urllib3
from minio import Minio
from minio.sse import SseCustomerKey

from dtlab import minio as lab

LEFT_OUT = "odd-xldir2"
"""Its two keys are spellings of one directory (see tests/data/README.md)."""
CUSTOMER = SseCustomerKey(hashlib.sha256(b"sse-c key").digest())
_CIPHER = "x-amz-server-side-encryption"


def client(server: lab.Server) -> Minio:
    """A client that trusts the server's own certificate, where it has one."""
    trusting = urllib3.PoolManager(ca_certs=str(server.authority)) if server.authority else None
    return Minio(
        server.address, lab.ACCESS_KEY, lab.SECRET_KEY, secure=bool(server.authority), http_client=trusting
    )


def kind(version: dict[str, Any]) -> str:
    """How a version is kept: "marker", "plain", or the encryption."""
    if version["Type"] == "marker":
        return "marker"
    head = version["head"]
    if f"{_CIPHER}-customer-algorithm" in head:
        return "SSE-C"
    return {"AES256": "SSE-S3", "aws:kms": "SSE-KMS"}.get(head.get(_CIPHER, ""), "plain")


def expected(oracle: dict[str, Any], *kinds: str) -> Counter[str]:
    """How many versions of each kind there are to be served; of all kinds, or of these."""
    found = Counter(kind(version) for _, content in _buckets(oracle) for version in content["versions"])
    return Counter({name: count for name, count in found.items() if not kinds or name in kinds})


def served(server: lab.Server, oracle: dict[str, Any]) -> Counter[str]:
    """How many versions of each kind the server lists and gives as it did before; SSE-C only over TLS.

    AssertionError with the version's name where an answer differs.
    """
    speaking = client(server)
    assert {bucket.name for bucket in speaking.list_buckets()} == set(oracle["buckets"])
    same: Counter[str] = Counter()
    for bucket, content in _buckets(oracle):
        listed = {
            (each.object_name, each.version_id, each.is_delete_marker, each.is_latest == "true")
            for each in speaking.list_objects(bucket, recursive=True, include_version=True)
        }
        assert listed == {
            (each["Key"], each["VersionId"], each["Type"] == "marker", each["IsLatest"])
            for each in content["versions"]
        }, bucket
        for version in content["versions"]:
            of = kind(version)
            if of != "marker" and (of != "SSE-C" or server.authority):
                _compare(speaking, bucket, version, of)
                same[of] += 1
            elif of == "marker":
                same[of] += 1
    return same


def _compare(speaking: Minio, bucket: str, version: dict[str, Any], of: str) -> None:
    name = (bucket, version["Key"], version["VersionId"])
    customer = CUSTOMER if of == "SSE-C" else None
    answer = speaking.get_object(bucket, version["Key"], version_id=version["VersionId"], ssec=customer)
    try:
        digest = hashlib.sha256(answer.read(decode_content=False)).hexdigest()
        headers = {each: answer.headers.get(each) for each in version["head"]}
    finally:
        answer.close()
        answer.release_conn()
    assert digest == version["sha256"], name
    assert headers == version["head"], name


def _buckets(oracle: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(bucket, content) for bucket, content in oracle["buckets"].items() if bucket != LEFT_OUT]
