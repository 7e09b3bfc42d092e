"""The load of the demo and of the end-to-end tests: S3 requests in a bucket of its own, each accounted for.

It runs in a pod of the product's image, speaks Signature V4 by itself (so that it does not share a mistake
with the gateway) and keeps, for every key, what the gateway has acknowledged. A request that failed on the
way leaves its key *uncertain*: both the old and the new state are right until a read settles it. `verify`
reads every key back and names those that hold something else: that is what "nothing lost" means.

    GET  /state            counters as JSON
    POST /rate?n=120       requests a second from now on (0 pauses)
    POST /verify           read everything back; JSON with the keys that are wrong
    GET  /acknowledged     every key with the SHA-256 that it must have, for a reader on another server
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import random
import signal
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

import aiohttp
from aiohttp import web

ABSENT = ""
RESTART_SECONDS = 60.0


def signed_headers(
    method: str, host: str, path: str, query: str, body: bytes, access: str, secret: str
) -> dict[str, str]:
    """Headers of one AWS Signature Version 4 request (service s3, region us-east-1)."""
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    digest = hashlib.sha256(body).hexdigest()
    names = "host;x-amz-content-sha256;x-amz-date"
    canonical = "\n".join(
        [
            method,
            quote(path, safe="/-_.~"),
            query,
            f"host:{host}\nx-amz-content-sha256:{digest}\nx-amz-date:{now}\n",
            names,
            digest,
        ]
    )
    scope = f"{now[:8]}/us-east-1/s3/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{secret}".encode()
    for part in (now[:8], "us-east-1", "s3", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    credential = f"Credential={access}/{scope}, SignedHeaders={names}, Signature={signature}"
    return {
        "x-amz-date": now,
        "x-amz-content-sha256": digest,
        "authorization": f"AWS4-HMAC-SHA256 {credential}",
    }


@dataclass
class Ledger:
    """What each key must hold: the set of states that would be right (one, once a request was answered)."""

    states: dict[str, set[str]] = field(default_factory=dict)
    acknowledged: int = 0
    reads: int = 0
    failed: int = 0
    refused: int = 0
    wrong: list[str] = field(default_factory=list)

    def possible(self, key: str) -> set[str]:
        return self.states.get(key, {ABSENT})

    def begin(self, key: str, state: str) -> None:
        self.states[key] = self.possible(key) | {state}

    def settle(self, key: str, state: str) -> None:
        self.states[key] = {state}


class Load:
    """A handful of workers at one common rate; a key is used by one worker at a time."""

    def __init__(self, endpoint: str, bucket: str, access: str, secret: str, rate: float, keys: int) -> None:
        self.endpoint = endpoint.rstrip("/")
        self.host = self.endpoint.split("://", 1)[1]
        self.bucket, self.access, self.secret = bucket, access, secret
        self.rate, self.keys = rate, keys
        self.ledger = Ledger()
        self.busy: set[str] = set()
        self.released = asyncio.Event()
        self.random = random.Random(20260223)
        self.session: aiohttp.ClientSession | None = None

    async def request(
        self, method: str, key: str = "", body: bytes = b"", query: str = ""
    ) -> tuple[int, bytes]:
        path = f"/{self.bucket}/{key}" if key else f"/{self.bucket}"
        headers = signed_headers(method, self.host, path, query, body, self.access, self.secret)
        url = f"{self.endpoint}{quote(path, safe='/-_.~')}" + (f"?{query}" if query else "")
        assert self.session is not None
        async with self.session.request(method, url, data=body, headers=headers) as answer:
            return answer.status, await answer.read()

    async def prepare(self) -> None:
        """Wait for the gateway and create the bucket."""
        while True:
            try:
                status, text = await self.request("PUT")
            except (aiohttp.ClientError, TimeoutError) as error:
                print(json.dumps({"event": "waiting", "error": repr(error)}), flush=True)
            else:
                if status in (200, 409):
                    return
                print(
                    json.dumps({"event": "waiting", "status": status, "body": text[:200].decode()}),
                    flush=True,
                )
            await asyncio.sleep(0.5)

    def pick(self) -> str:
        while True:
            number = self.random.randrange(self.keys)
            key = f"{number % 7}/{number % 53:02d}/object-{number:05d}"
            if key not in self.busy:
                return key

    async def step(self) -> None:
        key = self.pick()
        self.busy.add(key)
        try:
            known = self.ledger.possible(key)
            roll = self.random.random()
            if known == {ABSENT} or roll < 0.35:
                size = self.random.choice([0, 100, 1_000, 4_000, 20_000, 200_000])
                await self.put(key, self.random.randbytes(size))
            elif roll < 0.40:
                await self.delete(key)
            else:
                await self.get(key)
        except (aiohttp.ClientError, TimeoutError, ConnectionError):
            self.ledger.failed += 1
            await asyncio.sleep(0.2)  # the gateway restarts; hammering it does not help
        finally:
            self.release(key)

    def release(self, key: str) -> None:
        self.busy.discard(key)
        self.released.set()

    async def put(self, key: str, body: bytes) -> None:
        digest = hashlib.sha256(body).hexdigest()
        self.ledger.begin(key, digest)
        status, _ = await self.request("PUT", key, body)
        self.answered(key, digest, status, 200)

    async def delete(self, key: str) -> None:
        self.ledger.begin(key, ABSENT)
        status, _ = await self.request("DELETE", key)
        self.answered(key, ABSENT, status, 204)

    def answered(self, key: str, state: str, status: int, expected: int) -> None:
        if status == expected:
            self.ledger.settle(key, state)
            self.ledger.acknowledged += 1
        else:
            self.ledger.refused += 1

    async def get(self, key: str) -> bool:
        """Read one key and hold it against the ledger; False where it is wrong or could not be read."""
        status, body = await self.request("GET", key)
        found = hashlib.sha256(body).hexdigest() if status == 200 else ABSENT if status == 404 else None
        self.ledger.reads += 1
        if found is None:
            self.ledger.refused += 1
            return False
        if found not in self.ledger.possible(key):
            self.ledger.wrong.append(f"{key}: status {status}, {len(body)} bytes, {found[:12] or 'absent'}")
            return False
        self.ledger.settle(key, found)
        return True

    async def read_back(self, key: str) -> bool:
        """As `get`, and while no server answers, because a switch restarts it, wait and ask again."""
        deadline = time.monotonic() + RESTART_SECONDS
        while True:
            try:
                return await self.get(key)
            except (aiohttp.ClientError, TimeoutError, ConnectionError):
                if time.monotonic() > deadline:
                    return False
                await asyncio.sleep(0.5)

    async def worker(self) -> None:
        while True:
            if self.rate <= 0:
                await asyncio.sleep(0.05)
                continue
            started = time.monotonic()
            await self.step()
            await asyncio.sleep(max(0.0, 8 / self.rate - (time.monotonic() - started)))

    async def verify(self) -> dict[str, object]:
        unreadable = []
        for key in sorted(self.ledger.states):
            while key in self.busy:
                self.released.clear()
                await self.released.wait()
            self.busy.add(key)
            try:
                before = len(self.ledger.wrong)
                if not await self.read_back(key) and len(self.ledger.wrong) == before:
                    unreadable.append(key)
            finally:
                self.release(key)
        return {**self.state(), "checked": len(self.ledger.states), "unreadable": unreadable[:20]}

    def state(self) -> dict[str, object]:
        ledger = self.ledger
        return {
            "acknowledged": ledger.acknowledged,
            "reads": ledger.reads,
            "failed": ledger.failed,
            "refused": ledger.refused,
            "keys": len(ledger.states),
            "wrong": ledger.wrong[:20],
        }


def routes(load: Load) -> list[web.RouteDef]:
    async def state(_: web.Request) -> web.Response:
        return web.json_response(load.state())

    async def rate(request: web.Request) -> web.Response:
        load.rate = float(request.query["n"])
        return web.json_response({"rate": load.rate})

    async def verify(_: web.Request) -> web.Response:
        return web.json_response(await load.verify())

    async def acknowledged(_: web.Request) -> web.Response:
        return web.json_response({key: sorted(states) for key, states in sorted(load.ledger.states.items())})

    return [
        web.get("/state", state),
        web.post("/rate", rate),
        web.post("/verify", verify),
        web.get("/acknowledged", acknowledged),
    ]


async def main() -> None:
    load = Load(
        os.environ["S3_ENDPOINT"],
        os.environ.get("LOAD_BUCKET", "load"),
        os.environ["S3_ACCESS_KEY"],
        os.environ["S3_SECRET_KEY"],
        float(os.environ.get("LOAD_RATE", "100")),
        int(os.environ.get("LOAD_KEYS", "1500")),
    )
    app = web.Application()
    app.add_routes(routes(load))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", int(os.environ.get("LOAD_PORT", "8080"))).start()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15)) as session:
        load.session = session
        await load.prepare()
        workers = [asyncio.create_task(load.worker()) for _ in range(8)]
        await stop.wait()
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
