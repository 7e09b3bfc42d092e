"""The API server as plain JSON: the only module that imports the Kubernetes client.

The client's typed models refuse what a newer server sends and rewrite what they accept, so the gateway
uses its connection, login and TLS handling only, and moves JSON mappings. Every request has a time-out
(the client's own is five minutes), and every failure becomes one of the classes below, once, here:

    DualTrackError
    └── ApiError                a request that the API server answered with a refusal
        ├── NotFound            404
        ├── Conflict            409, 410, 422 on the uid: another version, another object of the same
        │   │                   name, or a field of another manager
        │   └── AlreadyExists   409 on create
        ├── Invalid             400, 413, 415, 422: the object itself is not acceptable
        ├── Forbidden           401, 403
        └── Throttled           429
    UnavailableError
    └── Unavailable             5xx, no connection, time-out: nothing is known about the outcome
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from dualtrack.adapters.kinds import POD, Kind, kind_of_manifest
from dualtrack.api.names import FIELD_MANAGER
from dualtrack.errors import DualTrackError, UnavailableError, UsageError

REQUEST_SECONDS: Final = 15.0
PAGE_SIZE: Final = 500
LOG_BYTES: Final = 64 * 1024
JSON: Final = "application/json"
MERGE_PATCH: Final = "application/merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"
ACCESS_REVIEW: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
SELF_REVIEW: Final = "/apis/authentication.k8s.io/v1/selfsubjectreviews"

JsonObject = dict[str, Any]


class ApiError(DualTrackError):
    """The API server refused. `status` is the HTTP code, `reason` the server's word for it."""

    def __init__(self, message: str, *, status: int, reason: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class NotFound(ApiError):
    pass


class Conflict(ApiError):
    pass


class AlreadyExists(Conflict):
    pass


class Invalid(ApiError):
    pass


class Forbidden(ApiError):
    pass


class Throttled(ApiError):
    pass


class Unavailable(UnavailableError):
    """No usable answer: whether a write took place is not known."""


_BY_STATUS: Final[dict[int, type[ApiError]]] = {
    400: Invalid,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: Throttled,
}


async def connect(kubeconfig: str | None = None) -> KubernetesGateway:
    """A gateway with the pod's service account, or with the kubeconfig where one is named or found."""
    configuration = Configuration()
    try:
        if kubeconfig is None:
            try:
                config.load_incluster_config(client_configuration=configuration)
            except config.ConfigException:
                await config.load_kube_config(client_configuration=configuration)
        else:
            await config.load_kube_config(config_file=kubeconfig, client_configuration=configuration)
    except (config.ConfigException, OSError) as error:
        raise UsageError(
            f"no way to the API server: {error}; run in a pod with a service account, or set KUBECONFIG"
        ) from error
    return KubernetesGateway(ApiClient(configuration))


class KubernetesGateway:
    """Reads and writes of JSON objects. All methods raise the classes above and nothing of the client's."""

    def __init__(self, client: ApiClient, request_seconds: float = REQUEST_SECONDS) -> None:
        self._client = client
        self._client.user_agent = "dualtrack"
        self._timeout = aiohttp.ClientTimeout(total=request_seconds)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        await self._client.close()

    # ---- reads

    async def get(self, kind: Kind, namespace: str, name: str) -> JsonObject:
        """The object as it is now (a quorum read, not a cache)."""
        return await self._json("GET", kind.path(namespace, name))

    async def list_all(self, kind: Kind, namespace: str, label_selector: str = "") -> list[JsonObject]:
        """All objects of a kind in a namespace, with the `apiVersion` and `kind` that lists leave out."""
        items: list[JsonObject] = []
        query: list[tuple[str, str]] = [("limit", str(PAGE_SIZE))]
        if label_selector:
            query.append(("labelSelector", label_selector))
        token = ""
        while True:
            page = [*query, ("continue", token)] if token else query
            answer = await self._json("GET", kind.path(namespace), query=page)
            named = {"apiVersion": kind.api_version, "kind": kind.kind}
            items.extend({**named, **item} for item in answer.get("items") or ())
            token = (answer.get("metadata") or {}).get("continue") or ""
            if not token:
                return items

    async def log_tail(self, namespace: str, pod: str, container: str, lines: int = 20) -> list[str]:
        """The last lines that a container printed."""
        query = [("container", container), ("tailLines", str(lines)), ("limitBytes", str(LOG_BYTES))]
        data = await self._request("GET", POD.path(namespace, pod, "log"), query=query)
        return data.decode("utf-8", "replace").splitlines()

    async def allowed(
        self, namespace: str, verb: str, group: str, resource: str, subresource: str = ""
    ) -> bool:
        """Whether we ourselves may do this. An empty namespace asks for all of them."""
        wanted = {"verb": verb, "group": group, "resource": resource}
        if namespace:
            wanted["namespace"] = namespace
        if subresource:
            wanted["subresource"] = subresource
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": wanted},
        }
        answer = await self._json("POST", ACCESS_REVIEW, body=review)
        return bool((answer.get("status") or {}).get("allowed"))

    async def whoami(self) -> str:
        """The name by which the API server knows us."""
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = await self._json("POST", SELF_REVIEW, body=review)
        return str(((answer.get("status") or {}).get("userInfo") or {}).get("username", ""))

    # ---- writes

    async def create(self, manifest: Mapping[str, Any]) -> JsonObject:
        kind, namespace, _ = _coordinates(manifest)
        return await self._json("POST", kind.path(namespace), query=[_MANAGER], body=manifest)

    async def apply(self, manifest: Mapping[str, Any], *, force: bool = False) -> JsonObject:
        """Server-side apply of a whole intent. Without `force`, another manager's field is a `Conflict`."""
        kind, namespace, name = _coordinates(manifest)
        return await self._apply(kind.path(namespace, name), manifest, force=force)

    async def apply_status(self, manifest: Mapping[str, Any]) -> JsonObject:
        """Server-side apply of `/status`; with `metadata.resourceVersion`, only onto that very version."""
        kind, namespace, name = _coordinates(manifest)
        return await self._apply(kind.path(namespace, name, "status"), manifest, force=True)

    async def merge_patch(
        self, kind: Kind, namespace: str, name: str, patch: Mapping[str, Any], *, uid: str
    ) -> JsonObject:
        """Merge patch of the object with this uid; an object that took its place is a `Conflict`."""
        metadata = {**(patch.get("metadata") or {}), "uid": uid}
        body = {**patch, "metadata": metadata}
        path = kind.path(namespace, name)
        return await self._json("PATCH", path, query=[_MANAGER], body=body, content_type=MERGE_PATCH)

    async def delete(self, kind: Kind, namespace: str, name: str, *, uid: str) -> None:
        """Delete the object with this uid, its dependants in the background."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        await self._json("DELETE", kind.path(namespace, name), body=options)

    # ---- the wire

    async def _apply(self, path: str, manifest: Mapping[str, Any], *, force: bool) -> JsonObject:
        query = [_MANAGER, ("force", "true" if force else "false")]
        return await self._json("PATCH", path, query=query, body=manifest, content_type=APPLY_PATCH)

    async def _json(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Mapping[str, Any] | None = None,
        content_type: str = JSON,
    ) -> JsonObject:
        data = await self._request(method, path, query=query, body=body, content_type=content_type)
        try:
            answer = json.loads(data)
        except ValueError as error:
            raise Unavailable(f"{method} {path}: the answer is not JSON; is this an API server?") from error
        if not isinstance(answer, dict):
            raise Unavailable(f"{method} {path}: the answer is not an object; is this an API server?")
        return answer

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: Mapping[str, Any] | None = None,
        content_type: str = JSON,
    ) -> bytes:
        try:
            serialized = await self._client.param_serialize(
                method,
                path,
                query_params=list(query),
                header_params={"Accept": JSON, "Content-Type": content_type},
                body=None if body is None else _plain(body),
                auth_settings=["BearerToken"],
            )
            answer = await self._client.call_api(*serialized, _request_timeout=self._timeout)
            data: bytes = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"{method} {path}: {type(error).__name__}: {error}".rstrip(": ")) from error
        if 200 <= answer.status < 300:
            return data
        raise _refusal(method, path, answer.status, data)


_MANAGER: Final = ("fieldManager", FIELD_MANAGER)


def _coordinates(manifest: Mapping[str, Any]) -> tuple[Kind, str, str]:
    metadata = manifest["metadata"]
    return kind_of_manifest(manifest), str(metadata["namespace"]), str(metadata.get("name", ""))


def _plain(value: Any) -> Any:
    """`value` with every mapping a dict and every sequence a list, as the client's serializer wants them."""
    match value:
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value


def _refusal(method: str, path: str, status: int, data: bytes) -> DualTrackError:
    """The class for an answer outside 2xx; the server's own sentence goes with it."""
    try:
        answer = json.loads(data)
        message, reason = str(answer.get("message", "")), str(answer.get("reason", ""))
        fields = {cause.get("field") for cause in (answer.get("details") or {}).get("causes") or ()}
    except (ValueError, AttributeError):
        message, reason, fields = data[:200].decode("utf-8", "replace"), "", set()
    text = f"{method} {path}: {status} {reason}: {message}"
    if status not in _BY_STATUS:
        return Unavailable(text)
    kind = _BY_STATUS[status]
    if status == 409 and reason == "AlreadyExists":
        kind = AlreadyExists
    elif status == 422 and "metadata.uid" in fields:
        kind = Conflict  # a patch that names the uid of an object that another has replaced
    return kind(text, status=status, reason=reason)
