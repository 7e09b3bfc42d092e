"""Raw samples from Prometheus: the only module that imports prometheus-api-client.

The core judges raw samples, so this adapter must not lose what tells data from no data. The library does
three things that would: it retries with back-off behind our time-out, it drops `warnings` (partial data),
and it turns every shape of result into the same list. So retries are off, the time-out is ours, and a
response hook keeps the body as it came; everything but a whole matrix becomes a `QueryFailure`.

Addresses come from a custom resource, so only those on the installation's allow-list are asked, redirects
are not followed, and proxies and credentials of the operator's environment are not used.
"""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from urllib3.util.retry import Retry

from dualtrack.rollout.world import Matrix, Query, QueryFailure, QueryResult, Series

UNREACHABLE: Final = "Unreachable"
REFUSED: Final = "Refused"
MALFORMED: Final = "Malformed"
CONCURRENT_QUERIES: Final = 4
ALL_QUERIES_SECONDS: Final = 45.0
"""One look at the world waits no longer than this for Prometheus, however slow its answers are."""
ANSWER_BYTES: Final = 64 * 1024 * 1024
CHUNK_BYTES: Final = 64 * 1024

TokenSource = Callable[[], str | None]
"""Read anew for each query, because tokens are rotated."""


def no_token() -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class PrometheusEndpoint:
    """Where to ask and how. `verify` is a CA file, or whether the system's CAs are used."""

    address: str
    timeout_seconds: float = 10.0
    token: TokenSource = no_token
    verify: str | bool = True


def permitted(address: str, allow_list: Sequence[str]) -> bool:
    """Whether the allow-list names this address. Entries match scheme, host and port; a path as a prefix.

    An empty list permits nothing: an installation names its servers.
    """
    return any(_covers(entry, address) for entry in allow_list)


def _covers(entry: str, address: str) -> bool:
    allowed, wanted = urlsplit(entry), urlsplit(address)
    if (allowed.scheme, allowed.hostname, _port(allowed)) != (wanted.scheme, wanted.hostname, _port(wanted)):
        return False
    if any(part in ("..", ".") for part in unquote(wanted.path).split("/")):
        return False  # a client on the way would resolve it
    prefix = allowed.path.rstrip("/")
    return wanted.path.rstrip("/") == prefix or wanted.path.startswith(prefix + "/")


def _port(parts: Any) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


class PrometheusReader:
    """Runs instant queries with range selectors. Never raises for what a server does."""

    def __init__(self, endpoint: PrometheusEndpoint) -> None:
        self._endpoint = endpoint
        self._slots = asyncio.Semaphore(CONCURRENT_QUERIES)

    async def run(self, queries: Sequence[Query]) -> dict[str, QueryResult]:
        """The answer to each query, by id."""
        deadline = asyncio.get_running_loop().time() + ALL_QUERIES_SECONDS
        answers = await asyncio.gather(*(self._one(query, deadline) for query in queries))
        return {query.id: answer for query, answer in zip(queries, answers, strict=True)}

    async def _one(self, query: Query, deadline: float) -> QueryResult:
        try:
            async with asyncio.timeout_at(deadline), self._slots:
                return await asyncio.to_thread(ask, self._endpoint, query)
        except TimeoutError:
            why = f"the queries of one pass were not answered in {ALL_QUERIES_SECONDS:.0f} s"
            return QueryFailure(UNREACHABLE, f"{self._endpoint.address}: {why}")


