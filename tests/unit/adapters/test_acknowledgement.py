"""Pods are asked one by one, each at its own address, and only a proper answer counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from dualtrack.adapters.acknowledgement import PATH, Asked, ask_pods
from dualtrack.rollout.world import Acknowledgement

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
BODY = {"migrationUID": "u", "epoch": 1, "ready": True}


@asynccontextmanager
async def pods(handlers: dict[str, Handler]) -> AsyncIterator[int]:
    """A server on each address, all on one port, as pods are."""
    runners: list[web.AppRunner] = []
    port = 0
    for address, handler in handlers.items():
        application = web.Application()
        application.add_routes([web.get(PATH, handler)])
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, address, port).start()
        port = runner.addresses[0][1]
    yield port
    for runner in runners:
        await runner.cleanup()


async def acknowledge(request: web.Request) -> web.Response:
    if request.headers.get("Authorization") != "Bearer secret":
        return web.Response(status=401)
    return web.json_response(BODY)


async def one(handler: Handler, token: str = "secret") -> Acknowledgement:
    async with pods({"127.0.0.2": handler}) as port:
        (answer,) = await ask_pods(
            [Asked("pod", "127.0.0.2")], port=port, scheme="HTTP", token=token, timeout_seconds=0.5
        )
    return answer


async def test_each_address_answers_for_itself_in_order() -> None:
    async def other(_: web.Request) -> web.Response:
        return web.json_response({**BODY, "epoch": 2})

    async with pods({"127.0.0.2": acknowledge, "127.0.0.3": other}) as port:
        asked = [Asked("new", "127.0.0.3"), Asked("gone", "127.0.0.4"), Asked("old", "127.0.0.2")]
        answers = await ask_pods(asked, port=port, scheme="HTTP", token="secret")
    assert [(answer.pod, (answer.body or {}).get("epoch")) for answer in answers] == [
        ("new", 2),
        ("gone", None),
        ("old", 1),
    ]
    assert answers[1].error


async def test_another_token_is_named_as_such() -> None:
    answer = await one(acknowledge, token="wrong")
    assert answer.body is None
    assert "another token" in answer.error


async def test_a_pod_that_cannot_acknowledge_shows_why() -> None:
    async def degraded(_: web.Request) -> web.Response:
        return web.json_response({**BODY, "degraded": True}, status=503)

    answer = await one(degraded)
    assert answer.body == {**BODY, "degraded": True}
    assert answer.error == "503"


async def hang(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(3600)
    raise AssertionError


async def redirect(request: web.Request) -> web.Response:
    raise web.HTTPFound(f"http://{request.host}/elsewhere")


async def flood(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(64):
        await response.write(b" " * 65536)
    return response


async def page(_: web.Request) -> web.Response:
    return web.Response(text="<html>")


async def items(_: web.Request) -> web.Response:
    return web.json_response([BODY])


@pytest.mark.parametrize(
    ("handler", "words"),
    [(hang, "in time"), (redirect, "302"), (flood, ""), (page, "not JSON"), (items, "not an object")],
)
async def test_what_is_no_acknowledgement_is_not_answered(handler: Handler, words: str) -> None:
    answer = await one(handler)
    assert answer.body is None
    assert answer.error
    assert words in answer.error
