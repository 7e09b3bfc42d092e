"""Who may speak: Signature V4 on every request, in the header or in the query; nobody is anonymous.

`authenticate` is a pure function of the request's head, the credentials and the time. It proves the head
only; what it returns (`Identity`) says how the body is to be proved while it streams in (`payload`), and
carries what chunk signatures continue from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from dualtrack.gateway import signature
from dualtrack.gateway.errors import S3Error
from dualtrack.gateway.signature import ALGORITHM, Scope

MAX_SKEW = timedelta(minutes=15)
MAX_EXPIRES = 7 * 24 * 3600
UNSIGNED = "UNSIGNED-PAYLOAD"
STREAMING_SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
STREAMING_SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
STREAMING_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
STREAMING = frozenset({STREAMING_SIGNED, STREAMING_SIGNED_TRAILER, STREAMING_UNSIGNED_TRAILER})
_HEX_HASH = re.compile(r"[0-9a-f]{64}", re.ASCII)
_TIME = re.compile(r"\d{8}T\d{6}Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Credentials:
    access_key: str
    secret_key: str = field(repr=False)
    region: str


@dataclass(frozen=True, slots=True)
class Head:
    """The part of a request that is signed: the path and the query as they came over the wire."""

    method: str
    raw_path: str
    pairs: Sequence[tuple[str, str]]
    headers: Mapping[str, Sequence[str]]

    def header(self, name: str) -> str | None:
        values = self.headers.get(name)
        return values[0] if values else None


@dataclass(frozen=True, slots=True)
class Identity:
    """A proved head. `payload` is a hex SHA-256 or one of the constants above; `seed` the head's signature,
    from which the chunks' signatures go on."""

    payload: str
    scope: Scope
    time: str
    seed: str
    key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Claim:
    scope: Scope
    access_key: str
    signed: tuple[str, ...]
    signature: str
    presigned: bool


def authenticate(head: Head, credentials: Credentials, now: datetime) -> Identity:
    """The identity behind a request; `S3Error` if there is none. `now` is aware."""
    query = dict(head.pairs)
    authorization = head.header("authorization")
    if "X-Amz-Algorithm" in query or "X-Amz-Signature" in query:
        if authorization is not None:
            raise S3Error(
                "InvalidArgument", "Only one of the Authorization header and X-Amz-Algorithm is allowed."
            )
        return _presigned(head, query, credentials, now)
    if authorization is None:
        _refuse_old_query(query)
        raise S3Error("AccessDenied", "Access Denied: the request is not signed.")
    return _in_header(head, authorization, credentials, now)


def _refuse_old_query(query: Mapping[str, str]) -> None:
    if "AWSAccessKeyId" in query and "Signature" in query:
        raise S3Error("InvalidRequest", f"Signature V2 is not supported. Please use {ALGORITHM}.")


def _in_header(head: Head, authorization: str, credentials: Credentials, now: datetime) -> Identity:
    claim = _parse_authorization(authorization)
    time, when = _request_time(head)
    payload = head.header("x-amz-content-sha256")
    if payload is None:
        raise S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    _check_payload(payload)
    _check_scope(claim, credentials, time)
    if abs(now - when) > MAX_SKEW:
        raise S3Error(
            "RequestTimeTooSkewed",
            "The difference between the request time and the server's time is too large.",
            details={"RequestTime": time, "ServerTime": now.strftime("%Y-%m-%dT%H:%M:%SZ")},
        )
    return _verify(head, head.pairs, claim, credentials, time, payload)


def _parse_authorization(text: str) -> _Claim:
    scheme, _, rest = text.partition(" ")
    if scheme != ALGORITHM:
        raise S3Error(
            "InvalidRequest", f"The authorization mechanism is not supported. Please use {ALGORITHM}."
        )
    fields = {}
    for item in rest.split(","):
        name, _, value = item.strip().partition("=")
        fields[name] = value
    try:
        return _claim(fields["Credential"], fields["SignedHeaders"], fields["Signature"], presigned=False)
    except (KeyError, ValueError) as error:
        raise S3Error(
            "AuthorizationHeaderMalformed",
            "The authorization header needs Credential, SignedHeaders and Signature in their proper form.",
        ) from error


def _claim(credential: str, signed: str, value: str, *, presigned: bool) -> _Claim:
    access_key, date, region, service, terminal = credential.rsplit("/", 4)
    names = tuple(signed.split(";"))
    if terminal != "aws4_request" or service != "s3" or not access_key or list(names) != sorted(set(names)):
        raise ValueError(credential)
    return _Claim(Scope(date, region, service), access_key, names, value, presigned)


