"""What is refused before a signature is even compared, and what a signature must cover."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import pytest

from dualtrack.gateway import signature
from dualtrack.gateway.auth import Credentials, Head, Identity, authenticate
from dualtrack.gateway.errors import S3Error
from dualtrack.gateway.signature import Scope

CREDENTIALS = Credentials("user", "secret", "eu-north-1")
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def signed(
    method: str = "GET",
    path: str = "/b/k",
    pairs: list[tuple[str, str]] | None = None,
    *,
    at: datetime = NOW,
    region: str = "eu-north-1",
    secret: str = "secret",
    access_key: str = "user",
    service: str = "s3",
    headers: dict[str, str] | None = None,
    unsigned: dict[str, str] | None = None,
    leave_out: str = "",
) -> Head:
    time = at.strftime("%Y%m%dT%H%M%SZ")
    payload = hashlib.sha256(b"").hexdigest()
    covered = {"host": "h", "x-amz-date": time, "x-amz-content-sha256": payload, **(headers or {})}
    covered.pop(leave_out, None)
    values = {name: [value] for name, value in covered.items()}
    scope = Scope(time[:8], region, service)
    request = signature.canonical_request(method, path, pairs or [], values, sorted(covered), payload)
    value = signature.sign(
        signature.signing_key(secret, scope), signature.string_to_sign(time, scope, request)
    )
    authorization = (
        f"AWS4-HMAC-SHA256 Credential={access_key}/{scope}, SignedHeaders={';'.join(sorted(covered))}, "
        f"Signature={value}"
    )
    extra = {name: [text] for name, text in (unsigned or {}).items()}
    return Head(method, path, pairs or [], {**values, **extra, "authorization": [authorization]})


def code_of(head: Head, now: datetime = NOW) -> str:
    with pytest.raises(S3Error) as caught:
        authenticate(head, CREDENTIALS, now)
    return caught.value.code


def test_accepts_a_good_signature() -> None:
    assert isinstance(authenticate(signed(), CREDENTIALS, NOW), Identity)


@pytest.mark.parametrize(
    "path", ["/b/a%20b", "/b//x", "/b/../c", "/b/%C3%BC", "/b/a+b", "/b/~x*(1)", "/b/%2F"]
)
def test_accepts_odd_paths_as_they_are_sent(path: str) -> None:
    assert authenticate(signed(path=path), CREDENTIALS, NOW).payload


def test_header_values_are_compared_with_their_spaces_collapsed() -> None:
    head = signed(headers={"x-amz-meta-a": "one two"})
    spaced = Head(head.method, head.raw_path, head.pairs, {**head.headers, "x-amz-meta-a": ["  one   two "]})
    assert authenticate(spaced, CREDENTIALS, NOW).payload


@pytest.mark.parametrize("minutes", [-15, 0, 15])
def test_fifteen_minutes_of_skew_are_allowed(minutes: int) -> None:
    assert authenticate(signed(), CREDENTIALS, NOW + timedelta(minutes=minutes)).payload


@pytest.mark.parametrize("seconds", [-901, 901])
def test_more_skew_is_refused(seconds: int) -> None:
    assert code_of(signed(), NOW + timedelta(seconds=seconds)) == "RequestTimeTooSkewed"


def test_refuses_another_region_and_names_the_right_one() -> None:
    with pytest.raises(S3Error) as caught:
        authenticate(signed(region="us-east-1"), CREDENTIALS, NOW)
    assert caught.value.code == "AuthorizationHeaderMalformed"
    assert caught.value.details == {"Region": "eu-north-1"}


@pytest.mark.parametrize(
    ("head", "code"),
    [
        (Head("GET", "/b", [], {"host": ["h"]}), "AccessDenied"),
        (Head("GET", "/b", [], {"host": ["h"], "authorization": ["AWS user:sig"]}), "InvalidRequest"),
        (Head("GET", "/b", [("AWSAccessKeyId", "u"), ("Signature", "s")], {"host": ["h"]}), "InvalidRequest"),
        (signed(access_key="other"), "InvalidAccessKeyId"),
        (signed(secret="wrong"), "SignatureDoesNotMatch"),
        (signed(service="iam"), "AuthorizationHeaderMalformed"),
        (signed(leave_out="host"), "AccessDenied"),
        (signed(leave_out="x-amz-date"), "AccessDenied"),
        (signed(leave_out="x-amz-content-sha256"), "InvalidRequest"),
        (signed(headers={"x-amz-content-sha256": "nonsense"}), "InvalidArgument"),
        (signed(headers={"x-amz-security-token": "t"}), "InvalidToken"),
        (signed(unsigned={"x-amz-copy-source": "/b/secret"}), "AccessDenied"),
        (signed(unsigned={"x-amz-meta-a": "b"}), "AccessDenied"),
        (Head("GET", "/b", [("X-Amz-Algorithm", "x")], {"host": ["h"]}), "AuthorizationQueryParametersError"),
    ],
)
def test_refusals(head: Head, code: str) -> None:
    assert code_of(head) == code


@pytest.mark.parametrize(
    "change",
    [
        {"method": "DELETE"},
        {"raw_path": "/b/other"},
        {"pairs": [("versionId", "1")]},
    ],
)
def test_a_signature_covers_method_path_and_query(change: dict[str, object]) -> None:
    head = signed()
    fields = {"method": head.method, "raw_path": head.raw_path, "pairs": head.pairs, "headers": head.headers}
    assert code_of(Head(**{**fields, **change})) == "SignatureDoesNotMatch"  # type: ignore[arg-type]


def test_no_secret_is_shown_by_repr() -> None:
    assert "secret" not in repr(CREDENTIALS).replace("secret_key", "")
    assert "key" not in repr(authenticate(signed(), CREDENTIALS, NOW))
