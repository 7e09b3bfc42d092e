"""Asks pods which mode they are in, each at its own address.

A Service would answer for whichever pod it picks, and Prometheus for a minute ago; a switch is only over
when every single pod has said so itself. The token goes to pod addresses only, never through a redirect or
a proxy. What a pod does not answer properly is recorded as not answered, with the reason.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import aiohttp

from dualtrack.rollout.world import Acknowledgement

PATH: Final = "/dualtrack/v1/acknowledgement"
TIMEOUT_SECONDS: Final = 5.0
ANSWER_BYTES: Final = 64 * 1024
CONCURRENT_REQUESTS: Final = 16


@dataclass(frozen=True, slots=True)
class Asked:
    """A pod and the address that its status names."""

    pod: str
    address: str


async def ask_pods(
    pods: Iterable[Asked], *, port: int, scheme: str, token: str, timeout_seconds: float = TIMEOUT_SECONDS
) -> tuple[Acknowledgement, ...]:
    """One acknowledgement for each pod, in the order given. Never raises for what a pod does."""
    # Pods have no names in certificates; HTTPS here keeps the token from being read on the way, no more.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connector = aiohttp.TCPConnector(limit=CONCURRENT_REQUESTS, force_close=True, ssl=context)
    timeout = aiohttp.ClientTimeout(total=timeout_seconds)
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers=headers) as session:
        questions = (
            _ask(session, pod, f"{scheme.lower()}://{_host(pod.address)}:{port}{PATH}") for pod in pods
        )
        return tuple(await asyncio.gather(*questions))


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


async def _ask(session: aiohttp.ClientSession, pod: Asked, url: str) -> Acknowledgement:
    def unanswered(why: str) -> Acknowledgement:
        return Acknowledgement(pod=pod.pod, address=pod.address, body=None, error=why)

    try:
        async with session.get(url, allow_redirects=False) as answer:
            data = await _read(answer.content)
            status = answer.status
    except TimeoutError:
        return unanswered("no answer in time")
    except (aiohttp.ClientError, OSError) as error:
        return unanswered(f"{type(error).__name__}: {error}")
    if status == 401:
        return unanswered("401: the pod knows another token; compare the Secret with the pod's environment")
    if status not in (200, 503):
        return unanswered(f"{status}: the pod has no acknowledgement endpoint")
    try:
        body = json.loads(data)
    except ValueError:
        return unanswered(f"{status}: the answer is not JSON")
    if not isinstance(body, dict):
        return unanswered(f"{status}: the answer is not an object")
    return Acknowledgement(pod=pod.pod, address=pod.address, body=body, error="" if status == 200 else "503")


async def _read(content: aiohttp.StreamReader) -> bytes:
    """The body, up to the bound; what is cut there is not JSON any more."""
    data = b""
    async for chunk in content.iter_any():
        data += chunk
        if len(data) > ANSWER_BYTES:
            break
    return data
