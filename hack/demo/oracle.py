"""Holds what an S3 endpoint serves now against what a real MinIO said when it wrote the drive.

Every version of the oracle is read through the endpoint and compared by SHA-256. Content that MinIO
encrypted or compressed cannot be read without it: such versions are counted apart and named, never
passed over.
"""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import local
from typing import Any, Self
from urllib.parse import quote

from zstandard import ZstdDecompressor

from demo.load import signed_headers

Version = tuple[str, str, str]
UNDECODABLE = b"<Code>NotImplemented</Code>"
# Its one key is stored as `__XLDIR__` and listed as `//`, a name under which no server takes it back.
APART = ("odd-xldir2",)


@dataclass
class Comparison:
    """`same + len(sealed) + len(wrong)` is the number of versions that hold content."""

    same: int = 0
    markers: int = 0
    sealed: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def summary(self) -> str:
        return (
            f"{self.same:,} versions have the SHA-256 that MinIO reported, {len(self.wrong)} differ, "
            f"{len(self.sealed)} are encrypted or compressed by MinIO, {self.markers} are delete markers"
        )


def load_oracle(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        found: dict[str, Any] = json.loads(ZstdDecompressor().stream_reader(file).read())
    return found


def versions(oracle: Mapping[str, Any]) -> Iterator[tuple[Version, Mapping[str, Any]]]:
    for bucket, content in oracle["buckets"].items():
        if bucket in APART:
            continue
        for version in content["versions"]:
            yield (bucket, version["Key"], version["VersionId"]), version


class Reader:
    """GETs of one endpoint, a connection a thread."""

    def __init__(self, endpoint: str, access: str, secret: str) -> None:
        self.endpoint, self.access, self.secret = endpoint, access, secret
        self.threads = local()
        self.connections: list[http.client.HTTPConnection] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self.connections:
            connection.close()

    def get(self, bucket: str, key: str, version: str) -> tuple[int, bytes]:
        path, query = f"/{bucket}/{key}", f"versionId={quote(version)}"
        headers = signed_headers("GET", self.endpoint, path, query, b"", self.access, self.secret)
        if not hasattr(self.threads, "connection"):
            self.threads.connection = http.client.HTTPConnection(self.endpoint, timeout=60)
            self.connections.append(self.threads.connection)
        connection: http.client.HTTPConnection = self.threads.connection
        connection.request("GET", f"{quote(path, safe='/-_.~')}?{query}", headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


def compare(endpoint: str, oracle: Mapping[str, Any], access: str, secret: str) -> Comparison:
    """Read every version through `endpoint` (`host:port`)."""
    result = Comparison()

    def read(
        reader: Reader, item: tuple[Version, Mapping[str, Any]]
    ) -> tuple[Version, Mapping[str, Any], int, bytes]:
        (bucket, key, version), expected = item
        status, body = (0, b"") if expected["Type"] == "marker" else reader.get(bucket, key, version)
        return (bucket, key, version), expected, status, body

    with Reader(endpoint, access, secret) as reader, ThreadPoolExecutor(4) as pool:
        for (bucket, key, version), expected, status, body in pool.map(
            partial(read, reader), versions(oracle)
        ):
            name = f"{bucket}/{key} ({version})"
            if expected["Type"] == "marker":
                result.markers += 1
            elif status == 200 and hashlib.sha256(body).hexdigest() == expected["sha256"]:
                result.same += 1
            elif status == 501 and UNDECODABLE in body:
                result.sealed.append(name)
            else:
                result.wrong.append(f"{name}: status {status}, {len(body)} bytes")
    return result
