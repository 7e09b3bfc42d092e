"""The adapter against servers that are no Prometheus, or a broken one: each is told apart, none is data."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dualtrack.adapters.prometheus import PrometheusEndpoint, PrometheusReader, TokenSource, no_token
from dualtrack.rollout.world import Matrix, Query, QueryFailure, QueryResult

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def server(answer: Answer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_address[1]}"
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


def says(status: int, body: str, content_type: str = "application/json", **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        data = body.encode()
        handler.send_response(status)
        for name, value in {
            "Content-Type": content_type,
            "Content-Length": str(len(data)),
            **headers,
        }.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(data)

    return answer


def result(kind: str, items: list[Any], **more: Any) -> str:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": items}, **more})


async def ask(address: str, seconds: float = 2.0, token: TokenSource = no_token) -> QueryResult:
    reader = PrometheusReader(PrometheusEndpoint(address, seconds, token))
    return (await reader.run([Query("q", "up[1m]", 1_700_000_000.0)]))["q"]


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.close()


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (
            says(503, "query timed out in expression evaluation", "text/plain"),
            "Unreachable",
            "query timed out",
        ),
        (says(429, "slow down", "text/plain"), "Unreachable", "429"),
        (says(401, "who are you", "text/plain"), "Refused", "401"),
        (says(422, '{"status": "error", "error": "too many samples"}'), "Refused", "too many samples"),
        (says(302, "", Location="http://127.0.0.1:1/login"), "Refused", "redirect"),
        (says(200, "<html>Sign in</html>", "text/html"), "Malformed", "Sign in"),
        (says(200, "{}"), "Malformed", "no result"),
        (says(200, "[1]"), "Malformed", "no result"),
        (says(200, result("vector", [])), "Malformed", "vector"),
        (says(200, result("matrix", [{"metric": {}, "histograms": []}])), "Malformed", "values"),
        (says(200, result("matrix", [{"metric": {}, "values": [[1, "many"]]}])), "Malformed", "many"),
        (hang_up, "Unreachable", "Connection"),
    ],
)
async def test_an_answer_without_data_is_a_failure_of_its_kind(answer: Answer, kind: str, words: str) -> None:
    with server(answer) as address:
        found = await ask(address)
    assert isinstance(found, QueryFailure)
    assert found.kind == kind
    assert words in found.message


async def test_no_server_is_unreachable_at_once() -> None:
    began = time.monotonic()
    found = await ask("http://127.0.0.1:1")
    assert isinstance(found, QueryFailure)
    assert found.kind == "Unreachable"
    assert time.monotonic() - began < 2


async def test_a_server_that_drips_is_given_up_in_time() -> None:
    hung_up = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        while not hung_up.wait(0.05):
            try:
                handler.wfile.write(b" ")
            except OSError:
                hung_up.set()

    with server(drip) as address:
        began = time.monotonic()
        found = await ask(address, seconds=0.5)
        took = time.monotonic() - began
        # The thread that asked is gone, too: nobody reads any more.
        gave_up = hung_up.wait(10)
        hung_up.set()
    assert isinstance(found, QueryFailure)
    assert found.kind == "Unreachable"
    assert took < 4
    assert gave_up


async def test_all_queries_together_are_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dualtrack.adapters.prometheus.ALL_QUERIES_SECONDS", 0.5)
    released = threading.Event()

    def hang(_: BaseHTTPRequestHandler) -> None:
        released.wait(20)

    with server(hang) as address:
        began = time.monotonic()
        reader = PrometheusReader(PrometheusEndpoint(address, timeout_seconds=1.0))
        found = await reader.run([Query(str(number), "up[1m]", 1.0) for number in range(20)])
        took = time.monotonic() - began
        released.set()
    assert {type(answer) for answer in found.values()} == {QueryFailure}
    assert len(found) == 20
    assert took < 3


async def test_one_failing_query_does_not_hide_the_others() -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        good = says(200, result("matrix", [{"metric": {"a": "b"}, "values": [[1, "NaN"], [2, "+Inf"]]}]))
        (good if "query=good" in handler.path else says(500, "broken"))(handler)

    with server(answer) as address:
        reader = PrometheusReader(PrometheusEndpoint(address))
        found = await reader.run([Query("a", "bad", 1.0), Query("b", "good", 1.0)])
    assert isinstance(found["a"], QueryFailure)
    assert isinstance(found["b"], Matrix)
    (series,) = found["b"].series
    assert series.labels == {"a": "b"}
    assert [str(value) for _, value in series.points] == ["nan", "inf"]


async def test_warnings_survive_the_library() -> None:
    with server(says(200, result("matrix", [], warnings=["store x is away"]))) as address:
        assert await ask(address) == Matrix(series=(), warnings=("store x is away",))


async def test_the_token_is_read_anew_and_sent(tmp_path: Path) -> None:
    sent: list[str | None] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        sent.append(handler.headers.get("Authorization"))
        says(200, result("matrix", []))(handler)

    file = tmp_path / "token"
    with server(answer) as address:
        for text in ("first", "second"):
            file.write_text(text)
            assert await ask(address, token=file.read_text) == Matrix(series=())
        file.unlink()
        gone = await ask(address, token=file.read_text)
    assert sent == ["Bearer first", "Bearer second"]
    assert isinstance(gone, QueryFailure)
    assert gone.kind == "Refused"


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with server(says(200, result("matrix", []))) as address:
        assert await ask(address) == Matrix(series=())
