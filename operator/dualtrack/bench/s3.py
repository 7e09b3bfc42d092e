"""Any S3 server as a system: a bucket of somebody's, in which one prefix is ours.

The bucket is never emptied. Under `dualtrack-bench-<id>/`, which has to be empty, versions and delete markers
included, every key is noted before it is sent; removed are the versions that the server said it made, and of
keys whose answer never came whatever version there is. What is left then is named and stays.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote
from xml.sax.saxutils import escape, unescape

from dualtrack.bench.s3client import Client, Endpoint, Refused
from dualtrack.bench.system import PAGE, OperationFailed
from dualtrack.bench.workloads import Payload, Workload
from dualtrack.errors import RefusedError, UnavailableError, UsageError
from dualtrack.gateway.auth import Credentials

CONTENT_HASH, CONTENT_SIZE = "x-amz-dualtrack-blake3", "x-amz-dualtrack-size"
_MANY = 1000
_KEY = re.compile(r"<Key>([^<]*)</Key>")
_NEXT = re.compile(r"<NextContinuationToken>([^<]*)</NextContinuationToken>")
_VERSION = re.compile(r"<(Version|DeleteMarker)>(.*?)</\1>", re.DOTALL)
_CONTENTS = re.compile(r"<Contents>(.*?)</Contents>", re.DOTALL)
_VERSION_ID = re.compile(r"<VersionId>([^<]*)</VersionId>")
_KEY_MARKER = re.compile(r"<NextKeyMarker>([^<]*)</NextKeyMarker>")
_VERSION_MARKER = re.compile(r"<NextVersionIdMarker>([^<]*)</NextVersionIdMarker>")

Version = tuple[str, str]
"""A whole key and its version's id, "" where the bucket has no versions."""


@dataclass(frozen=True, slots=True)
class S3System:
    name: str
    endpoint: Endpoint
    credentials: Credentials = field(repr=False)
    bucket: str
    run_id: str

    @property
    def told(self) -> str:
        return f"S3 at {self.endpoint}, bucket {self.bucket}, below {self.root}"

    @property
    def prefix(self) -> str:
        """Of the whole run; has to be empty."""
        return f"dualtrack-bench-{self.run_id}/"

    @property
    def root(self) -> str:
        """Of this system in it: two endpoints may lead to one bucket."""
        return f"{self.prefix}{self.name}/"

    def open(self, workload: Workload) -> Prefix:
        try:
            with _client(self) as client:
                found = _versions(client, self.prefix, first=True)
        except Refused as error:
            if error.status == 0:
                raise UnavailableError(f"{self.name}: {error}; is it the right --endpoint?") from error
            if error.code == "NoSuchBucket":
                raise UsageError(f"{self.name}: bucket {self.bucket} is not there; make it first") from error
            raise UsageError(f"{self.name}: {error}; see --access-key, the secret and --bucket") from error
        if found:
            raise RefusedError(
                f"{self.name}: {self.bucket}/{found[0][0]} is there already, and a benchmark writes only "
                "below an empty prefix; take another --id, or remove what a killed run has left there"
            )
        return Prefix(self)


class Prefix:
    """Our prefix in the bucket, and what was written there."""

    def __init__(self, system: S3System) -> None:
        self.system = system
        self.sent: set[str] = set()
        self.made: list[Version] = []

    @contextmanager
    def session(self) -> Iterator[Session]:
        with _client(self.system) as client:
            yield Session(self, client)

    def settle(self) -> None:
        """A server does that by itself, and when, its clients do not see."""

    def remove(self) -> list[str]:
        if not self.sent:
            return []
        root = f"{self.system.endpoint}/{self.system.bucket}/{self.system.root}"
        try:
            with _client(self.system) as client:
                _delete(client, self.made)
                ours = [each for each in _versions(client, self.system.root) if each[0] in self.sent]
                _delete(client, ours)
                left = _versions(client, self.system.root)
        except OperationFailed as error:
            return [f"{root} ({error})"]
        return [f"{self.system.name}: {self.system.bucket}/{key} {version}".rstrip() for key, version in left]