def ask(endpoint: PrometheusEndpoint, query: Query) -> QueryResult:
    """One query, blocking. A session for each, since `requests` promises nothing about threads."""
    kept: list[tuple[int, bytes]] = []
    deadline = time.monotonic() + endpoint.timeout_seconds

    def keep(response: requests.Response, *_: object, **__: object) -> requests.Response:
        body = _read(response, deadline)
        kept.append((response.status_code, body))
        return _with_body(response, body)

    with requests.Session() as session:
        session.trust_env = False
        session.verify = endpoint.verify
        session.max_redirects = 0
        session.hooks["response"].append(keep)
        client = PrometheusConnect(
            url=endpoint.address.rstrip("/"),
            session=session,
            retry=Retry(0),
            timeout=endpoint.timeout_seconds,
            auth=_Bearer(endpoint.token),
        )
        try:
            client.custom_query(query.expression, params={"time": f"{query.at:.3f}"})
        except PrometheusApiClientException:
            status, body = kept[-1]
            return _refused(endpoint.address, status, body)
        except requests.JSONDecodeError:
            return QueryFailure(
                MALFORMED, f"{endpoint.address}: the answer is not JSON: {_start(kept[-1][1])}"
            )
        except (KeyError, TypeError, IndexError):
            return QueryFailure(
                MALFORMED, f"{endpoint.address}: the answer has no result: {_start(kept[-1][1])}"
            )
        except requests.TooManyRedirects:
            return QueryFailure(
                REFUSED, f"{endpoint.address}: answered with a redirect; name the final address"
            )
        except requests.RequestException as error:
            return QueryFailure(UNREACHABLE, f"{endpoint.address}: {type(error).__name__}: {error}")
        except OSError as error:
            return QueryFailure(REFUSED, f"{endpoint.address}: the token cannot be read: {error}")
    return read_matrix(kept[-1][1])


def _read(response: requests.Response, deadline: float) -> bytes:
    """The body within time and size. The library's own time-out is for each read, which a server that
    drips never meets, and a thread that hangs is lost to the process."""
    body = bytearray()
    while chunk := response.raw.read1(CHUNK_BYTES, decode_content=True):
        body += chunk
        if time.monotonic() > deadline:
            raise requests.Timeout("the answer came too slowly")
        if len(body) > ANSWER_BYTES:
            break
    return bytes(body)


def _with_body(response: requests.Response, body: bytes) -> requests.Response:
    """The same answer for the library to read, its body being read already."""
    copy = requests.Response()
    copy.status_code, copy.reason, copy.url = response.status_code, response.reason, response.url
    copy.headers, copy.request = response.headers, response.request
    copy.encoding = "utf-8"
    copy.raw = io.BytesIO(body)
    response.close()
    return copy


class _Bearer(requests.auth.AuthBase):
    """Sets the token of this moment, and keeps `requests` from looking into ~/.netrc."""

    def __init__(self, token: TokenSource) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        token = self._token()
        if token:
            request.headers["Authorization"] = f"Bearer {token}"
        return request


def _refused(address: str, status: int, body: bytes) -> QueryFailure:
    """A bad query or missing rights will not mend by itself; 5xx and 429 may."""
    try:
        text = str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        text = _start(body)
    kind = UNREACHABLE if status >= 500 or status in (408, 429) else REFUSED
    return QueryFailure(kind, f"{address}: {status}: {text}")


def read_matrix(body: bytes) -> QueryResult:
    """The samples of an answer, exactly: a wrong shape is a failure, never an empty matrix."""
    if len(body) > ANSWER_BYTES:
        return QueryFailure(MALFORMED, f"the answer is larger than {ANSWER_BYTES} bytes; narrow the query")
    try:
        answer: Mapping[str, Any] = json.loads(body)
        data = answer["data"]
        if answer["status"] != "success" or data["resultType"] != "matrix":
            return QueryFailure(
                MALFORMED, f"status {answer['status']}, type {data['resultType']}; a matrix is needed"
            )
        series = tuple(_series(item) for item in data["result"])
        warnings = tuple(str(text) for text in answer.get("warnings") or ())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return QueryFailure(MALFORMED, f"the answer is not a matrix ({error!r}): {_start(body)}")
    return Matrix(series=series, warnings=warnings)


def _series(item: Mapping[str, Any]) -> Series:
    # `values` is missing where the samples are native histograms, which no gate here can read: a KeyError.
    points = tuple((float(at), float(value)) for at, value in item["values"])
    return Series(labels={str(k): str(v) for k, v in item["metric"].items()}, points=points)


def _start(body: bytes) -> str:
    return body[:120].decode("utf-8", "replace")
