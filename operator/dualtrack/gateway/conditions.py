"""If-Match and its kin, for reads, writes and the source of a copy; and the Range header.

Precedence as RFC 9110 13.2.2 and the S3 API Reference (GetObject, "Overriding"): an ETag condition, where it
is given, makes the date condition of its side void.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from dualtrack.engine.objects.types import Check, Span, Stored
from dualtrack.gateway.errors import S3Error

_RANGE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)
COPY_SOURCE = "x-amz-copy-source-"


class NotModified(Exception):
    """The client has this version already: 304."""


def check_read(headers: Mapping[str, str], stored: Stored, prefix: str = "") -> None:
    """Raises `NotModified` or PreconditionFailed. With `prefix` the conditions of a copy's source, for which
    "not modified" is a failed precondition too."""
    modified = stored.modified_ns // 1_000_000_000
    match = headers.get(f"{prefix}if-match")
    if match is not None:
        _demand(_names(match, stored.etag), f"{prefix}if-match")
    else:
        limit = _date(headers.get(f"{prefix}if-unmodified-since"))
        _demand(limit is None or modified <= limit, f"{prefix}if-unmodified-since")
    none_match = headers.get(f"{prefix}if-none-match")
    if none_match is not None:
        unchanged = _names(none_match, stored.etag)
    else:
        since = _date(headers.get(f"{prefix}if-modified-since"))
        unchanged = since is not None and modified <= since
    if unchanged and prefix:
        _demand(False, f"{prefix}if-none-match")
    if unchanged:
        raise NotModified


def has_read_conditions(headers: Mapping[str, str]) -> bool:
    return any(name in headers for name in _READ)


_READ = ("if-match", "if-none-match", "if-modified-since", "if-unmodified-since")


def write_check(headers: Mapping[str, str]) -> Check | None:
    """The condition of a conditional write, to be checked under the object's lock."""
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    if match is None and none_match is None:
        return None

    def check(current: Stored | None) -> None:
        if match is not None:
            if current is None:
                raise S3Error("NoSuchKey", "The object that If-Match names does not exist.")
            _demand(_names(match, current.etag), "If-Match")
        if none_match is not None and current is not None:
            _demand(not _names(none_match, current.etag), "If-None-Match")

    return check


def _demand(holds: bool, condition: str) -> None:
    if not holds:
        raise S3Error(
            "PreconditionFailed",
            "At least one of the pre-conditions you specified did not hold.",
            details={"Condition": condition},
        )


def _names(condition: str, etag: str) -> bool:
    """Whether a list of entity tags (or `*`) holds `etag`. S3's clients leave the quotes out at times."""
    tags = (tag.strip().removeprefix("W/").strip('"') for tag in condition.split(","))
    return any(tag in ("*", etag) for tag in tags)


def _date(text: str | None) -> int | None:
    """Unix seconds; None for what is no date, which RFC 9110 wants ignored."""
    if text is None:
        return None
    try:
        return int(parsedate_to_datetime(text).timestamp())
    except (ValueError, TypeError, OverflowError):
        return None


def parse_range(text: str | None) -> Span | None:
    """The span that a Range header asks for; None (the whole object) for several ranges or another unit."""
    found = _RANGE.fullmatch(text.strip()) if text else None
    if found is None:
        return None
    first, last = found.groups()
    if not first:
        return Span(None, int(last)) if last else None
    if last and int(last) < int(first):
        return None
    return Span(int(first), int(last) if last else None)


def parse_copy_range(text: str | None) -> Span | None:
    """`x-amz-copy-source-range`, which must be `bytes=first-last`."""
    if text is None:
        return None
    found = _RANGE.fullmatch(text)
    if found is None or not all(found.groups()) or int(found[2]) < int(found[1]):
        raise S3Error(
            "InvalidArgument", "The x-amz-copy-source-range value must be of the form bytes=first-last."
        )
    return Span(int(found[1]), int(found[2]))