class Session:
    def __init__(self, prefix: Prefix, client: Client) -> None:
        self._prefix = prefix
        self._root = prefix.system.root
        self._client = client

    def put(self, key: str, payload: Payload) -> None:
        self._send(key, payload.data, payload.sha256, {})

    def put_known(self, key: str, payload: Payload) -> bool:
        """A server that has never heard of it makes an empty object; its ETag tells, and it is sent then."""
        size = len(payload.data)
        named = {CONTENT_HASH: payload.blake3, CONTENT_SIZE: str(size)}
        try:
            etag = self._send(key, b"", hashlib.sha256(b"").hexdigest(), named)
        except Refused as error:
            if error.code in ("NoSuchContent", "NotImplemented"):
                return False
            raise
        return size == 0 or etag != hashlib.md5(b"", usedforsecurity=False).hexdigest()

    def _send(self, key: str, body: bytes, sha256: str, headers: dict[str, str]) -> str:
        whole = self._root + key
        self._prefix.sent.add(whole)
        answer = self._client.request("PUT", whole, (), body, sha256, headers)
        self._prefix.made.append((whole, answer.headers.get("x-amz-version-id", "")))
        return answer.headers.get("etag", "").strip('"')

    def get(self, key: str) -> bytes:
        return self._client.request("GET", self._root + key).body

    def page(self, prefix: str, after: str) -> tuple[list[str], str]:
        pairs = [("list-type", "2"), ("max-keys", str(PAGE)), ("prefix", self._root + prefix)]
        if after:
            pairs.append(("continuation-token", after))
        text = self._client.request("GET", "", pairs).text
        more = _NEXT.search(text)
        if "</ListBucketResult>" not in text:
            raise OperationFailed(f"{prefix}: a listing that is cut off")
        # Our own keys have nothing in them that XML would write otherwise.
        return [key.removeprefix(self._root) for key in _KEY.findall(text)], unescape(more[1]) if more else ""


@contextmanager
def _client(system: S3System) -> Iterator[Client]:
    client = Client(system.endpoint, system.credentials, system.bucket)
    try:
        yield client
    finally:
        client.close()


def _versions(client: Client, root: str, *, first: bool = False) -> list[Version]:
    """What lies below a prefix, delete markers too; of a server without versions, its objects. `first`: one
    page is enough."""
    try:
        return list(_listed_versions(client, root, first=first))
    except Refused as error:
        if error.code != "NotImplemented":
            raise
    return [(key, "") for key in _listed_keys(client, root, first=first)]


def _listed_versions(client: Client, root: str, *, first: bool) -> Iterator[Version]:
    start: list[tuple[str, str]] = []
    while True:
        pairs = [("versions", ""), ("prefix", root), ("encoding-type", "url"), *start]
        text = client.request("GET", "", pairs).text
        for _, entry in _VERSION.findall(text):
            key, version = _KEY.search(entry), _VERSION_ID.search(entry)
            if key is not None:
                yield unquote(unescape(key[1])), version[1] if version else ""
        marker, version = _KEY_MARKER.search(text), _VERSION_MARKER.search(text)
        if first or marker is None or not marker[1]:
            return
        start = [("key-marker", unquote(unescape(marker[1])))]
        if version is not None and version[1]:
            start.append(("version-id-marker", version[1]))


def _listed_keys(client: Client, root: str, *, first: bool) -> Iterator[str]:
    start: list[tuple[str, str]] = []
    while True:
        pairs = [("list-type", "2"), ("prefix", root), ("encoding-type", "url"), *start]
        text = client.request("GET", "", pairs).text
        for entry in _CONTENTS.findall(text):
            if (key := _KEY.search(entry)) is not None:
                yield unquote(unescape(key[1]))
        more = _NEXT.search(text)
        if first or more is None:
            return
        start = [("continuation-token", unescape(more[1]))]


def _delete(client: Client, versions: Sequence[Version]) -> None:
    """Remove just these. What the server refuses is still there afterwards, and is found there."""
    for start in range(0, len(versions), _MANY):
        entries = "".join(
            f"<Object><Key>{escape(key)}</Key>"
            + (f"<VersionId>{escape(version)}</VersionId>" if version else "")
            + "</Object>"
            for key, version in versions[start : start + _MANY]
        )
        body = f"<Delete><Quiet>true</Quiet>{entries}</Delete>".encode()
        md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        digest = hashlib.sha256(body).hexdigest()
        client.request("POST", "", [("delete", "")], body, digest, {"content-md5": md5})
