"""The least S3 client that can be measured with: one connection, signed requests, no retries.

A retry would turn two operations into one figure, and a library's own work would be in all of them. Requests
are signed inside the clock, as every client's are; the hash of the content comes in with it.
"""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from dualtrack.bench.system import OperationFailed
from dualtrack.errors import UsageError
from dualtrack.gateway import signature
from dualtrack.gateway.auth import Credentials
from dualtrack.gateway.signature import ALGORITHM, EMPTY_SHA256, Scope

SECONDS = 30.0
_CODE = re.compile(r"<Code>([^<]*)</Code>")
_UNANSWERED = 0


class Refused(OperationFailed):
    """The server's answer was an error: its status and S3 code; status 0 where there was no answer."""

    def __init__(self, told: str, status: int, code: str) -> None:
        super().__init__(f"{told}: {f'{status} {code}'.strip() if status else code}")
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is. `ca_file` is whom to trust in place of the system's authorities."""

    scheme: str
    host: str
    port: int
    ca_file: str = ""

    @classmethod
    def parse(cls, url: str, ca_file: str = "") -> Endpoint:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise UsageError(f"--endpoint {url!r}: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
            raise UsageError(
                f"--endpoint {url!r}: write http://HOST:PORT or https://HOST:PORT, without a path"
            )
        if parts.username or parts.password:
            raise UsageError("--endpoint: the secret belongs in the environment, not in the URL")
        return cls(parts.scheme, parts.hostname, port or {"http": 80, "https": 443}[parts.scheme], ca_file)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def connection(self) -> http.client.HTTPConnection:
        if self.scheme == "http":
            return http.client.HTTPConnection(self.host, self.port, timeout=SECONDS)
        try:
            trust = ssl.create_default_context(cafile=self.ca_file or None)
        except OSError as error:
            raise UsageError(f"--ca-file {self.ca_file}: {error}") from error
        return http.client.HTTPSConnection(self.host, self.port, timeout=SECONDS, context=trust)


@dataclass(frozen=True, slots=True)
class Answer:
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class Client:
    """One thread's connection to a bucket, opened at once: connecting is no part of any operation."""

    def __init__(self, endpoint: Endpoint, credentials: Credentials, bucket: str) -> None:
        self._endpoint = endpoint
        self._credentials = credentials
        self._bucket = bucket
        self._connection = endpoint.connection()
        try:
            self._connection.connect()
        except OSError as error:
            self._connection.close()
            raise Refused(str(endpoint), _UNANSWERED, str(error)) from error
        standard = {"http": 80, "https": 443}[endpoint.scheme]
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        self._host = host if endpoint.port == standard else f"{host}:{endpoint.port}"

    def close(self) -> None:
        self._connection.close()

    def request(
        self,
        method: str,
        key: str = "",
        pairs: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        sha256: str = EMPTY_SHA256,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The whole answer; `Refused` where it is an error, or did not come."""
        path = quote(f"/{self._bucket}/{key}" if key else f"/{self._bucket}", safe="/-_.~")
        sent = self._signed(method, path, pairs, sha256, headers or {})
        query = signature.canonical_query(pairs)
        told = f"{method} {key or self._bucket}"
        try:
            self._connection.request(method, f"{path}?{query}" if query else path, body or None, sent)
            response = self._connection.getresponse()
            answer = Answer({name.lower(): value for name, value in response.getheaders()}, response.read())
        except (OSError, http.client.HTTPException) as error:
            # What a later answer on it belonged to, nobody could tell.
            self._connection.close()
            raise Refused(told, _UNANSWERED, f"{type(error).__name__} {error}".strip()) from error
        if response.status >= 300:
            code = _CODE.search(answer.text)
            raise Refused(told, response.status, code[1] if code else response.reason)
        return answer

    def _signed(
        self, method: str, path: str, pairs: Sequence[tuple[str, str]], sha256: str, more: Mapping[str, str]
    ) -> dict[str, str]:
        time = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        scope = Scope(time[:8], self._credentials.region, "s3")
        headers = {"host": self._host, "x-amz-content-sha256": sha256, "x-amz-date": time, **more}
        names = sorted(headers)
        values = {name: (value,) for name, value in headers.items()}
        request = signature.canonical_request(method, path, pairs, values, names, sha256)
        key = signature.signing_key(self._credentials.secret_key, scope)
        proof = signature.sign(key, signature.string_to_sign(time, scope, request))
        headers["authorization"] = (
            f"{ALGORITHM} Credential={self._credentials.access_key}/{scope}, "
            f"SignedHeaders={';'.join(names)}, Signature={proof}"
        )
        return headers
