"""Every condition of the engine has its S3 code, and the status of each code is S3's."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from dualtrack.engine.objects import errors as objects
from dualtrack.errors import CorruptError, DualTrackError, StoreError, StoreFullError
from dualtrack.gateway.errors import STATUS, S3Error, translate


def kinds(root: type[objects.ObjectError]) -> Iterator[type[objects.ObjectError]]:
    for kind in root.__subclasses__():
        yield kind
        yield from kinds(kind)


@pytest.mark.parametrize("kind", list(kinds(objects.ObjectError)), ids=lambda kind: kind.__name__)
def test_every_condition_of_the_engine_has_a_code(kind: type[objects.ObjectError]) -> None:
    answer = translate(kind("what happened", "b", "k"))
    assert answer.code != "InternalError"
    assert answer.status == STATUS[answer.code]
    assert answer.details == {"BucketName": "b", "Key": "k"}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (objects.NoSuchKey("x"), 404),
        (objects.Unavailable("x"), 503),
        (objects.Undecodable("x"), 501),
        (objects.MethodNotAllowed("x"), 405),
        (StoreFullError("x"), 507),
        (StoreError("x"), 503),
        (OSError(errno.ENOSPC, "full"), 507),
        (OSError(errno.EIO, "broken"), 500),
        (CorruptError("crc", "x"), 500),
        (DualTrackError("x"), 500),
        (KeyError("x"), 500),
    ],
)
def test_statuses(error: Exception, status: int) -> None:
    assert translate(error).status == status


def test_what_is_unknown_is_never_not_found() -> None:
    for error in (objects.Unavailable("x"), StoreError("x"), OSError(errno.ENOENT, "x"), RuntimeError("x")):
        assert translate(error).status >= 500


def test_a_delete_marker_is_named() -> None:
    hidden = translate(objects.NoSuchKey("x", "b", "k", marker_version="v1"))
    assert hidden.headers == {"x-amz-delete-marker": "true", "x-amz-version-id": "v1"}
    named = translate(objects.MethodNotAllowed("x", "b", "k", marker_version="v1"))
    assert named.headers["Allow"] == "DELETE"


def test_an_s3_error_stays_what_it_is() -> None:
    error = S3Error("AccessDenied", "no")
    assert translate(error) is error