def _presigned(head: Head, query: Mapping[str, str], credentials: Credentials, now: datetime) -> Identity:
    if query.get("X-Amz-Algorithm") != ALGORITHM:
        raise S3Error("AuthorizationQueryParametersError", f"X-Amz-Algorithm only supports {ALGORITHM}.")
    try:
        claim = _claim(
            query["X-Amz-Credential"], query["X-Amz-SignedHeaders"], query["X-Amz-Signature"], presigned=True
        )
        time = query["X-Amz-Date"]
        when = _parse_time(time)
        expires = int(query["X-Amz-Expires"])
    except (KeyError, ValueError) as error:
        raise S3Error(
            "AuthorizationQueryParametersError",
            "Query-string authentication needs X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, "
            "X-Amz-Date, X-Amz-SignedHeaders and X-Amz-Expires in their proper form.",
        ) from error
    if not 0 < expires <= MAX_EXPIRES:
        raise S3Error(
            "AuthorizationQueryParametersError", f"X-Amz-Expires must lie between 1 and {MAX_EXPIRES}."
        )
    _check_scope(claim, credentials, time)
    if when - now > MAX_SKEW:
        raise S3Error("AccessDenied", "Request is not valid yet.")
    if now > when + timedelta(seconds=expires):
        raise S3Error("AccessDenied", "Request has expired.")
    payload = query.get("X-Amz-Content-Sha256") or head.header("x-amz-content-sha256") or UNSIGNED
    _check_payload(payload)
    pairs = [(name, value) for name, value in head.pairs if name != "X-Amz-Signature"]
    return _verify(head, pairs, claim, credentials, time, payload)


def _check_payload(payload: str) -> None:
    if payload != UNSIGNED and payload not in STREAMING and not _HEX_HASH.fullmatch(payload):
        raise S3Error(
            "InvalidArgument",
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a STREAMING-… value served here, "
            "or a valid sha256 value.",
            details={"ArgumentName": "x-amz-content-sha256"},
        )


def _request_time(head: Head) -> tuple[str, datetime]:
    text = head.header("x-amz-date")
    try:
        if text is not None:
            return text, _parse_time(text)
        when = parsedate_to_datetime(head.header("date") or "")
        return when.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ"), when.astimezone(UTC)
    except (ValueError, TypeError) as error:
        raise S3Error(
            "AccessDenied", "AWS authentication requires a valid Date or x-amz-date header."
        ) from error


def _parse_time(text: str) -> datetime:
    if not _TIME.fullmatch(text):
        raise ValueError(text)
    return datetime.fromisoformat(text)


def _check_scope(claim: _Claim, credentials: Credentials, time: str) -> None:
    code = "AuthorizationQueryParametersError" if claim.presigned else "AuthorizationHeaderMalformed"
    if claim.scope.region != credentials.region:
        raise S3Error(
            code,
            f"The region '{claim.scope.region}' is wrong; expecting '{credentials.region}'.",
            details={"Region": credentials.region},
        )
    if claim.scope.date != time[:8]:
        raise S3Error(code, "The date in the credential scope is not that of the request.")


def _verify(
    head: Head,
    pairs: Sequence[tuple[str, str]],
    claim: _Claim,
    credentials: Credentials,
    time: str,
    payload: str,
) -> Identity:
    if not signature.equal(claim.access_key, credentials.access_key):
        raise S3Error("InvalidAccessKeyId", "The access key that the request names does not exist here.")
    if head.header("x-amz-security-token") is not None or any(n == "X-Amz-Security-Token" for n, _ in pairs):
        raise S3Error("InvalidToken", "Temporary credentials are not served here.")
    _check_signed_headers(head, claim)
    key = signature.signing_key(credentials.secret_key, claim.scope)
    request = signature.canonical_request(
        head.method, head.raw_path, pairs, head.headers, claim.signed, payload
    )
    expected = signature.sign(key, signature.string_to_sign(time, claim.scope, request))
    if not signature.equal(expected, claim.signature):
        raise S3Error(
            "SignatureDoesNotMatch",
            "The signature of the request does not match the one that the server calculated. "
            "Check the secret key and the signing method.",
        )
    return Identity(payload, claim.scope, time, expected, key)


def _check_signed_headers(head: Head, claim: _Claim) -> None:
    """Whatever can change the meaning of a request must be covered by its signature."""
    missing = [
        name
        for name in head.headers
        if name not in claim.signed
        and (name == "host" or (name.startswith("x-amz-") and not _may_be_unsigned(name, claim)))
    ]
    if "host" not in claim.signed or missing:
        names = ", ".join(sorted({"host", *missing} - set(claim.signed)))
        raise S3Error(
            "AccessDenied",
            "There were headers present in the request which were not signed.",
            details={"HeadersNotSigned": names},
        )


def _may_be_unsigned(name: str, claim: _Claim) -> bool:
    # The hash is part of what is signed in either case: it is the canonical request's last line.
    return name == "x-amz-content-sha256" or (name == "x-amz-user-agent" and claim.presigned)
